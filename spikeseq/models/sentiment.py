"""Text classifiers: the thesis's spiking network (6.4), and RNN baselines of the same shape.

Both take `tokens` (L, B) int64 and `lengths` (B,), and return logits (B, classes).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import has_values, positive_int
from ..functional.precision import cast
from ..nn import CausalConv1d, Integrator, SequenceDropout, SpikingRNN
from ..nn.lengths import inside
from ..nn.start import begin, normal, zero
from ..quantisation import KINDS, QuantisedRNN
from .words import WordModel


class SpikingClassifier(WordModel):
    """Embedding -> two FC + LIF layers -> FC + integrator -> read-out (thesis Fig. 6.3).

    Every token is direct-coded for `substeps` sub-steps and passes both LIF layers; membranes persist over
    the whole text. The integrator's membrane, divided by the square root of the number of tokens (the scale
    at which a sum of many small votes grows), goes to the read-out.

    Args:
        vocabulary, word_dropout, ngrams, ngram_rows: as `WordModel`.
        classes: number of classes.
        embedding_size: width of a word's vector; 100 as in the thesis.
        hidden_size: neurons of each LIF layer; 128 gives the thesis's 0.03 M parameters.
        kernel_size: tokens that the first map sees: the last and those before it. 1, as in the thesis, is a
            word at a time; 3 also tells "not good" from "good", and folded into the embedding
            (`spikeseq.fold_embeddings`) it multiplies nothing either.
        integrators: neurons of the integrating layer.
        substeps: T; the thesis uses 5.
        embedding_dropout, dropout: shares silenced by masks that are fixed over a text.
        neuron: arguments of `LIF`.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int = 2,
        *,
        embedding_size: int = 100,
        hidden_size: int = 128,
        kernel_size: int = 1,
        integrators: int = 16,
        substeps: int = 5,
        embedding_dropout: float = 0.5,
        dropout: float = 0.2,
        word_dropout: float = 0.0,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
        **neuron: Any,
    ) -> None:
        super().__init__(
            vocabulary, embedding_size, word_dropout=word_dropout, ngrams=ngrams, ngram_rows=ngram_rows
        )
        self.embedding_dropout = SequenceDropout(embedding_dropout)
        self.spiking = SpikingRNN(
            embedding_size,
            hidden_size,
            num_layers=2,
            dropout=dropout,
            substeps=substeps,
            readout="rate",
            **neuron,
        )
        self.context: nn.Module | None = None
        if positive_int("kernel_size", kernel_size) > 1:
            if ngrams:
                raise ValueError(f"ngrams go with kernel_size=1, got kernel_size={kernel_size}")
            linear = self.spiking.layers[0].release_map()  # type: ignore[operator]
            self.context = CausalConv1d(embedding_size, hidden_size, kernel_size)
            # As many times the inputs, and the same currents to start with.
            drawn = linear.weight.detach()
            std = float(drawn.std()) if has_values(drawn) else linear.reset_parameters.arguments["std"]  # type: ignore[union-attr]
            begin(self.context, normal, std=std / kernel_size**0.5)
            self.spiking.input_size = hidden_size
        self.dropout = SequenceDropout(dropout)
        self.to_integrator = nn.Linear(hidden_size, integrators, bias=False)
        self.substeps = positive_int("substeps", substeps)
        self.integrator = Integrator()
        # Membranes start large and alike: no verdict before learning.
        self.readout = begin(nn.Linear(integrators, classes), zero, weight=True)

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        return ("to_integrator",)

    def membrane(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The integrator's membrane (L, B, integrators) after each token, and (B, integrators) at the end."""
        x, _ = self.embedding_dropout(self.read(tokens, lengths))
        if self.context is not None:
            x, _ = self.context(x)
        rates, _ = self.spiking(x, lengths=lengths)
        rates, _ = self.dropout(rates)
        # The map is linear, so the spikes of a token are summed first: T times their rate.
        return self.integrator(self.to_integrator(rates * self.substeps), lengths=lengths)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        membrane, final = self.membrane(tokens, lengths)
        scaled = final / lengths.clamp(min=1).unsqueeze(1).to(final.dtype).sqrt()
        return self.readout(scaled.to(membrane.dtype))  # the state is never below float32

    def trace(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits after every token (L, B, classes), each as if the text ended there (thesis Fig. 6.4)."""
        membrane, _ = self.membrane(tokens, lengths)
        seen = torch.arange(1, tokens.shape[0] + 1, device=tokens.device, dtype=membrane.dtype)
        return self.readout(membrane / seen.view(-1, 1, 1).sqrt())


class MeanOverText(nn.Module):
    """The mean of outputs (L, B, H) over the tokens of each text, (B, H): a sum that runs along, divided."""

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        counted = inside(lengths, outputs.shape[0]).unsqueeze(2)
        return (outputs * counted).sum(0) / lengths.clamp(min=1).unsqueeze(1)  # type: ignore[no-any-return]


RNNS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class RecurrentClassifier(WordModel):
    """The baseline: embedding -> one nn.LSTM, nn.GRU or nn.RNN layer -> read-out of its last state.

    Args:
        kind: "lstm", "gru" or "rnn".
        hidden_size: 200 gives the LSTM the thesis's 0.24 M parameters.
        pooling: "last" reads the last state, "mean" the average over the text.
        bits: None, or 8, 4 or 3: operands of the recurrence, rounded in training as they would be deployed
            (`quantisation.QuantisedRNN`); of an LSTM or GRU.
        rectified: with `bits`, states that are zero unless they pass a learnt threshold.
        Others as `SpikingClassifier`.
    """

    behind: Tensor | None

    def __init__(
        self,
        vocabulary: int,
        classes: int = 2,
        *,
        kind: str = "lstm",
        embedding_size: int = 100,
        hidden_size: int = 200,
        pooling: str = "last",
        embedding_dropout: float = 0.5,
        dropout: float = 0.2,
        word_dropout: float = 0.0,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
        bits: int | None = None,
        rectified: bool = False,
    ) -> None:
        super().__init__(
            vocabulary, embedding_size, word_dropout=word_dropout, ngrams=ngrams, ngram_rows=ngram_rows
        )
        if kind not in RNNS:
            raise ValueError(f"kind must be one of {', '.join(RNNS)}, got {kind!r}")
        if pooling not in ("last", "mean"):
            raise ValueError(f"pooling must be 'last' or 'mean', got {pooling!r}")
        self.pooling, self.mean = pooling, MeanOverText()
        self.embedding_dropout = SequenceDropout(embedding_dropout)
        self.register_buffer("behind", None)  # what a folded model has behind a text's end in place of zeros
        if bits is not None and kind not in KINDS:
            raise ValueError(f"bits go with {' or '.join(KINDS)}, got {kind!r}")
        if rectified and bits is None:
            raise ValueError("rectified goes with bits: give 8, 4 or 3")
        if bits is not None and ngrams:
            raise ValueError(f"bits go without ngrams, got {list(ngrams)}")
        self.rnn: nn.Module = (
            RNNS[kind](embedding_size, hidden_size)
            if bits is None
            else QuantisedRNN(kind, embedding_size, hidden_size, bits=bits, rectified=rectified)
        )
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, classes)

    def outputs(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The outputs of the recurrent layer (L, B, H). Causal, so what follows a text's end does no harm."""
        x = self.read(tokens, lengths)
        if self.behind is not None:
            x = torch.where(inside(lengths, x.shape[0]).unsqueeze(2), x, self.behind)
        x, _ = self.embedding_dropout(x)
        return self.rnn(cast(x))[0]  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        outputs = self.outputs(tokens, lengths)
        if self.pooling == "mean":
            pooled = self.mean(outputs, lengths)
        else:
            last = (lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, outputs.shape[2])
            pooled = outputs.gather(0, last).squeeze(0)
        return self.readout(self.dropout(pooled))

    def trace(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits after every token (L, B, classes), each as if the text ended there."""
        outputs = self.outputs(tokens, lengths)
        if self.pooling == "mean":
            seen = torch.arange(1, tokens.shape[0] + 1, device=tokens.device, dtype=outputs.dtype)
            outputs = outputs.cumsum(0) / seen.view(-1, 1, 1)
        return self.readout(outputs)
