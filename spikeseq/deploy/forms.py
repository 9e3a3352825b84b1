"""Models as functions of tensors alone, in and out by name: what a file of a model is a file of."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..models.language import RecurrentLanguageModel, SpikingLanguageModel
from ..models.sentiment import SpikingClassifier
from ..nn import SpikingNetwork
from ..nn.lengths import cut
from .loops import rnn


class Inputs(NamedTuple):
    """What a program takes and gives.

    names, outputs: of tensors, in order. dynamic: for each input, which dimensions are "length" or "batch".
    vocabulary: ids lie below it; None where there are none.
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: tuple[dict[int, str], ...]
    vocabulary: int | None = None


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
        dynamic: tuple[dict[int, str], ...] = ({0: "length", 1: "batch"}, {0: "batch"})
        return Inputs(("tokens", "lengths"), ("logits",), dynamic, self.model.embedding.num_embeddings)


class Sees(nn.Module):
    """Images (B, C, H, W), as the network takes them, to what its output has added up (B, classes)."""

    def __init__(self, model: SpikingNetwork, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.shape = model, shape

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)  # type: ignore[no-any-return]

    def example(self, length: int, batch: int) -> tuple[Tensor, ...]:
        """Random images; they have no length."""
        return (torch.randn(batch, *self.shape),)

    def inputs(self) -> Inputs:
        return Inputs(("images",), ("logits",), ({0: "batch"},))


class Streams(nn.Module):
    """The next tokens of texts (L, B), how many of them count (B,), and a state, to logits and the state.

    The logits are those of the texts so far, as if they ended here; the state before a text is zeros.
    """

    def __init__(self, model: SpikingClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        seen, summed, *rest = state
        after: list[Tensor] = []
        recent = None
        if model.ngrams is not None:
            recent, *rest = rest
            after = [last(torch.cat((recent.t(), tokens + 1)), lengths, recent.shape[1])]
        x = cut(model.vectors(tokens, recent), lengths)
        if model.context is not None:
            kept, *rest = rest
            given = torch.cat((kept.transpose(0, 1), x))
            x, _ = model.context(x, kept.transpose(0, 1))
            after = [last(given, lengths, kept.shape[1])]
        rates, membranes = model.spiking(x, torch.stack(rest), lengths=lengths)
        votes = model.to_integrator(rates * model.substeps)
        _, summed = model.integrator(votes, summed, lengths=lengths)
        seen = seen + lengths
        logits = model.readout(summed / seen.clamp(min=1).unsqueeze(1).to(summed.dtype).sqrt())
        return logits, seen, summed, *after, *membranes.unbind(0)

    def rest(self, batch: int) -> list[tuple[str, Tensor]]:
        """The state before a text."""
        model, zeros = self.model, self.model.embedding.weight.new_zeros
        seen = torch.zeros(batch, dtype=torch.int64)
        found = [("seen", seen), ("sum", zeros((batch, model.to_integrator.out_features)))]
        if model.ngrams is not None:
            before = model.ngrams.orders[-1] - 1
            found.append(("recent", torch.zeros((batch, before), dtype=torch.int64)))
        context: Any = model.context
        if context is not None:
            found.append(("kept", zeros((batch, context.kernel_size - 1, context.in_channels))))
        for number in range(len(model.spiking.layers)):
            found.append((f"membrane_{number}", zeros((batch, model.spiking.hidden_size))))
        return found

    @torch.no_grad()
    def example(self, length: int, batch: int) -> tuple[Tensor, ...]:
        """Random tokens, behind other random tokens, of which different numbers count."""
        rows = self.model.embedding.num_embeddings
        before, tokens = (torch.randint(1, rows, (n, batch)) for n in (3, length))
        _, *state = self(before, torch.arange(batch) % 4, *(one for _, one in self.rest(batch)))
        return tokens, length - torch.arange(batch) * 2 % length, *(one.clone() for one in state)

    def inputs(self) -> Inputs:
        names = tuple(name for name, _ in self.rest(1))
        dynamic: tuple[dict[int, str], ...] = ({0: "length", 1: "batch"}, *[{0: "batch"}] * (1 + len(names)))
        after = tuple(f"{name}_after" for name in names)
        rows = self.model.embedding.num_embeddings
        return Inputs(("tokens", "lengths", *names), ("logits", *after), dynamic, rows)


def last(given: Tensor, lengths: Tensor, count: int) -> Tensor:
    """What stands before each row's end, (B, count, *): of `given` (count + L, B, *) what follows the first
    `lengths`."""
    at = lengths.unsqueeze(0) + torch.arange(count, device=lengths.device).unsqueeze(1)
    at = at.view(*at.shape, *[1] * (given.dim() - 2)).expand(-1, -1, *given.shape[2:])
    return given.gather(0, at).transpose(0, 1)


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
        return Inputs(("tokens", *names), ("logits", *after), dynamic, len(self.model.output_bias))


class Recalls(Writes):
    """As `Writes`, of an nn.LSTM or nn.GRU; its state is (B, H) for each layer."""

    model: RecurrentLanguageModel  # type: ignore[assignment]

    def __init__(self, model: RecurrentLanguageModel) -> None:
        nn.Module.__init__(self)
        self.model = model

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, rest = self.model, list(state)
        x = model.embed(tokens)
        after: list[Tensor] = []
        if model.ngrams is not None:
            added, recent = model.ngrams(tokens, rest.pop(0))
            x = x + added
            after.append(recent)
        for number in range(model.sizes[0]):
            weights = [getattr(model.rnn, f"{name}_l{number}") for name in WEIGHTS]
            hidden = rest.pop(0)
            cell = rest.pop(0) if model.kind == "lstm" else torch.zeros_like(hidden)
            x, hidden, cell = rnn(model.kind.upper(), x, hidden, cell, *weights)
            after += [hidden, cell] if model.kind == "lstm" else [hidden]
        return nn.functional.linear(model.back(x), model.embedding.weight, model.output_bias), *after

    def named(self, state: Any) -> list[tuple[str, Tensor]]:
        found = []
        if self.model.ngrams is not None:
            recent, state = state
            found.append(("recent", recent))
        hidden, cells = state if self.model.kind == "lstm" else (state, None)
        for number in range(self.model.sizes[0]):
            found.append((f"hidden_{number}", hidden[:, number]))
            if cells is not None:
                found.append((f"cell_{number}", cells[:, number]))
        return found


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
