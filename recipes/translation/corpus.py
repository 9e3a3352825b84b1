"""Parallel texts as token ids: tokenizers, vocabularies, and what a translation model needs of them later."""

import hashlib
import json
import random
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spikeseq.evaluation.bleu import detokenise
from spikeseq.files import write_whole
from spikeseq.models.seq2seq import EOS, SPECIALS, UNK
from spikeseq.recipes.manifest import checked
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.shared.corpus_cache import corpus_folder, keep_corpus
from spikeseq.recipes.shared.kept_tokenizer import open_tokenizer
from spikeseq.recipes.translation.data import Pairs, ParallelData, load_parallel_data
from spikeseq.recipes.translation.lines import check_length
from spikeseq.tokenizers import SubwordTokenizer, Tokenizer, Vocab, build_tokenizer

SOURCE_VOCAB, TARGET_VOCAB, SUBWORD_FILE = "source_vocab.json", "target_vocab.json", "subword.model"
SOURCE_TOKENIZER, TARGET_TOKENIZER = "source_tokenizer.json", "target_tokenizer.json"
IDS_FILE = "ids.safetensors"  # of a corpus in the cache
TOKENIZERS = ("spacy", "subword", "whitespace")


def subword(tokenizer: Tokenizer) -> SubwordTokenizer | None:
    """`tokenizer` if it cuts words into pieces."""
    return tokenizer if isinstance(tokenizer, SubwordTokenizer) else None


@dataclass(frozen=True)
class Side:
    """One language: text to ids and back."""

    language: str
    tokenizer: Tokenizer
    vocab: Vocab

    def detokenise(self, tokens: list[str]) -> str:
        """Plain text from tokens."""
        if self.subword is not None:
            return self.subword.detokenise(tokens)
        return detokenise(tokens, self.language)

    @property
    def subword(self) -> SubwordTokenizer | None:
        """The tokenizer where it cuts words into pieces, of which none is unknown."""
        return subword(self.tokenizer)


@dataclass
class EncodedPairs:
    """One split: ids of every sentence, `<eos>` at their ends, and the raw target texts."""

    sources: list[list[int]]
    targets: list[list[int]]
    source_texts: list[str]
    references: list[str]

    def __len__(self) -> int:
        return len(self.sources)

    def part(self, rows: list[int]) -> "EncodedPairs":
        """Some of the pairs."""
        return EncodedPairs(
            [self.sources[i] for i in rows],
            [self.targets[i] for i in rows],
            [self.source_texts[i] for i in rows],
            [self.references[i] for i in rows],
        )


@dataclass
class ParallelCorpus:
    """All that a translation model is trained and tested on."""

    name: str
    source: Side
    target: Side
    splits: dict[str, EncodedPairs]

    def files(self) -> dict[str, str | bytes]:
        """What a run folder keeps of it, by file name."""
        return text_files(self.source, self.target)

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        return {
            "tokenizer": f"{self.source.tokenizer.signature()} {self.target.tokenizer.signature()}",
            "vocabulary": [len(self.source.vocab), len(self.target.vocab)],
            "texts": {name: len(split) for name, split in self.splits.items()},
        }


def load_parallel_corpus(config: Any, say: Say = lambda text: None) -> ParallelCorpus:
    """The corpus that the section `data` of a configuration describes; everything is learnt from `train`.

    It is kept in the cache, under its texts and settings.
    """
    data = load_pairs(config)
    if data.skipped:
        say(f"left out {data.skipped} training pairs with an empty side")
    folder = corpus_folder(_facts(data, config))
    corpus = _read(folder, data, config)
    if corpus is None:
        say(f"tokenising {len(data.train) + len(data.validation) + len(data.test):,} pairs")
        corpus = build_parallel_corpus(data, config)
        keep_corpus(folder, partial(_write, corpus), say)
    for name in ("validation", "test"):  # before a training, which translates them
        split = corpus.splits[name]
        for ids, text in zip(split.sources, split.source_texts, strict=True):
            check_length(text, len(ids) - 1)
    return without_long(corpus, config.longest)


def load_pairs(config: Any, source: str | None = None, test: str | None = None) -> ParallelData:
    """The raw pairs that the section `data` of a configuration describes; of another source or test split."""
    return load_parallel_data(
        config.source if source is None else source,
        source_language=config.source_language,
        target_language=config.target_language,
        test_split=config.test_split if test is None else test,
        validation_share=config.validation_share,
        test_share=config.test_share,
        seed=config.split_seed,
        limit=config.limit,
    )


