"""Decoding: the most likely target of each source of a batch, greedily or by beam search.

The score of n ids and the `<eos>` that closes them is log p(ids, <eos> | source) / (n + 1) ** length_penalty.
At its max length a target is closed whatever the probability of `<eos>`, so that every score is of a whole
sentence. Of equally likely continuations that of the better hypothesis is taken, then that of the lower id.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...checks import check_tensor, positive_int
from ...nn.lengths import inside
from ...nn.state import reorder_state
from .base import BOS, EOS, PAD, UNK, Seq2Seq


@dataclass(frozen=True)
class Hypothesis:
    """What one source was decoded to.

    Args:
        ids: of the target, without `<bos>` and `<eos>`.
        score: its log-probability under the length penalty.
        attended: for each id, the position of the source word with the largest attention weight (not of the
            `<eos>` after them: what is attended may be copied); None without attention.
        attention: (len(ids) + 1, source length), a row for each id and one for `<eos>`, if asked for.
    """

    ids: list[int]
    score: float
    attended: list[int] | None = None
    attention: Tensor | None = field(default=None, compare=False)


@torch.no_grad()
def greedy(
    model: Seq2Seq,
    source: Tensor,
    lengths: Tensor,
    *,
    length_penalty: float = 1.0,
    max_lengths: Tensor | int | None = None,
    unk: bool | None = None,
    attention: bool = False,
    recompute: bool = False,
) -> list[Hypothesis]:
    """Always the most likely next id: what `beam_search`, whose arguments these are, finds with beam=1."""
    search = _Search(model, source, lengths, max_lengths, length_penalty, unk, attention, recompute)
    found: dict[int, Hypothesis] = {}
    sentences = torch.arange(len(lengths), device=source.device)
    totals = torch.zeros(len(lengths), device=source.device)
    n = 0
    while len(sentences):
        last = search.limits[sentences] == n
        totals, ids = (totals.unsqueeze(1) + search.step(last)).max(1)
        possible = totals > -math.inf  # not so where the model's output is not finite
        ends = last | (ids == EOS) | ~possible
        scores = totals / search.norms[n].to(totals)
        for row in ends.nonzero().flatten().tolist():
            whole = bool(possible[row])
            found[int(sentences[row])] = (
                search.hypothesis(row, float(scores[row])) if whole else Hypothesis([], -math.inf)
            )
        rows = (~ends).nonzero().flatten()
        sentences, totals = sentences[rows], totals[rows]
        search.go_on(ids[rows], rows if len(rows) < len(ends) else None)
        n += 1
    return [found[i] for i in range(len(lengths))]


@torch.no_grad()
def beam_search(
    model: Seq2Seq,
    source: Tensor,
    lengths: Tensor,
    *,
    beam: int = 5,
    length_penalty: float = 1.0,
    max_lengths: Tensor | int | None = None,
    unk: bool | None = None,
    attention: bool = False,
    recompute: bool = False,
    early_stop: bool = True,
) -> list[Hypothesis]:
    """The best-scored target that is found with `beam` live hypotheses a sentence.

    In each step the likeliest continuations of the live hypotheses are ranked. Those of the first `beam` that
    end in `<eos>` are finished, and the first `beam` without it live on. A sentence leaves the batch when

    - it has its max length, or `beam` hypotheses have finished that were likelier than any that lived on, or
    - no live one can win any more: log p / (max length + 1) ** length_penalty of the best, which no
      continuation exceeds since log p only falls, is not above the best score of the finished.

    Args:
        model: in evaluation mode; what it draws at random would change from token to token.
        source: (S, B) int64 ids. lengths: (B,) of the sentences, their closing `<eos>` counted.
        beam: live hypotheses; more than the default 5 seldom find better translations. 1 is `greedy`.
        length_penalty: 0 favours short targets; 1, the default, compares mean log-probabilities.
        max_lengths: most ids of a target, (B,) or one for all; default 2 * length + 10, which is ample.
        unk: whether `<unk>` may be chosen; by default where there is attention, so that the attended source
            word can take its place. `<pad>` and `<bos>` never are.
        attention: keep the attention weights, for a picture.
        recompute: decode every prefix from its start, without state: the slow reference.
        early_stop: False leaves the last rule out, for the same results later.
    Returns:
        One hypothesis a sentence, in order; no ids and score -inf where the model's output is not finite.
    Raises:
        TypeError, ValueError: beam or a length below 1, a length beyond the source, a length penalty that is
            negative or not finite, max lengths that are negative or of another number.
    """
    positive_int("beam", beam)
    search = _Search(model, source, lengths, max_lengths, length_penalty, unk, attention, recompute)
    found = {i: Hypothesis([], -math.inf) for i in range(len(lengths))}
    sentences = torch.arange(len(lengths), device=source.device)  # (A,) those not done
    best = torch.full((len(lengths),), -math.inf, dtype=torch.float64, device=source.device)
    finished = torch.zeros_like(sentences)
    totals = torch.zeros(len(lengths), 1, device=source.device)  # (A, K) log p of the live, the best first
    n = 0
    while len(sentences):
        width = totals.shape[1]  # 1 at first, then `beam`, where the vocabulary holds as many
        last = search.limits[sentences] == n
        scores = search.step(last.repeat_interleave(width))
        vocabulary = scores.shape[1]
        values, index = top((totals.view(-1, 1) + scores).view(len(sentences), -1), 2 * beam)
        rows = index // vocabulary + width * torch.arange(len(sentences), device=source.device).unsqueeze(1)
        ids = index % vocabulary
        ends = ids == EOS
        complete = values[:, :beam].masked_fill(~ends[:, :beam], -math.inf)
        score, rank = (complete / search.norms[n].to(complete)).max(1)
        for i in (score > best).nonzero().flatten().tolist():
            found[int(sentences[i])] = search.hypothesis(int(rows[i, rank[i]]), float(score[i]))
        best = torch.maximum(best, score)
        finished += (complete > -math.inf).cumprod(1).sum(1)  # those before the first that lives
        most = min(beam, ends.shape[1] - width)  # one continuation of each is `<eos>`
        live = ends.int().argsort(dim=1, stable=True)[:, :most]
        totals, rows, ids = (x.gather(1, live) for x in (values, rows, ids))
        done = last | (finished >= beam)
        if early_stop:
            done |= best >= totals[:, 0] / search.norms[search.limits[sentences]].to(totals)
        kept = (~done).nonzero().flatten()
        sentences, best, finished, totals = sentences[kept], best[kept], finished[kept], totals[kept]
        changed = len(kept) < len(done) or live.shape[1] != width
        search.go_on(ids[kept].flatten(), rows[kept].flatten(), memory=changed)
        n += 1
    return [found[i] for i in range(len(lengths))]


def top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of (A, N), or all N, in falling order; of equals the lower index first.

    torch.topk leaves open which of equals it takes, and in which order.
    """
    count = min(count, scores.shape[1])
    values, index = scores.topk(min(count + 1, scores.shape[1]))
    least = values[:, count - 1 : count]
    torn = ((least == values[:, count:]) & (least > -math.inf)).any(1)  # equals on both sides of the cut
    index = index[:, :count].sort(1).values
    if torn.any():
        whole = scores[torn].sort(dim=1, descending=True, stable=True).indices
        index[torn] = whole[:, :count].sort(1).values
    values, order = scores.gather(1, index).sort(dim=1, descending=True, stable=True)
    return values, index.gather(1, order)


