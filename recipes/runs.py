"""Run folders: made by `spikeseq train`, read by everything else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from spikeseq.files import write_whole
from spikeseq.models import build_classifier
from spikeseq.recipes.text_task import crop
from spikeseq.tokenizers import Vocab, build_tokenizer

FORMAT = "1"
MODEL_FILE, CONFIG_FILE, METRICS_FILE, VOCAB_FILE, CLASSES_FILE = (
    "model.safetensors",
    "config.yaml",
    "metrics.json",
    "vocab.json",
    "classes.json",
)


class RunError(ValueError):
    """A run folder that cannot be used; the message names the file and what is expected."""


def save_model(folder: Path, model: nn.Module, config: DictConfig) -> None:
    """`model.safetensors`, with the format's version and what the model is."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    about = {"format": FORMAT, "recipe": config.recipe, "model": config.model.name}
    write_whole(folder / MODEL_FILE, save(tensors, about))


def load_weights(folder: Path, model: nn.Module) -> None:
    """Puts a run's weights into `model`.

    Raises:
        RunError: no such file, a truncated one, another format, or weights of another model.
    """
    path = folder / MODEL_FILE
    if not path.exists():
        raise RunError(f"{folder} has no {MODEL_FILE}: the run is not finished; go on with --resume")
    try:
        with safe_open(path, framework="pt") as file:
            version = (file.metadata() or {}).get("format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}); expected a whole safetensors file") from None
    if version != FORMAT:
        raise RunError(f"{path} has format {version!r}; this version reads {FORMAT!r}")
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunError(f"{path} is of another model than {folder / CONFIG_FILE}: {' '.join(lines[1:3] or lines)}") from None


def read_config(folder: Path) -> DictConfig:
    """The configuration of a run.

    Raises:
        RunError: not a run folder, or a file that is not YAML.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        hint = "no such folder" if not folder.exists() else f"it has no {CONFIG_FILE}"
        raise RunError(f"{folder} is not a run folder: {hint}")
    try:
        config = OmegaConf.load(path)
        assert isinstance(config, DictConfig)
        _ = config.recipe, config.model.name
        return config
    except Exception as error:
        raise RunError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """`metrics.json`, or None for a run that is not finished."""
    path = folder / METRICS_FILE
    if not path.exists():
        return None
    try:
        metrics = json.loads(path.read_text())
        if not isinstance(metrics, dict):
            raise ValueError("not an object")
        return metrics
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None


@dataclass
class Prediction:
    """What a classifier says of one text: `label` (a class's name), its probability, and all of them."""

    label: str
    score: float
    scores: dict[str, float]


@dataclass
class Classifier:
    """A trained text classifier, as `spikeseq.load(run)` returns it."""

    model: nn.Module
    vocab: Vocab
    classes: list[str]
    config: DictConfig

    def __post_init__(self) -> None:
        self.tokenizer = build_tokenizer(self.config.data.tokenizer)

    def encode(self, text: str) -> tuple[list[str], Tensor]:
        """The tokens that the model sees, and their ids. A text without tokens is one `<unk>`."""
        from spikeseq.recipes.text_data import clean

        tokens = self.tokenizer(clean(text)) or ["<unk>"]
        kept = crop(torch.arange(len(tokens)), self.config.data.longest).tolist()
        tokens = [tokens[i] for i in kept]
        return tokens, torch.tensor(self.vocab.encode(tokens))

    @torch.no_grad()
    def predict(self, texts: list[str], batch_size: int = 64) -> list[Prediction]:
        """One prediction a text, in order.

        Raises:
            TypeError: `texts` is one string, or holds something else than strings.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings, got one string")
        ids = [self.encode(text)[1] for text in texts]
        predictions: list[Prediction] = []
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            lengths = torch.tensor([len(text) for text in part])
            for row in self.model(pad_sequence(part), lengths).softmax(1).tolist():
                best = max(range(len(row)), key=row.__getitem__)
                named = dict(zip(self.classes, row, strict=True))
                predictions.append(Prediction(self.classes[best], row[best], named))
        return predictions

    @torch.no_grad()
    def trace(self, text: str) -> tuple[list[str], Tensor]:
        """The tokens, and the logits after each of them (L, classes): how the verdict forms.

        Raises:
            TypeError: the model has no state that follows the words (`bow`).
        """
        if not hasattr(self.model, "trace"):
            raise TypeError(f"model {self.config.model.name!r} has no membrane or state to trace word by word")
        tokens, ids = self.encode(text)
        return tokens, self.model.trace(ids.unsqueeze(1), torch.tensor([len(ids)])).squeeze(1)


def load(run: str | Path) -> Classifier:
    """The trained model of a run folder.

    Raises:
        RunError: the folder is not a finished run, or a file in it is damaged or of another model.
    """
    folder = Path(run)
    config = read_config(folder)
    try:
        vocab = Vocab.from_json(folder / VOCAB_FILE)
        classes = json.loads((folder / CLASSES_FILE).read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: {error}") from None
    model = build_classifier(config.model, len(vocab), len(classes))
    load_weights(folder, model)
    return Classifier(model.eval(), vocab, classes, config)