def build_parallel_corpus(data: ParallelData, config: Any) -> ParallelCorpus:
    """Tokenises, builds both vocabularies from the training pairs, and encodes every split."""
    source, target = build_tokenizers(config, data.train)
    joint = subword(source)
    # Of pieces the source has all, so that no text is unknown to it; the target has those that it can learn.
    spare = [] if joint is None else [list(joint.pieces)]
    vocabs = [
        Vocab.build(
            [*tokenizer.tokenize_all(texts), *more],
            min_frequency=config.min_frequency if joint is None else 1,
            specials=SPECIALS,
        )
        for tokenizer, texts, more in (
            (source, data.train.sources, spare),
            (target, data.train.targets, []),
        )
    ]
    sides = Side(data.source_language, source, vocabs[0]), Side(data.target_language, target, vocabs[1])
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    encoded = {name: encode_pairs(pairs, *sides) for name, pairs in splits.items()}
    return ParallelCorpus(f"{data.name} {data.test_split}", *sides, encoded)


def without_long(corpus: ParallelCorpus, longest: int | None) -> ParallelCorpus:
    """The same without training pairs of which a side has more than `longest` tokens."""
    train = corpus.splits["train"]
    kept = [i for i in range(len(train)) if fits(train, i, longest)]
    if not kept:
        raise ValueError(f"data.longest={longest} leaves no training pair")
    return replace(corpus, splits={**corpus.splits, "train": train.part(kept)})


def _facts(data: ParallelData, config: Any) -> list[Any]:
    """What a corpus depends on: the settings, the libraries that tokenise, and every text."""
    texts = hashlib.sha256()
    for pairs in (data.train, data.validation, data.test):
        for side in (pairs.sources, pairs.targets):
            texts.update("\n".join([str(len(side)), *side]).encode())
    later = ("source", "merge_dropout", "longest")  # where it came from, and what acts on it afterwards
    settings = {name: config[name] for name in sorted(config) if name not in later}
    try:
        library = version({"subword": "sentencepiece", "spacy": "spacy"}.get(config.tokenizer, "spikeseq"))
    except PackageNotFoundError:  # which the tokenizer will say
        library = ""
    return ["pairs", 2, data.name, settings, library, texts.hexdigest()]


def _write(corpus: ParallelCorpus, folder: Path) -> None:
    for name, content in corpus.files().items():
        write_whole(folder / name, content)
    tensors = {}
    for name, split in corpus.splits.items():
        for side, sentences in (("sources", split.sources), ("targets", split.targets)):
            tensors[f"{name}.{side}"] = torch.tensor([i for ids in sentences for i in ids], dtype=torch.int32)
            tensors[f"{name}.{side}.lengths"] = torch.tensor([len(ids) for ids in sentences])
    save_file(tensors, folder / IDS_FILE)


def _read(folder: Path, data: ParallelData, config: Any) -> ParallelCorpus | None:
    """The corpus of these texts in the cache, or None where there is none that is whole."""
    try:
        tensors = load_file(checked(folder / IDS_FILE))
        sides = read_sides(folder, config)
        encoded = {}
        for name, pairs in (("train", data.train), ("validation", data.validation), ("test", data.test)):
            ids = [
                [
                    part.tolist()
                    for part in tensors[f"{name}.{s}"].split(tensors[f"{name}.{s}.lengths"].tolist())
                ]
                for s in ("sources", "targets")
            ]
            if [*map(len, ids)] != [len(pairs)] * 2:
                return None
            encoded[name] = EncodedPairs(ids[0], ids[1], list(pairs.sources), list(pairs.targets))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None
    return ParallelCorpus(f"{data.name} {data.test_split}", *sides, encoded)


def fits(pairs: EncodedPairs, index: int, longest: int | None) -> bool:
    return longest is None or max(len(pairs.sources[index]), len(pairs.targets[index])) <= longest


def build_tokenizers(config: Any, train: Pairs) -> tuple[Tokenizer, Tokenizer]:
    """For either side; subword pieces are learnt from both at once, so that names look alike."""
    if config.tokenizer == "subword":
        texts = [*train.sources, *train.targets]
        try:
            joint = SubwordTokenizer.train(texts, config.pieces, lower=config.lower)
        except ValueError as error:
            raise ValueError(
                f"data.pieces={config.pieces} for {len(train):,} training pairs: {error}"
            ) from None
        return joint, joint
    source, target = (build_tokenizer(name, lower=config.lower) for name in names_of_tokenizers(config))
    return source, target


