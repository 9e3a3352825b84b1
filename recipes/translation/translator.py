"""Translating lines of text with a trained encoder-decoder: one line out for every line in, in order."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikeseq.checks import positive_int, strings
from spikeseq.models.seq2seq import EOS, SPECIALS, UNK, Hypothesis, Seq2Seq, beam_search, greedy
from spikeseq.recipes.shared.opened import Opened, Seen
from spikeseq.recipes.translation.lines import check_length, clean
from spikeseq.tokenizers import Vocab

BATCH_SIZE = 64
USUAL_LENGTH = 50  # tokens; a batch of longer sentences holds fewer, so that no line needs too much memory


@dataclass
class Translation:
    """One line as the model sees it.

    Args:
        source: its tokens. target: those of the translation, unknown words copied. Both without `<eos>`.
        score: of the search; 0 for a line without tokens.
        attention: (len(target) + 1, len(source) + 1), `<eos>` last in both, if it was asked for.
    """

    source: list[str]
    target: list[str]
    score: float = 0.0
    attention: Tensor | None = None


@dataclass
class Translator(Opened):
    """A trained translation model, as `spikeseq.load(run)` returns it.

    Args:
        model: in evaluation mode, on whatever device.
        source_vocab, target_vocab: both begin with `SPECIALS`.
        tokenise: the tokens of a source line.
        detokenise: a line of text from target tokens.
        config: of the run.
        copy_unknown: let the model say `<unk>`, where it has attention, and put the attended source word in
            its place. False for subwords, of which none is unknown.
    Raises:
        ValueError: a vocabulary that begins otherwise.
    """

    model: Seq2Seq
    source_vocab: Vocab
    target_vocab: Vocab
    tokenise: Callable[[str], list[str]]
    detokenise: Callable[[list[str]], str]
    config: Any = None
    copy_unknown: bool = True
    translates = True

    def __post_init__(self) -> None:
        for name, vocab in (("source", self.source_vocab), ("target", self.target_vocab)):
            first = vocab.tokens[: len(SPECIALS)]
            if first != SPECIALS:
                raise ValueError(f"the {name} vocabulary begins with {first}; expected {SPECIALS}")

    def translate(
        self,
        lines: list[str],
        *,
        beam: int = 5,
        length_penalty: float = 1.0,
        batch_size: int = BATCH_SIZE,
    ) -> list[str]:
        """One line of text for each of `lines`, in order; none holds a line break.

        A line without a word gives an empty one. What a line holds beside text counts as space (tabs, line
        breaks of all kinds) or as unknown words. Lines of like length are decoded together; with whom makes
        no difference beyond the rounding of float32.

        Args:
            beam, length_penalty: of `beam_search`; with beam 1, of `greedy`.
            batch_size: lines decoded at once, fewer if they are long.
        Raises:
            TypeError: `lines` is one string, or holds something else than strings.
            TypeError, ValueError: beam, length_penalty or batch_size is out of range.
            ValueError: a line of more than `lines.LONGEST` tokens.
        """
        found = self.translate_tokens(lines, beam=beam, length_penalty=length_penalty, batch_size=batch_size)
        return [clean(self.detokenise(line.target)) if line.target else "" for line in found]

    def translate_stream(
        self,
        lines: Iterable[str],
        *,
        beam: int = 5,
        length_penalty: float = 1.0,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[str]:
        """As `translate`, for lines still to come: reads `batch_size` of them, yields theirs, and so on.

        With batch_size=1 each translation is there before the next line is asked for.
        """
        if isinstance(lines, str):
            raise TypeError("lines must be an iterable of strings, got one string")
        positive_int("batch_size", batch_size)
        options: dict[str, Any] = {"beam": beam, "length_penalty": length_penalty, "batch_size": batch_size}
        return self._stream(iter(lines), batch_size, options)

    def _stream(self, coming: Iterator[str], size: int, options: dict[str, Any]) -> Iterator[str]:
        error: Exception | None = None
        while error is None:
            chunk: list[str] = []
            try:
                chunk.extend(islice(coming, size))
            except Exception as caught:  # what came before it is not lost
                error = caught
            yield from self.translate(chunk, **options)
            if error is None and len(chunk) < size:
                return
        raise error

    def translate_tokens(
        self,
        lines: list[str],
        *,
        beam: int = 5,
        length_penalty: float = 1.0,
        batch_size: int = BATCH_SIZE,
        attention: bool = False,
    ) -> list[Translation]:
        """As `translate`, but tokens, scores and, if asked for, the attention of a model that has it."""
        positive_int("batch_size", batch_size)
        unk = None if self.copy_unknown else False
        options: dict[str, Any] = {"length_penalty": length_penalty, "unk": unk, "attention": attention}
        search = greedy if positive_int("beam", beam) == 1 else partial(beam_search, beam=beam)
        device = next(self.model.parameters(), torch.empty(0)).device
        found = [Translation(self.short(clean(line)), []) for line in strings("lines", lines)]
        for batch in batches([len(line.source) for line in found], batch_size):
            ids = [torch.tensor(self.encode(found[i].source)) for i in batch]
            lengths = torch.tensor([len(sentence) for sentence in ids])
            hypotheses = search(self.model, pad_sequence(ids).to(device), lengths.to(device), **options)
            for i, best in zip(batch, hypotheses, strict=True):
                source = found[i].source
                found[i] = Translation(source, self.words(best, source), best.score, best.attention)
        return found

    def short(self, line: str) -> list[str]:
        """The tokens of a line. Raises ValueError for more than can be translated."""
        tokens = self.tokenise(line)
        check_length(line, len(tokens))
        return tokens

    def attention(
        self, line: str, *, beam: int = 5, length_penalty: float = 1.0
    ) -> tuple[list[str], list[str], Tensor]:
        """What a picture of attention needs: source and target tokens, `<eos>` included, and the weights.

        Returns:
            S source tokens, L target tokens, (L, S) weights, whose rows sum to one.
        Raises:
            TypeError: not a string, or the model has no attention. ValueError: a line without a word.
        """
        options: dict[str, Any] = {"beam": beam, "length_penalty": length_penalty, "attention": True}
        (found,) = self.translate_tokens([line], **options)
        if not found.source:
            raise ValueError(f"a line without a word has no attention to show, got {line!r}")
        if found.attention is None:
            raise TypeError(f"this model ({type(self.model).__name__}) has no attention to show")
        return [*found.source, SPECIALS[EOS]], [*found.target, SPECIALS[EOS]], found.attention

    @torch.no_grad()
    def see(self, text: str) -> Seen:
        """Its words and, where the model has attention, what the words of its translation look at."""
        (found,) = self.translate_tokens([text], beam=1, attention=True)
        words = [*found.source, SPECIALS[EOS]]
        if found.attention is None:
            return Seen(words)
        return Seen(words, attention=(words, [*found.target, SPECIALS[EOS]], found.attention))

    def encode(self, tokens: list[str]) -> list[int]:
        """Ids of a source, and `<eos>`. A word that is spelt like a special is unknown."""
        ids = self.source_vocab.encode(tokens)
        return [*(i if i >= len(SPECIALS) else UNK for i in ids), EOS]

    def words(self, hypothesis: Hypothesis, source: list[str]) -> list[str]:
        """The target tokens, each `<unk>` replaced by the source word that it attends to."""
        words = self.target_vocab.decode(hypothesis.ids)
        for i, position in enumerate(hypothesis.attended or []):
            if hypothesis.ids[i] == UNK:
                words[i] = source[position]
        return words


def batches(lengths: list[int], size: int) -> Iterator[list[int]]:
    """Indices of the lines that have tokens, the shortest first, in batches of at most `size` lines and, with
    padding, size * USUAL_LENGTH tokens (but of one line at least)."""
    batch: list[int] = []
    for i in sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * max(lengths[i], USUAL_LENGTH) > size * USUAL_LENGTH:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
