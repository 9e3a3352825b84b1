"""`fold_embeddings`: the first map of a token model folded into its embedding, so that it becomes a look-up.

A token's vector and the first map are both fixed after training, and so is their product: a row for each
token in the place of a product for each token met. An LSTM's or GRU's input projection can be folded as well.
"""

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from .models.ngrams import NGramEmbedding
from .models.sentiment import RecurrentClassifier, SpikingClassifier
from .modules import check_plain, is_compiled_around, named, refuse, rewritten
from .nn import SequenceDropout, SpikingRNN, TokenConv1d
from .nn.layer import Passed, SpikingLayer
from .outside import copied
from .quantisation import QuantisedRNN, QuantisedTable

WAY_OUT = "remove that before folding, or leave the model as it is"


def fold_embeddings(model: nn.Module) -> nn.Module:
    """A copy of `model`, for inference, whose first map is part of its embedding table.

    The result is exact but for the order in which a matrix product adds. The table grows from V rows of
    the embedding's width to V rows of the map's outputs: 128 instead of 100 values for the thesis's sentiment
    network, 4 H for an LSTM, three times the outputs for a convolution over three tokens (three look-ups that
    are added).

    Args:
        model: a `SpikingClassifier`, a `RecurrentClassifier`, or an nn.Sequential that begins with an
            nn.Embedding and an nn.Linear or `TokenConv1d`.
    Raises:
        TypeError: any other model, naming what is accepted.
        ValueError: a part that would be read or would see other values, from the embedding to the first map,
            is not exactly what its class says (`modules.oddity`): naming path, class, reason and what to do.
    """
    if isinstance(model, nn.Module) and is_compiled_around(model):
        refuse("", model, "was compiled", "fold the model before torch.compile")
    if isinstance(model, SpikingClassifier | RecurrentClassifier) and (reason := rewritten(model)):
        refuse("", model, f"{reason}, which may use what is folded", "fold a model of the class itself")
    with torch.no_grad():
        return fold(copied(model) if isinstance(model, nn.Module) else model).eval().requires_grad_(False)


@singledispatch
def fold(model: Any) -> nn.Module:
    """Folds in place; other models can register their own way."""
    raise TypeError(
        "fold_embeddings takes a SpikingClassifier, a RecurrentClassifier, or an nn.Sequential that begins"
        f" with an nn.Embedding and an nn.Linear or TokenConv1d, got {type(model).__name__}"
    )


@fold.register
def _(model: SpikingClassifier) -> nn.Module:
    if is_folded(model):
        raise TypeError("fold_embeddings found this SpikingClassifier folded already")
    check_plain("embedding_dropout", model.embedding_dropout, WAY_OUT, SequenceDropout)
    check_plain("spiking", model.spiking, WAY_OUT, SpikingRNN)
    first: Any = model.spiking.layers[0]
    check_plain("spiking.layers.0", first, WAY_OUT, SpikingLayer)
    if model.context is not None:
        check_plain("spiking.layers.0.input_map", first.input_map, WAY_OUT, Passed)
        model.context = FoldedConv(model.embedding, model.context, ("embedding", "context"))
        model.embedding = nn.Identity()  # type: ignore[assignment]
    else:
        path = "spiking.layers.0.input_map"
        table = folded_table(model.embedding, first.input_map, ("embedding", path))
        fold_ngrams(model, first.input_map.weight)
        first.release_map()
        model.embedding = table
        model.spiking.input_size = model.embedding.embedding_dim
    return model


@fold.register
def _(model: RecurrentClassifier) -> nn.Module:
    check_plain("embedding_dropout", model.embedding_dropout, WAY_OUT, SequenceDropout)
    if isinstance(model.rnn, QuantisedRNN):
        return fold_quantised(model, model.rnn)
    table, folded = fold_recurrent(model.embedding, model.rnn, ("embedding", "rnn"))
    fold_ngrams(model, model.rnn.weight_ih_l0)  # type: ignore[arg-type]
    zeros = nn.Embedding.from_pretrained(torch.zeros_like(model.embedding.weight[:1]))
    model.behind = fold_recurrent(zeros, model.rnn)[0].weight[0].detach().clone()
    model.embedding, model.rnn = table, folded  # type: ignore[assignment]
    return model