class _Rows(NamedTuple):
    """What is known of each live hypothesis of n ids; every tensor has the hypotheses in dimension 1."""

    prefix: Tensor  # (1 + n, R) ids, `<bos>` first
    attended: Tensor | None  # (n, R)
    attention: Tensor | None  # (n, R, S)
    state: Any  # the model's


@dataclass
class _Search:
    """The live hypotheses of a batch, R of them, and the model that continues them."""

    model: Seq2Seq
    source: Tensor
    lengths: Tensor
    max_lengths: Tensor | int | None
    length_penalty: float
    unk: bool | None
    attention: bool
    recompute: bool

    def __post_init__(self) -> None:
        source, lengths = check_tensor("source", self.source), check_tensor("lengths", self.lengths)
        if source.dim() != 2:
            raise ValueError(f"source must be (S, B) ids, got {tuple(source.shape)}")
        if lengths.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"lengths must be int64, got {lengths.dtype}")
        if not 0 <= self.length_penalty < math.inf:
            raise ValueError(f"length_penalty must be finite and at least 0, got {self.length_penalty}")
        if lengths.shape != source.shape[1:] or ((lengths < 1) | (lengths > len(source))).any():
            wanted = f"{source.shape[1]} of at least 1 and at most {len(source)}, the rows of source"
            raise ValueError(f"lengths must be {wanted}, got {lengths.tolist()}")
        limits = torch.as_tensor(2 * lengths + 10 if self.max_lengths is None else self.max_lengths)
        if limits.shape not in ((), lengths.shape) or (limits < 0).any():
            raise ValueError(f"max_lengths must be 1 or {len(lengths)} of at least 0, got {limits.tolist()}")
        self.limits = limits.to(source.device).expand_as(lengths)
        counts = torch.arange(1, max(self.limits.tolist(), default=0) + 2, device=source.device)
        self.norms = counts.double() ** self.length_penalty  # by number of ids, `<eos>` not counted
        self.rows = _Rows(torch.full_like(source[:1], BOS), None, None, None)
        if len(lengths):
            self.memory = self.model.encode(source, lengths)

    def step(self, last: Tensor) -> Tensor:
        """Log-probabilities (R, V) of the next ids, -inf for the forbidden: all but `<eos>` where `last`."""
        rows = self.rows
        if self.recompute:
            decoded = self.model.decode(rows.prefix, self.memory)
        else:
            decoded = self.model.decode(rows.prefix[-1:], self.memory, rows.state)
            rows = rows._replace(state=decoded.state)
        logits = self.model.output_map(decoded.hidden[-1])
        scores = logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
        unk = decoded.attention is not None if self.unk is None else self.unk
        scores[:, [PAD, BOS] if unk else [PAD, BOS, UNK]] = -math.inf
        if last.any():
            closing = scores[last, EOS]
            scores[last] = -math.inf
            scores[last, EOS] = closing
        if decoded.attention is not None:
            weights = decoded.attention[-1:]
            words = inside(self.memory.lengths - 1, weights.shape[2]).T
            attended = weights.masked_fill(~words, -1).argmax(2)
            rows = rows._replace(attended=_append(rows.attended, attended))
            if self.attention:
                rows = rows._replace(attention=_append(rows.attention, weights))
        self.rows = rows
        return scores

    def go_on(self, ids: Tensor, rows: Tensor | None, memory: bool = True) -> None:
        """Continues the former hypothesis rows[i] with ids[i], as the new i; None: each is where it was.

        memory: False where each is of the same sentence as the one that was there before.
        """
        if rows is not None:
            self.rows = reorder_state(self.rows, rows, dim=1)
            self.memory = self.memory.select(rows) if memory else self.memory
        self.rows = self.rows._replace(prefix=_append(self.rows.prefix, ids.unsqueeze(0)))

    def hypothesis(self, row: int, score: float) -> Hypothesis:
        """Row `row` as it is, closed by `<eos>`."""
        ids, attended, attention, _ = self.rows
        return Hypothesis(
            ids[1:, row].tolist(),
            score,
            None if attended is None else attended[:-1, row].tolist(),
            None if attention is None else attention[:, row, : int(self.memory.lengths[row])].clone(),
        )


def _append(rows: Tensor | None, row: Tensor) -> Tensor:
    return row if rows is None else torch.cat((rows, row))
