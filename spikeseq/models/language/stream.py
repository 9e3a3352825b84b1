"""A spiking language model for writing: its first map is a look-up, and a spike reads one row of weights."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...checks import has_values
from ...events import EventLinear, form
from ...modules import check_plain, class_of
from ...nn import LIF
from ...nn.layer import SpikingLayer
from ...nn.lif import SMALLEST_THRESHOLD
from ...ops.dispatch import dispatch
from ...ops.language import EPSILON, LANGUAGE, Block, Ends, Neurons, State
from ..ngrams import NGramEmbedding, check_recent
from .base import check_pair, check_tokens
from .spiking import SpikingBlock, SpikingBlocks, SpikingLanguageModel, TokenShift

WAY_OUT = "remove that before compiling for events, or leave the model as it is"


class StreamedLanguageModel(nn.Module):
    """What `compile_events` makes of a `SpikingLanguageModel`: the same but for the order of additions.

    A token is a few rows of a table that are added, the neurons of every block, the rows of weights of those
    that fired, and the output map; all of it is one call of the kernel on a CPU.

    Args:
        model: with fixed leaks, and neither feedback nor mixers. It is read, not kept.
    Raises:
        TypeError: another model. ValueError: a part that is not exactly what its class says.
    """

    batch_first = False
    limit = None

    table: Tensor
    ngrams: Tensor
    gain: Tensor
    offset: Tensor
    output_bias: Tensor

    @torch.no_grad()
    def __init__(self, model: SpikingLanguageModel) -> None:
        super().__init__()
        check(model)
        blocks: Any = model.blocks
        for name, value in {
            "table": model.embedding.weight, "gain": model.norm.weight, "offset": model.norm.bias,
            "output_bias": model.output_bias,
        }.items():  # fmt: skip
            self.register_buffer(name, value.detach().clone())
        self.scale, self.orders, self.neurons = settings(model)
        ngrams = model.embedding.weight[:0] if model.ngrams is None else model.ngrams.table.weight
        self.register_buffer("ngrams", ngrams.detach().clone())
        self.blocks = nn.ModuleList(
            StreamedBlock(block, None if i or self.orders else self.table * self.scale)
            for i, block in enumerate(blocks)
        )

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """As `LanguageModel`. For inference: nothing carries gradients.

        state: of every block membranes (B, N), and what it keeps of the last tokens; with n-grams a pair, the
            last tokens before that.
        """
        logits, state, spikes = self.run(tokens, state)
        parts: list[Any] = list(self.blocks)
        for block, count in zip(parts, spikes.tolist() if has_values(spikes) else [], strict=False):
            block.back.count(count * block.back.out_features)
        return logits, state

    @torch.no_grad()
    def run(self, tokens: Tensor, state: Any) -> Any:
        """Logits, state, and the spikes of every block."""
        check_tokens(tokens)
        parts: list[Any] = list(self.blocks)
        found = self.start(tokens.shape[1]) if state is None else self.taken(state, tokens.shape[1])
        logits, (recent, state), spikes = dispatch(
            LANGUAGE, tokens.long(), self.ends(), [block.parts() for block in parts], found, self.neurons
        )
        return logits, (recent, state) if self.orders else state, spikes

    def start(self, batch: int) -> State:
        """The state of rows whose text has not begun, as the op takes it."""
        parts: list[Any] = list(self.blocks)
        before = self.orders[-1] - 1 if self.orders else 0
        recent = torch.zeros((batch, before), dtype=torch.int64, device=self.table.device)
        return recent, [block.start(batch) for block in parts]

    def taken(self, state: Any, batch: int) -> State:
        """A state that this model returned, as the op takes it; another's is refused."""
        recent, _ = self.start(batch)
        if self.orders:
            recent, state = check_pair(state)
            check_recent(recent, batch, self.orders[-1] - 1)
        if not of_blocks(state, len(self.blocks)):
            raise ValueError(
                f"state must be what this model returned, of {len(self.blocks)} blocks; that of the model it"
                " was compiled from has other parts"
            )
        return recent, state

    def ends(self) -> Ends:
        """In the op's order."""
        return Ends(
            self.table, self.scale, self.ngrams, self.orders, self.gain, self.offset, self.output_bias
        )


