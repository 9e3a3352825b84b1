"""What every encoder-decoder is: the source is encoded once, the target decoded in chunks of any size.

All states are explicit. Every tensor of a memory or a state has its batch in dimension 1, as the states of
nn.LSTM have, so that `reorder_state(state, beams, dim=1)` serves them all.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

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


class Seq2Seq(nn.Module):
    """Base of all encoder-decoders. A subclass gives `encode`, `decode` and `output_map`.

    Chunked decoding equals whole decoding: handing the state on token by token gives what one call over all
    of them gives (exactly in float64).
    """

    output_map: nn.Module
    tied: tuple[str, str] | None = None
    """Paths of a linear map and of the embedding whose table is its weight too."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """As everywhere, `to_empty` included; but a shared table stays one table."""
        pair = None if self.tied is None else [self.get_submodule(path) for path in self.tied]
        shared = pair is not None and pair[0].weight is pair[1].weight
        super()._apply(fn, recurse)
        if pair is not None and shared:
            pair[0].weight = pair[1].weight
        return self

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
