"""The opponents, of torch's own layers: nn.LSTM, nn.GRU, and a small causal transformer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import (
    WHOLE_NUMBERS,
    autocast_dtype,
    check_shape,
    check_share,
    check_tensor,
    choice,
    positive_int,
)  # fmt: skip
from .base import LanguageModel, check_tokens

RNNS = {"lstm": nn.LSTM, "gru": nn.GRU}
PLACE = 0.02  # deviation of a place's vector at the start


class RecurrentLanguageModel(LanguageModel):
    """Embedding -> nn.LSTM or nn.GRU -> the tied output map.

    Where the hidden size is not that of the embedding, one linear map stands between.

    Args:
        vocabulary: tokens, V.
        kind: "lstm" or "gru".
        embedding_size: of the table, which is the output map as well.
        hidden_size: units of a layer.
        layers: of the RNN.
        embedding_dropout, dropout, output_dropout: shares silenced of the tokens' vectors, between layers, of
            what the last one gives (Zaremba et al., 2014).
        ngrams, ngram_rows: as `LanguageModel`.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        kind: str = "lstm",
        embedding_size: int = 128,
        hidden_size: int = 512,
        layers: int = 1,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
    ) -> None:
        super().__init__(vocabulary, embedding_size, ngrams, ngram_rows)
        self.kind = choice("kind", kind, tuple(RNNS))
        self.sizes = (layers, hidden_size)  # of a state; what stands in the RNN's place need not tell
        between = check_share(dropout) if positive_int("layers", layers) > 1 else 0.0
        self.rnn = RNNS[kind](
            embedding_size, positive_int("hidden_size", hidden_size), layers, dropout=between
        )
        self.back = nn.Linear(hidden_size, embedding_size) if hidden_size != embedding_size else nn.Identity()
        self.embedding_dropout = nn.Dropout(check_share(embedding_dropout))
        self.output_dropout = nn.Dropout(check_share(output_dropout))

    def hidden(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """As `LanguageModel`; the state is that of the RNN, (B, layers, H), of an LSTM two of these."""
        if state is not None:
            check_rnn_state(self.rnn, self.kind, self.sizes, state, x)
        x, state = self.rnn(self.embedding_dropout(x), turned(state))
        return self.back(self.output_dropout(x)), turned(state)

    def memory(self, state: Any) -> dict[str, Tensor]:
        """Cells of an LSTM, hidden values of a GRU."""
        cells = state[1] if self.kind == "lstm" else state
        return {f"layer {i}": held for i, held in enumerate(cells[0])}


def check_rnn_state(rnn: nn.Module, kind: str, sizes: tuple[int, int], state: Any, x: Tensor) -> None:
    """Refuses a state of another model than an RNN of this kind and (layers, units), or of another batch than
    that of `x` (L, B, width)."""
    pair = kind == "lstm"
    if pair != isinstance(state, tuple | list) or (pair and len(state) != 2):
        wanted = "hidden and cell state" if pair else "one Tensor"
        raise ValueError(f"state of {type(rnn).__name__} must be {wanted}; got that of another model")
    # The membranes of a spiking layer in the RNN's place are never below float32.
    dtype = x.dtype if isinstance(rnn, nn.RNNBase) and not autocast_dtype(x) else None
    for part in state if pair else [state]:
        check_shape("state", part, (x.shape[1], *sizes), x, dtype)


def turned(state: Any) -> Any:
    """States of an RNN with the batch first in the place of the layers, or the other way round."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.transpose(0, 1).contiguous()
    return tuple(part.transpose(0, 1).contiguous() for part in state)


class TransformerLanguageModel(LanguageModel):
    """Embedding and places -> nn.TransformerEncoderLayers with a causal mask -> the tied output map.

    A token sees the tokens of its block and of the block before it, blocks being half a `context` long: what
    it sees depends on its place in the text alone, so that whole = chunked = streamed. The state is the
    tokens of these two blocks (their vectors are computed anew). In training a chunk begins without a past,
    as is the custom, and may be a context long.

    Args:
        vocabulary: tokens, V. embedding_size: of the table and all layers. layers: of the encoder.
        heads: of attention. hidden_size: units of the feed-forward part.
        context: tokens that it looks back on at most; an even number.
        embedding_dropout, dropout, output_dropout: shares silenced of the tokens' vectors, inside layers, of
            what the output map reads.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding_size: int = 128,
        layers: int = 3,
        heads: int = 4,
        hidden_size: int = 512,
        context: int = 256,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__(vocabulary, embedding_size)
        if positive_int("context", context) % 2:
            raise ValueError(f"context must be an even number of tokens, got {context}")
        if embedding_size % positive_int("heads", heads):
            raise ValueError(f"heads must divide embedding_size={embedding_size}, got {heads}")
        self.block = context // 2
        self.limit = context
        self.places = nn.Parameter(torch.randn(context, embedding_size) * PLACE)
        layer = nn.TransformerEncoderLayer(
            embedding_size, heads, positive_int("hidden_size", hidden_size), check_share(dropout),
            activation="gelu", norm_first=True,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(
            layer, positive_int("layers", layers), nn.LayerNorm(embedding_size), enable_nested_tensor=False
        )
        self.embedding_dropout = nn.Dropout(check_share(embedding_dropout))
        self.output_dropout = nn.Dropout(check_share(output_dropout))

    def reset_parameters(self) -> None:
        """As `LanguageModel`, and the vectors of the places."""
        super().reset_parameters()
        nn.init.normal_(self.places, std=PLACE)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """As `LanguageModel`; the state is (B, n) int64, the tokens that are still looked back on."""
        check_tokens(tokens)
        if self.training:
            if len(tokens) > 2 * self.block:
                raise ValueError(
                    f"a training chunk must be at most context={2 * self.block} tokens, got {len(tokens)}"
                )
            return super().forward(tokens)[0], None
        past = tokens.new_zeros((0, tokens.shape[1])) if state is None else self.read(state, tokens)
        text = torch.cat((past, tokens))
        logits = []
        # A text begins where a block begins, so that the blocks of `text` are those of the whole.
        for start in range(0, len(text), self.block):
            stop = min(start + self.block, len(text))
            if stop <= len(past):
                continue
            first = max(0, start - self.block)
            found, _ = super().forward(text[first:stop], None)
            logits.append(found[max(start, len(past)) - first :])
        over = (len(text) // self.block - 1) * self.block
        return torch.cat(logits), text[max(0, over) :].t()

    def read(self, state: Any, tokens: Tensor) -> Tensor:
        """The tokens of a state, (n, B); refuses that of another model, or of another batch."""
        check_tensor("state", state)
        fits = state.dim() == 2 and len(state) == tokens.shape[1] and state.shape[1] <= self.limit
        if state.dtype not in WHOLE_NUMBERS or not fits or state.device != tokens.device:
            raise ValueError(
                f"state must be whole numbers ({tokens.shape[1]}, {self.limit} or fewer) on {tokens.device},"
                f" got {tuple(state.shape)} of {state.dtype} on {state.device}"
            )
        return state.t()

    def hidden(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One context, or a part of one from its beginning."""
        x = self.embedding_dropout(x + self.places[: len(x)].unsqueeze(1))
        mask = nn.Transformer.generate_square_subsequent_mask(len(x), x.device, x.dtype)
        return self.output_dropout(self.encoder(x, mask, is_causal=True)), state