def of_blocks(state: Any, count: int) -> bool:
    """Whether a state is a pair of tensors for each block; the op looks at their shapes."""
    if not isinstance(state, tuple | list) or len(state) != count:
        return False
    pairs = all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in state)
    return pairs and all(isinstance(part, Tensor) for pair in state for part in pair)


class StreamedBlock(nn.Module):
    """One block. With the embedded tokens (V, D) its currents become tables, one for each token it sees."""

    def __init__(self, block: SpikingBlock, embedded: Tensor | None) -> None:
        super().__init__()
        layer: Any = block.layer
        weight = layer.input_map.weight
        shift = weight.new_empty((0, weight.shape[1])) if block.shift is None else block.shift.weight
        self.taps = max(1, len(shift))
        if embedded is not None:
            seen = block.norm(embedded)
            taps = shift if len(shift) else seen.new_ones((1, seen.shape[1]))
            weight = torch.stack([(seen * tap) @ weight.t() for tap in taps])
        self.back = EventLinear(block.to_stream)
        own = {
            "gain": block.norm.weight, "offset": block.norm.bias, "shift": shift, "weight": weight,
            "bias": layer.input_map.bias, "leak": layer.lif.leak, "threshold": layer.lif.threshold,
        }  # fmt: skip
        for name, value in own.items():
            self.register_buffer(name, value.detach().clone())

    def parts(self) -> Block:
        """In the op's order."""
        own: Any = self
        back = own.back
        return Block(
            own.gain, own.offset, own.shift, own.weight, own.bias, own.leak, own.threshold,
            back.weight[0], back.bias,
        )  # fmt: skip

    def start(self, batch: int) -> tuple[Tensor, Tensor]:
        """Membranes at rest, and no tokens before."""
        weight: Any = self.weight
        membranes = weight.new_zeros((batch, weight.shape[-1] if weight.dim() == 3 else weight.shape[0]))
        if weight.dim() == 3:
            return membranes, torch.full((batch, self.taps - 1), -1, device=weight.device)
        return membranes, weight.new_zeros((batch, self.taps - 1, weight.shape[1]))


def check(model: SpikingLanguageModel) -> None:
    """Refuses a model that cannot be streamed. Raises as `StreamedLanguageModel`."""
    if reason := unfit(model):
        raise TypeError(f"{reason}; its maps of spikes alone can be driven by events")
    check_plain("", model, WAY_OUT, SpikingLanguageModel)
    check_plain("embedding_dropout", model.embedding_dropout, WAY_OUT)
    check_plain("output_dropout", model.output_dropout, WAY_OUT)
    check_plain("embedding", model.embedding, WAY_OUT, nn.Embedding)
    check_plain("norm", model.norm, WAY_OUT, nn.LayerNorm)
    if model.ngrams is not None:
        check_plain("ngrams", model.ngrams, WAY_OUT, NGramEmbedding)
        check_plain("ngrams.table", model.ngrams.table, WAY_OUT, nn.EmbeddingBag)
    check_plain("blocks", model.blocks, WAY_OUT, SpikingBlocks)
    for i, block in enumerate(model.blocks):
        part, path = cast(Any, block), f"blocks.{i}"
        check_plain(path, part, WAY_OUT, SpikingBlock)
        check_plain(f"{path}.dropout", part.dropout, WAY_OUT)
        check_plain(f"{path}.norm", part.norm, WAY_OUT, nn.LayerNorm)
        check_plain(f"{path}.layer", part.layer, WAY_OUT, SpikingLayer)
        check_plain(f"{path}.layer.input_map", part.layer.input_map, WAY_OUT, nn.Linear)
        check_plain(f"{path}.layer.lif", part.layer.lif, WAY_OUT, LIF)
        check_plain(f"{path}.to_stream", part.to_stream, WAY_OUT, nn.Linear)
        if part.shift is not None:
            check_plain(f"{path}.shift", part.shift, WAY_OUT, TokenShift)