def fold_quantised(model: RecurrentClassifier, rnn: QuantisedRNN) -> nn.Module:
    """The table holds what the recurrence is given, in its bits."""
    check_table(model.embedding)
    check_plain("rnn", rnn, WAY_OUT, QuantisedRNN)
    check_plain("rnn.input_map", rnn.input_map, WAY_OUT, nn.Linear)
    table = QuantisedTable(rnn.rows(model.embedding.weight), rnn.inputs.step, rnn.recurrence.bits)
    zero = torch.zeros_like(model.embedding.weight[0])
    model.behind = rnn.rows(zero).detach().clone()
    model.embedding, model.rnn = table, rnn.recurrence  # type: ignore[assignment]
    return model


@fold.register
def _(model: nn.Sequential) -> nn.Module:
    parts = list(model)
    expected = len(parts) > 1 and isinstance(parts[0], nn.Embedding)
    if not (expected and isinstance(parts[1], nn.Linear | TokenConv1d)):
        kinds = ", ".join(named(*one) for one in list(model._modules.items())[:2])  # type: ignore[arg-type]
        raise TypeError(
            "an nn.Sequential must begin with an nn.Embedding and an nn.Linear or TokenConv1d, got"
            f" {kinds or 'none'}"
        )
    check_plain("", model, WAY_OUT, nn.Sequential)
    paths = tuple(list(model._modules)[:2])
    fold_one: Any = folded_table if isinstance(parts[1], nn.Linear) else FoldedConv
    return nn.Sequential(fold_one(parts[0], parts[1], paths), *parts[2:])


def folded_table(
    embedding: nn.Embedding, linear: nn.Linear, paths: tuple[str, ...] = ("embedding", "linear")
) -> nn.Embedding:
    """An embedding whose rows are what `linear` makes of the rows of `embedding`.

    Args:
        paths: where the two stand, for errors.
    Raises:
        ValueError: one of them is not exactly what its class says, or rows are renormalised at every look-up
            (max_norm).
    """
    check_table(embedding, paths[0])
    check_plain(paths[1], linear, WAY_OUT, nn.Linear)
    return nn.Embedding.from_pretrained(linear(embedding.weight), padding_idx=embedding.padding_idx)


def fold_ngrams(model: SpikingClassifier | RecurrentClassifier, weight: Tensor) -> None:
    """The vectors of n-grams, where there are any, as rows of what `weight` (O, D) makes of them."""
    if model.ngrams is not None:
        check_plain("ngrams", model.ngrams, WAY_OUT, NGramEmbedding)
        check_plain("ngrams.table", model.ngrams.table, WAY_OUT, nn.EmbeddingBag)
        rows = nn.functional.linear(model.ngrams.table.weight, weight)
        model.ngrams.table = nn.EmbeddingBag.from_pretrained(rows, mode="sum")


def check_table(embedding: nn.Embedding, path: str = "embedding") -> None:
    """Raises ValueError for an embedding of which a look-up gives something else than a row of its weight."""
    check_plain(path, embedding, WAY_OUT, nn.Embedding)
    if embedding.max_norm is not None:
        raise ValueError(f"an embedding with max_norm cannot be folded, got max_norm={embedding.max_norm}")


class FoldedConv(nn.Module):
    """Embedding and convolution over K tokens as K look-ups that are added: ids (L, *) to (L, *, O).

    It returns a state as `TokenConv1d` does: None, as it takes whole sequences.

    Args:
        embedding, conv: what is folded. Tokens that do not exist add nothing, as in `TokenConv1d`.
        paths: where the two stand, for errors.
    Raises:
        ValueError: as `folded_table`.
    """

    def __init__(
        self, embedding: nn.Embedding, conv: Any, paths: tuple[str, ...] = ("embedding", "conv")
    ) -> None:
        super().__init__()
        check_table(embedding, paths[0])
        check_plain(paths[1], conv, WAY_OUT, TokenConv1d)
        self.before = conv.kernel_size - 1 if conv.causal else conv.kernel_size // 2
        self.tables = nn.Parameter(embedding.weight @ conv.weight)  # (K, V, O)
        self.bias = conv.bias

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        out = self.tables.new_zeros((*ids.shape, self.tables.shape[2]))
        for k, table in enumerate(self.tables):
            shift = k - self.before
            to, given = max(0, -shift), max(0, shift)
            rows = len(ids) - abs(shift)
            if rows > 0:
                out[to : to + rows] += table[ids[given : given + rows]]
        return (out if self.bias is None else out + self.bias), None


