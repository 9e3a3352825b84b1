"""A model as a program of `torch.export`, of any length and batch: inputs, names, what is refused."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from ..models.language import SpikingLanguageModel
from ..models.sentiment import SpikingClassifier
from ..nn.layer import SpikingLayer
from ..nn.lif import LIF

EXAMPLE = (5, 3)
"""Length and batch of the example of a trace: different, and not 0 or 1, which traces hold for special."""


class NotExportable(ValueError):
    """A model or a run that the format cannot hold."""


class Inputs(NamedTuple):
    """What a program takes and gives.

    names, outputs: of tensors, in order. dynamic: for each input, which dimensions are "length" or "batch".
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: tuple[dict[int, str], ...]


class Exported(NamedTuple):
    """program: as `torch.export` makes it. module: what was traced, whose eager calls are the truth.
    inputs: what both take and give."""

    program: ExportedProgram
    module: "Classifies | Writes"
    inputs: Inputs


class Classifies(nn.Module):
    """tokens (L, B) int64 and lengths (B,) int64 to logits (B, classes)."""

    def __init__(self, model: SpikingClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.model(tokens, lengths)  # type: ignore[no-any-return]

    def example(self, length: int, batch: int) -> tuple[Tensor, ...]:
        """Random tokens of texts of different lengths."""
        tokens = torch.randint(1, self.model.embedding.num_embeddings, (length, batch))
        return tokens, length - torch.arange(batch) * 2 % length

    def inputs(self) -> Inputs:
        return Inputs(("tokens", "lengths"), ("logits",), ({0: "length", 1: "batch"}, {0: "batch"}))


class Writes(nn.Module):
    """tokens (L, B) int64 and the state, tensor by tensor, to logits (L, B, V) and the state after them.

    A text begins with a state of zeros.
    """

    def __init__(self, model: SpikingLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, after = self.model(tokens, self.nested(state))
        return logits, *(one for _name, one in self.named(after))

    def named(self, state: Any) -> list[tuple[str, Tensor]]:
        """The tensors of a state, and what they are called."""
        found = []
        if self.model.ngrams is not None:
            recent, state = state
            found.append(("recent", recent))
        for number, (membrane, kept) in enumerate(state):
            found.append((f"membrane_{number}", membrane))
            if kept is not None:
                found.append((f"kept_{number}", kept))
        return found

    def nested(self, state: tuple[Tensor, ...]) -> Any:
        """The same tensors as the model takes them."""
        left = iter(state)
        recent = None if self.model.ngrams is None else next(left)
        blocks = [(next(left), None if block.shift is None else next(left)) for block in self.model.blocks]
        return blocks if recent is None else (recent, blocks)

    @torch.no_grad()
    def rest(self, batch: int) -> list[tuple[str, Tensor]]:
        """The state before a text."""
        _, after = self.model(self.model.output_bias.new_zeros((1, batch), dtype=torch.int64))
        return [(name, torch.zeros_like(one)) for name, one in self.named(after)]

    def example(self, length: int, batch: int) -> tuple[Tensor, ...]:
        """Random tokens, behind other random tokens."""
        vocabulary = len(self.model.output_bias)
        before, tokens = (torch.randint(0, vocabulary, (n, batch)) for n in (3, length))
        with torch.no_grad():
            _, state = self.model(before)
        return tokens, *(one.clone() for _, one in self.named(state))

    def inputs(self) -> Inputs:
        names = tuple(name for name, _ in self.rest(1))
        dynamic: tuple[dict[int, str], ...] = ({0: "length", 1: "batch"}, *[{0: "batch"}] * len(names))
        after = tuple(f"{name}_after" for name in names)
        return Inputs(("tokens", *names), ("logits", *after), dynamic)


KNOWN: dict[type[nn.Module], type[Classifies] | type[Writes]] = {
    SpikingClassifier: Classifies,
    SpikingLanguageModel: Writes,
}


def program(model: nn.Module) -> Exported:
    """A model traced for every length and batch. Puts it in evaluation mode.

    Args:
        model: a `SpikingClassifier` or a `SpikingLanguageModel`, on a CPU.
    Raises:
        NotExportable: another model; neurons that hear each other (`recurrent=True`), whose loop would be
            traced for one length; a surrogate that remembers; weights on another device.
    """
    wrap = KNOWN.get(type(model))
    if wrap is None:
        known = ", ".join(kind.__name__ for kind in KNOWN)
        raise NotExportable(f"a {type(model).__name__} has no exported form; known are {known}")
    for name, part in model.named_modules():
        if isinstance(part, SpikingLayer) and part.feedback is not None:
            raise NotExportable(
                f"neurons of {name} hear each other (recurrent=True): a program would hold one length only"
            )
        if isinstance(part, LIF) and part.planes:
            raise NotExportable(f"surrogate {part.surrogate.name!r} of {name} remembers, and leaves nowhere")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_cpu:
            raise NotExportable(f"{name} is on {tensor.device}; export the model from a CPU: model.cpu()")
    module = wrap(model).eval()  # type: ignore[arg-type]
    inputs = module.inputs()
    dims = {name: Dim(name) for name in ("length", "batch")}
    shapes = tuple({at: dims[name] for at, name in one.items()} for one in inputs.dynamic)
    given: Any = shapes if isinstance(module, Classifies) else (shapes[0], shapes[1:])
    with torch.no_grad():
        traced = export(module, module.example(*EXAMPLE), dynamic_shapes=given)
    return Exported(traced, module, inputs)