def settings(model: SpikingLanguageModel) -> tuple[float, list[int], Neurons]:
    """All that a streamed model takes of one beside its tensors: scale of embeddings, n-grams, neurons."""
    first: Any = model.blocks[0]
    orders = [] if model.ngrams is None else list(model.ngrams.orders)
    return model.width**0.5, orders, Neurons(SMALLEST_THRESHOLD, first.substeps, first.layer.lif.reset)


def unfit(model: SpikingLanguageModel) -> str | None:
    """Why a model cannot be streamed by the op; None if it can."""
    if reason := unusual(norm=model.norm) or not_silent(model.embedding_dropout, model.output_dropout):
        return reason
    if class_of(model.embedding) is not nn.Embedding:
        return f"embedding is a {type(model.embedding).__name__}"
    if model.embedding.max_norm is not None:
        return "embedding has a max_norm"
    if model.ngrams is not None and (reason := odd_ngrams(model.ngrams)):
        return f"ngrams {reason}"
    first: Any = model.blocks[0]
    for path, block in model.blocks.named_children():
        where = f"blocks.{path}"
        part: Any = block
        if not isinstance(part, SpikingBlock):
            return f"{where} is a {type(part).__name__}"
        layer: Any = part.layer
        if class_of(layer) is not SpikingLayer or class_of(layer.lif) is not LIF:
            return f"{where}.layer is not the layer of neurons that it was"
        if isinstance(part.to_stream, EventLinear):
            return f"{where} is driven by events already"
        if part.to_leak is not None:
            return f"{where} computes its leaks from the input"
        if layer.feedback is not None:
            return f"{where} has feedback"
        if part.mixer is not None:
            return f"{where} has a mixer"
        if layer.lif.planes:
            return f"{where} has a surrogate that remembers"
        if layer.lif.norm_input:
            return f"{where} weights its currents by 1 - leak"
        if layer.norm is not None:
            return f"{where} normalises its currents"
        if (part.substeps, layer.lif.reset) != (first.substeps, first.layer.lif.reset):
            return f"{where} has other substeps or another reset than blocks.0"
        maps = {"norm": part.norm, "to_stream": part.to_stream, "layer.input_map": layer.input_map}
        if reason := unusual(**maps) or not_silent(part.dropout):
            return f"{where}: {reason}"
    return None


def unusual(**parts: Any) -> str | None:
    """What the op does not know of maps and normalisations: none of its weights, another epsilon."""
    for name, part in parts.items():
        if getattr(part, "weight", None) is None or getattr(part, "bias", None) is None:
            return f"{name} has no weight or no bias"
        if isinstance(part, nn.LayerNorm) and part.eps != EPSILON:
            return f"{name} has eps={part.eps}"
    return None


def odd_ngrams(ngrams: NGramEmbedding) -> str | None:
    """What the op does not know of n-grams and their table."""
    bag = ngrams.table
    if class_of(ngrams) is not NGramEmbedding or class_of(bag) is not nn.EmbeddingBag:
        return f"is a {type(ngrams).__name__} with a {type(bag).__name__}"
    if ngrams.rows * len(ngrams.orders) != len(bag.weight):
        return f"has {len(bag.weight)} rows, not {ngrams.rows} for each of {len(ngrams.orders)} orders"
    if bag.max_norm is not None or bag.padding_idx is not None or bag.mode != "sum":
        return f"has mode={bag.mode}, max_norm={bag.max_norm}, padding_idx={bag.padding_idx}"
    return None


def not_silent(*dropouts: nn.Module) -> str | None:
    """Whether something stands where a dropout does, and does something in evaluation."""
    odd = [one for one in dropouts if not isinstance(one, (nn.Dropout, nn.Identity))]
    return f"{type(odd[0]).__name__} stands for a dropout" if odd else None


@form.register
def _(model: SpikingLanguageModel, weights: str) -> nn.Module | None:
    return StreamedLanguageModel(model) if weights == "float32" and unfit(model) is None else None
