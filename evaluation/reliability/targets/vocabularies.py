"""Vocabularies, subword models, word vectors and the rules of tokenizers."""

import gzip
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.evaluation.reliability.targets.texts import rows


def of_vocabularies(folder: Path) -> Iterator[Target]:
    from spikeseq.recipes.shared.kept_tokenizer import open_tokenizer
    from spikeseq.tokenizers import SubwordTokenizer, Vocab, load_vectors
    from spikeseq.tokenizers.rules import Rules

    folder.mkdir(parents=True)
    words = [text.split() for text, _ in rows()]
    vocab = Vocab.build(words, specials=("<unk>",))
    vocab.to_json(folder / "vocab.json")
    tokenizer = SubwordTokenizer.train([text for text, _ in rows()], 300)
    (folder / "subword.model").write_bytes(tokenizer.to_bytes())
    vectors = "".join(f"{word} 0.5 -1e-3 {i}\n" for i, word in enumerate(vocab.tokens[1:]))
    (folder / "vectors.txt").write_text(vectors)
    (folder / "vectors.txt.gz").write_bytes(gzip.compress(vectors.encode(), mtime=0))
    rules = Rules("en", "0", {"prefix_search": (r"^\(", 32), "infix_finditer": ("-", 32)}, {"a": ["a"]}, [])
    (folder / "rules.json").write_text(rules.to_json())
    yield Target("vocabulary", folder, ("vocab.json",), lambda f: Vocab.from_json(f / "vocab.json").tokens)
    yield Target(
        "subword model", folder, ("subword.model",),
        lambda f: SubwordTokenizer.from_file(f / "subword.model")("was uneven"), True,
    )  # fmt: skip

    def read_vectors(name: str, where: Path) -> Any:
        with tempfile.TemporaryDirectory() as cache:  # not the user's
            noise = torch.Generator().manual_seed(1)
            return load_vectors(where / name, vocab, cache=cache, generator=noise)[0].tolist()

    for name in ("vectors.txt", "vectors.txt.gz"):
        yield Target(f"word vectors: {name[8:]}", folder, (name,), partial(read_vectors, name))
    yield Target(
        "rules of a tokenizer",
        folder,
        ("rules.json",),
        lambda f: open_tokenizer(f / "rules.json", "spacy-en")("was-(a)"),
        strict=True,
    )