def names_of_tokenizers(config: Any) -> list[str]:
    """Of words, for either side."""
    if config.tokenizer not in TOKENIZERS:
        raise ValueError(f"data.tokenizer must be one of {', '.join(TOKENIZERS)}, got {config.tokenizer!r}")
    languages = (config.source_language, config.target_language)
    return [f"spacy-{language}" if config.tokenizer == "spacy" else "whitespace" for language in languages]


def ids_of(tokens: list[str], vocab: Vocab) -> list[int]:
    """Ids of words. One that is spelt like a special is unknown."""
    return [i if i >= len(SPECIALS) else UNK for i in vocab.encode(tokens)]


def encode_pairs(pairs: Pairs, source: Side, target: Side) -> EncodedPairs:
    sources, targets = (
        [[*ids_of(tokens, side.vocab), EOS] for tokens in side.tokenizer.tokenize_all(texts)]
        for side, texts in ((source, pairs.sources), (target, pairs.targets))
    )
    return EncodedPairs(sources, targets, list(pairs.sources), list(pairs.targets))


def check_merge_dropout(config: Any) -> None:
    """Raises ValueError unless `data.merge_dropout` is a share, and there are pieces where it is above 0."""
    share = config.merge_dropout
    if not 0 <= share < 1:
        raise ValueError(f"data.merge_dropout must be in [0, 1), got {share}")
    if share and config.tokenizer != "subword":
        raise ValueError(f"data.merge_dropout goes with data.tokenizer=subword, got {config.tokenizer!r}")


def with_dropped_merges(pairs: EncodedPairs, source: Side, share: float, rng: random.Random) -> EncodedPairs:
    """The same pairs with other pieces on the source side, drawn at random: `SubwordTokenizer.sample`.

    share: of the merges that are left out. rng: what the pieces depend on, beside the pairs.

    A draw longer than the longest sentence of `pairs` gives way to the usual pieces, so that it fits where
    that one did.
    """
    assert source.subword is not None
    longest = max(map(len, pairs.sources))
    sources = []
    for usual, text in zip(pairs.sources, pairs.source_texts, strict=True):
        pieces = source.subword.sample(text, alpha=share, seed=rng.randrange(2**31))
        drawn = [*ids_of(pieces, source.vocab), EOS]
        sources.append(drawn if len(drawn) <= longest else usual)
    return replace(pairs, sources=sources)


def text_files(source: Side, target: Side) -> dict[str, str | bytes]:
    """Vocabularies, and the subword model or the tokenizers' rules where there are any, as files."""
    files: dict[str, str | bytes] = {
        SOURCE_VOCAB: json.dumps(source.vocab.to_dict()),
        TARGET_VOCAB: json.dumps(target.vocab.to_dict()),
    }
    if source.subword is not None:
        files[SUBWORD_FILE] = source.subword.to_bytes()
    for name, side in ((SOURCE_TOKENIZER, source), (TARGET_TOKENIZER, target)):
        kept = side.tokenizer.kept()
        if kept is not None:
            files[name] = kept
    return files


def read_sides(folder: Path, config: Any) -> tuple[Side, Side]:
    """Both languages of a run, from the files that `text_files` made."""
    vocabs = [Vocab.from_json(checked(folder / name)) for name in (SOURCE_VOCAB, TARGET_VOCAB)]
    languages = config.source_language, config.target_language
    if config.tokenizer == "subword":
        joint = SubwordTokenizer.from_file(checked(folder / SUBWORD_FILE))
        tokenizers: tuple[Tokenizer, Tokenizer] = (joint, joint)
    else:
        names = zip((SOURCE_TOKENIZER, TARGET_TOKENIZER), names_of_tokenizers(config), strict=True)
        first, second = (open_tokenizer(folder / file, name, lower=config.lower) for file, name in names)
        tokenizers = first, second
    source, target = (Side(*parts) for parts in zip(languages, tokenizers, vocabs, strict=True))
    return source, target


def padded(sentences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """(longest, B) ids, padded with `<pad>` (0), and (B,) lengths."""
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    ids = torch.zeros(int(lengths.max()), len(sentences), dtype=torch.int64)
    for column, sentence in enumerate(sentences):
        ids[: len(sentence), column] = torch.tensor(sentence)
    return ids, lengths
