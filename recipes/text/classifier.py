"""A trained text classifier, as `spikeseq.load(run)` returns it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from spikeseq.checks import positive_int, strings
from spikeseq.models import build_classifier
from spikeseq.models.sentiment import SpikingClassifier
from spikeseq.recipes.manifest import RunError, checked, read_json
from spikeseq.recipes.plain import Settings
from spikeseq.recipes.shared.kept_tokenizer import open_tokenizer
from spikeseq.recipes.shared.opened import Opened, Prediction, Seen, checked_classes, predictions
from spikeseq.recipes.shared.texts.data import clean
from spikeseq.recipes.text.corpus import CLASSES_FILE, TOKENIZER_FILE, VOCAB_FILE
from spikeseq.recipes.text.start import shape
from spikeseq.recipes.text.task import crop, tested_tokens
from spikeseq.tokenizers import Tokenizer, Vocab


def read_classes(path: Path) -> list[str]:
    """The names of the classes, in the order of the model's outputs."""
    try:
        return checked_classes(read_json(path))
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None


@dataclass
class Classifier(Opened):
    """A trained text classifier, as `spikeseq.load(run)` returns it."""

    model: nn.Module
    vocab: Vocab
    classes: list[str]
    config: Settings
    tokenizer: Tokenizer
    classifies = True

    def encode(self, text: str) -> tuple[list[str], Tensor]:
        """The tokens that the model sees, and their ids. A text without tokens is one `<unk>`."""
        tokens = self.tokenizer(clean(text)) or ["<unk>"]
        kept = crop(torch.arange(len(tokens)), tested_tokens(self.config)).tolist()
        tokens = [tokens[i] for i in kept]
        return tokens, torch.tensor(self.vocab.encode(tokens))

    def graph(self) -> tuple[list[nn.Module], tuple[int, ...]]:
        """The spiking layers and the map to the integrators, for the words' vectors; what comes out is
        summed up, divided by the square root of the number of tokens, and goes to the read-out."""
        model = self.model
        if not isinstance(model, SpikingClassifier):
            super().graph()
        if model.context is not None:
            raise TypeError(
                "the first map sees several words at once (model.kernel_size), which no graph can say"
            )
        return [*model.spiking.layers, model.to_integrator], (model.embedding.embedding_dim,)

    def vectors(self) -> tuple[Vocab, Tensor]:
        table = getattr(self.model, "embedding", None)
        if not isinstance(table, nn.Embedding):  # as `bow`
            return super().vectors()
        return self.vocab, table.weight.detach()

    @torch.no_grad()
    def predict(self, texts: list[str], batch_size: int = 64) -> list[Prediction]:
        """One prediction a text, in order.

        Raises:
            TypeError: `texts` is one string, or holds something else than strings; `batch_size` is no int.
            ValueError: `batch_size` is below 1.
        """
        texts, batch_size = strings("texts", texts), positive_int("batch_size", batch_size)
        ids = [self.encode(text)[1] for text in texts]
        found: list[Prediction] = []
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            lengths = torch.tensor([len(text) for text in part])
            found += predictions(self.classes, self.model(pad_sequence(part), lengths))
        return found

    @torch.no_grad()
    def trace(self, text: str) -> tuple[list[str], Tensor]:
        """The tokens, and the logits after each of them (L, classes): how the verdict forms.

        Raises:
            TypeError: the model has no state that follows the words (`bow`).
        """
        self.check_trace()
        tokens, ids = self.encode(text)
        return tokens, self.model.trace(ids.unsqueeze(1), torch.tensor([len(ids)])).squeeze(1)  # type: ignore[operator]

    def draw(self, text: str, path: Path) -> None:
        """A picture of `trace`."""
        from spikeseq.recipes.shared.plots import plot_trace

        tokens, logits = self.trace(text)
        plot_trace(path, tokens, logits, self.classes)

    def check_trace(self) -> None:
        """Raises TypeError if the model has nothing to trace."""
        if not hasattr(self.model, "trace"):
            raise TypeError(
                f"model {self.config.model.name!r} has no membrane or state to trace word by word"
            )

    def see(self, text: str) -> Seen:
        """Its words, and the verdict after each where the model has states."""
        seen = Seen(self.encode(text)[0])
        if hasattr(self.model, "trace"):
            seen.trace = *self.trace(text), self.classes
        return seen


def open_classifier(folder: Path, config: Settings) -> Classifier:
    """The classifier of a run folder, its weights still to be loaded."""
    vocab = Vocab.from_json(checked(folder / VOCAB_FILE))
    classes = read_classes(folder / CLASSES_FILE)
    model = build_classifier(shape(config.model), len(vocab), len(classes))
    tokenizer = open_tokenizer(folder / TOKENIZER_FILE, config.data.tokenizer)
    return Classifier(model.eval(), vocab, classes, config, tokenizer)