def is_folded(model: SpikingClassifier) -> bool:
    """Whether the first map of a classifier is in its embedding already."""
    first: Any = model.spiking.layers[0] if isinstance(model.spiking, SpikingRNN) else None
    passed = isinstance(getattr(first, "input_map", None), Passed)
    return isinstance(model.context, FoldedConv) or (model.context is None and passed)


def fold_recurrent(
    embedding: nn.Embedding, rnn: Any, paths: tuple[str, str] = ("embedding", "rnn")
) -> tuple[nn.Embedding, "FoldedRecurrent"]:
    """A table of projected inputs, and the recurrence that is left.

    Args:
        paths: where the two stand, for errors.
    Raises:
        TypeError: it is folded already.
        ValueError: several layers, two directions, or the batch first; or as `folded_table`.
    """
    if not issubclass(type(rnn), nn.RNNBase):
        raise TypeError(
            f"fold_embeddings found a {type(rnn).__name__} where an nn.LSTM, nn.GRU or nn.RNN was"
        )
    check_table(embedding, paths[0])
    check_plain(paths[1], rnn, WAY_OUT, nn.LSTM, nn.GRU, nn.RNN)
    if rnn.batch_first:
        refuse(paths[1], rnn, "has the batch first", "folding needs batch_first=False")
    folded = FoldedRecurrent(rnn)
    projection = nn.functional.linear(
        embedding.weight, rnn.weight_ih_l0, rnn.bias_ih_l0 if rnn.bias else None
    )
    if rnn.bias and folded.bias is None:  # of both biases one is left, and it is in the table
        projection = projection + rnn.bias_hh_l0
    return nn.Embedding.from_pretrained(projection, padding_idx=embedding.padding_idx), folded


def recurrent_kind(module: Any) -> str:
    """ "LSTM", "GRU" or "RNN", of torch's layers and cells, their subclasses and their 8-bit forms."""
    names = [base.__name__.removesuffix("Cell") for base in type(module).__mro__]
    return next(name for name in names if name in ("LSTM", "GRU", "RNN"))


class FoldedRecurrent(nn.Module):
    """An nn.LSTM, nn.GRU or nn.RNN of one layer without its input projection: (L, B, gates * H) in.

    Args:
        rnn: the nn.LSTM, nn.GRU or nn.RNN that it is made of.
    """

    def __init__(self, rnn: Any) -> None:
        super().__init__()
        if rnn.num_layers != 1 or rnn.bidirectional or rnn.proj_size:
            raise ValueError(f"only one layer in one direction can be folded, got {rnn}")
        self.kind, self.hidden_size = recurrent_kind(rnn), rnn.hidden_size
        self.activation = torch.relu if getattr(rnn, "nonlinearity", "tanh") == "relu" else torch.tanh
        self.weight = nn.Parameter(rnn.weight_hh_l0.detach().clone())
        # A GRU's reset gate scales what this bias is part of.
        keep = rnn.bias and self.kind == "GRU"
        self.bias = nn.Parameter(rnn.bias_hh_l0.detach().clone()) if keep else None

    def forward(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (L, B, H) and the last of them."""
        hidden = projected.new_zeros((projected.shape[1], self.hidden_size))
        cell, outputs = hidden, []
        for row in projected:
            fed_back = nn.functional.linear(hidden, self.weight, self.bias)
            if self.kind == "LSTM":
                i, f, g, o = (row + fed_back).chunk(4, 1)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                hidden = o.sigmoid() * cell.tanh()
            elif self.kind == "GRU":
                given, back = row.chunk(3, 1), fed_back.chunk(3, 1)
                r, z = (given[0] + back[0]).sigmoid(), (given[1] + back[1]).sigmoid()
                n = (given[2] + r * back[2]).tanh()
                hidden = (1 - z) * n + z * hidden
            else:
                hidden = self.activation(row + fed_back)
            outputs.append(hidden)
        return torch.stack(outputs), hidden
