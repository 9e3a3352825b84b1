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
from spikeseq.recipes.config import flat, load_config
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
# What every finished run says of itself.
METRICS = [
    "recipe",
    "model",
    "data",
    "seed",
    "epochs",
    "parameters",
    "parameters_without_embeddings",
    "validation",
    "test",
    "spike_rate",
    "energy",
    "seconds",
    "hardware",
]


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
        raise RunError(
            f"{path} is of another model than {folder / CONFIG_FILE}: {' '.join(lines[1:3] or lines)}"
        ) from None


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
        if not isinstance(config, DictConfig):
            raise ValueError("not a mapping")
        # A run of an older version lacks what was added since.
        defaults = load_config(config.recipe, model=config.model.name, data=config.data.source)
        merged = OmegaConf.merge(defaults, config)
        lost = sorted(flat(defaults).keys() - flat(merged).keys())
        if lost:
            raise ValueError(f"it has no {lost[0]}")
    except Exception as error:  # the readers of YAML have many
        reason = str(error).splitlines() or [type(error).__name__]
        raise RunError(f"{path} is damaged: {reason[0]}") from None
    assert isinstance(merged, DictConfig)
    return merged


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """`metrics.json`, or None for a run that is not finished."""
    path = folder / METRICS_FILE
    if not path.exists():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(metrics, dict):
            raise ValueError("not an object")
        for key in METRICS:
            if key not in metrics:
                raise ValueError(f"it has no {key!r}")
        return metrics
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def read_classes(path: Path) -> list[str]:
    """The names of the classes, in the order of the model's outputs."""
    try:
        classes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if (
        not isinstance(classes, list)
        or len(classes) < 2
        or not all(isinstance(name, str) for name in classes)
    ):
        raise RunError(f"{path} is damaged: expected a list of two or more names")
    return classes


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
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"texts must be strings, got {text!r} ({type(text).__name__})")
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
        self.check_trace()
        tokens, ids = self.encode(text)
        return tokens, self.model.trace(ids.unsqueeze(1), torch.tensor([len(ids)])).squeeze(1)  # type: ignore[operator]

    def check_trace(self) -> None:
        """Raises TypeError if the model has nothing to trace."""
        if not hasattr(self.model, "trace"):
            raise TypeError(
                f"model {self.config.model.name!r} has no membrane or state to trace word by word"
            )


def load(run: str | Path) -> Classifier:
    """The trained model of a run folder.

    Raises:
        RunError: the folder is not a finished run, or a file in it is damaged or of another model.
    """
    folder = Path(run)
    config = read_config(folder)
    if not (folder / MODEL_FILE).exists():
        raise RunError(f"{folder} has no {MODEL_FILE}: the run is not finished; go on with --resume")
    try:
        vocab = Vocab.from_json(folder / VOCAB_FILE)
        classes = read_classes(folder / CLASSES_FILE)
        model = build_classifier(config.model, len(vocab), len(classes))
        classifier = Classifier(model.eval(), vocab, classes, config)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{folder}: {error}") from None
    load_weights(folder, model)
    return classifier
