"""What every encoder-decoder is: the source is encoded once, the target decoded in chunks of any size.

All states are explicit. Every tensor of a memory or a state has its batch in dimension 1, as the states of
nn.LSTM have, so that `reorder_state(state, beams, dim=1)` serves them all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from ...modules import refuse
from ...nn.layer import inside as found_inside
from ...nn.lengths import inside
from ...nn.state import select_state

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
"""The first entries of both vocabularies, in the order of their ids. A source ends with `<eos>`."""


@dataclass
class Memory:
    """What a decoder knows of the source.

    Args:
        states: (S, B, K), one row per source token: what attention reads.
        lengths: (B,) source tokens that count.
        context: whatever else the decoder takes, a nested state with the batch in dimension 1: the final
            state of the encoder, or projected keys and values.
    """

    states: Tensor
    lengths: Tensor
    context: Any = None

    def select(self, rows: Tensor) -> "Memory":
        """The memory of some sentences of the batch; a row may occur more than once (beams)."""
        lengths = self.lengths.index_select(0, rows)
        return Memory(self.states.index_select(1, rows), lengths, select_state(self.context, rows, dim=1))


@dataclass
class Decoded:
    """What `decode` gives for L target tokens.

    Args:
        hidden: (L, B, H); `output_map` turns it into logits over the target vocabulary.
        attention: (L, B, S), each row a distribution over the source tokens; None without attention.
        state: for the next chunk; every tensor has its batch in dimension 1.
    """

    hidden: Tensor
    attention: Tensor | None
    state: Any


M = TypeVar("M", bound=nn.Module)


def part(path: str, module: nn.Module, *kinds: type[M]) -> M:
    """A part of a model of which more is used than its call: `module`, or what it is put around.

    Raises:
        ValueError: it is none of `kinds`, and has none inside.
    """
    for kind in kinds:
        if (found := found_inside(module, kind)) is not None:
            return found
    names = " or ".join(kind.__name__ for kind in kinds)
    refuse(path, module, f"holds no {names}, of which more is used than its call", "put it around one")


class Seq2Seq(nn.Module):
    """Base of all encoder-decoders. A subclass gives `encode`, `decode` and `output_map`.

    Chunked decoding equals whole decoding: handing the state on token by token gives what one call over all
    of them gives (exactly in float64).
    """

    output_map: nn.Module

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """As everywhere, `to_empty` included; but a shared table stays one table."""
        shared = list(self._shared())
        super()._apply(fn, recurse)
        for paths in shared:
            one = self.get_parameter(paths[0])
            for path in paths[1:]:
                parent, _, name = path.rpartition(".")
                setattr(self.get_submodule(parent), name, one)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """As everywhere, `assign=True` included; but a shared table stays one table."""
        for paths in self._shared() if local_metadata.get("assign_to_params_buffers") else ():
            given = [prefix + path for path in paths if isinstance(state_dict.get(prefix + path), Tensor)]
            if given:
                trained = self.get_parameter(paths[0]).requires_grad
                one = nn.Parameter(state_dict[given[-1]].detach(), trained)  # the last, as where it is copied
                state_dict.update(dict.fromkeys(given, one))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def _shared(self) -> Iterator[list[str]]:
        """The paths of every parameter that has several: a table that is an embedding's and the output
        map's, wherever these stand."""
        paths: dict[nn.Parameter, list[str]] = {}
        for path, parameter in self.named_parameters(remove_duplicate=False):
            paths.setdefault(parameter, []).append(path)
        return (many for many in paths.values() if len(many) > 1)

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """(S, B) int64 ids, padded with `PAD`, and (B,) their lengths, at least 1."""
        raise NotImplementedError

    def decode(
        self, target: Tensor, memory: Memory, state: Any = None, *, lengths: Tensor | None = None
    ) -> Decoded:
        """(L, B) ids of the tokens so far (the first is `BOS`), one row of output for the token after each.

        state: as a former call returned it; None at the start of the sentence.
        lengths: (B,) target tokens that count, for statistics over a batch that padding must not enter; the
            rows that count are the same without.
        """
        raise NotImplementedError

    def forward(
        self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor | None = None
    ) -> Tensor:
        """Logits of the token after each target token, the whole target at once (teacher forcing).

        Returns:
            (L, B, V); or, with `target_lengths`, (sum of them, V): the rows that count, in the order of
            `target[inside(target_lengths, L)]`, so that no vocabulary map is spent on padding.
        """
        memory = self.encode(source, source_lengths)
        hidden = self.decode(target, memory, lengths=target_lengths).hidden
        if target_lengths is not None:
            hidden = hidden[inside(target_lengths, target.shape[0])]
        return self.output_map(hidden)  # type: ignore[no-any-return]
