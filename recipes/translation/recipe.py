"""The recipe for translation (thesis 6.5)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.models.seq2seq import BOS, Seq2Seq, build_seq2seq
from spikeseq.recipes.recipe import Recipe, Say
from spikeseq.recipes.translation.corpus import (
    ParallelCorpus,
    check_merge_dropout,
    encode_pairs,
    load_pairs,
    load_parallel_corpus,
    read_sides,
)
from spikeseq.recipes.translation.data import DataError, NoSuchTest
from spikeseq.recipes.translation.task import TranslationTask, build_translation_task, open_translator
from spikeseq.recipes.translation.translator import Translator
from spikeseq.tokenizers.words import LANGUAGES


class Translation(Recipe):
    """See `Recipe`."""

    figure = "bleu_tok_lc"
    pipeline = "translation"
    use = 'opened.translate(["Ein Hund schläft."])'
    points = "BLEU"
    legend = (
        "BLEU: detokenised, 13a, lower case. tok_lc: both sides through spaCy's tokens, lower case."
        " parameters: outside the embeddings. MAC, AC, uJ: per target token, both sides of the model; compute"
        " only, 45 nm. spikes: per neuron and token, all sub-steps. s: training."
    )

    example = "Ein Hund läuft über eine grüne Wiese ."
    writes_lines = True
    names_tests = True
    rows = (*Recipe.rows, "source_language", "target_language", "test_split", "test_share")

    def load(self, config: Any, say: Say) -> ParallelCorpus:
        """The tokenised and encoded pairs, read once the other settings are known to be good."""
        if config.data.target_language not in LANGUAGES:  # BLEU needs its tokens
            known = ", ".join(LANGUAGES)
            raise ValueError(
                f"data.target_language must be one of {known}, got {config.data.target_language!r}"
            )
        check_merge_dropout(config.data)
        build_seq2seq(config.model, 5, 5)
        return load_parallel_corpus(config.data, say)

    def task(self, config: Any, corpus: ParallelCorpus, model: Seq2Seq | None = None) -> TranslationTask:
        return build_translation_task(config, corpus, model)

    def test(
        self, config: Any, task: TranslationTask, model: Seq2Seq, split: str, device: torch.device
    ) -> dict[str, Any]:
        """Both BLEU figures, by beam search; the translations and references under "files"."""
        pairs = task.corpus.splits[split]
        result = task.translate(model, pairs)
        files = {f"{split}.hypotheses": result.pop("lines"), f"{split}.references": pairs.references}
        return {
            **{key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()},
            "beam": task.beam,
            "length_penalty": task.length_penalty,
            "files": {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()},
        }

    def energy(self, config: Any, task: TranslationTask, model: Seq2Seq, split: str) -> dict[str, Any]:
        """Over evenly spread pairs, the reference as target: per target token, its `<eos>` included.

        Under "variants" the same of recurrent baselines in 8 bits (`int8`), which translate the split again.
        """
        pairs = task.corpus.splits[split]
        count = min(config.evaluate.energy_texts, len(pairs))
        chosen = torch.linspace(0, len(pairs) - 1, count).long().tolist()
        inputs = []
        for i in chosen:
            source, target = pairs.sources[i], [BOS, *pairs.targets[i][:-1]]
            inputs.append(
                (
                    torch.tensor(source).unsqueeze(1),
                    torch.tensor([len(source)]),
                    torch.tensor(target).unsqueeze(1),
                )
            )
        sources, targets = (sum(len(side[i]) for i in chosen) for side in (pairs.sources, pairs.targets))

        def measure(one: nn.Module) -> dict[str, Any]:
            return evaluation.measure_energy(one, inputs, tokens=targets, rate_tokens={"encoder.": sources})

        from spikeseq.evaluation.energy.variants import brief, quantised

        account = measure(model)
        account["variants"] = {}
        variant = quantised(model) if account["spike_rate"] is None else None
        if isinstance(variant, Seq2Seq):
            bleu = round(task.translate(variant, pairs)["bleu_tok_lc"], 3)
            account["variants"]["int8"] = {**brief(measure(variant)), "bleu_tok_lc": bleu}
        return account

    def open(self, folder: Path, config: Any) -> Translator:
        source, target = read_sides(folder, config.data)
        model = build_seq2seq(config.model, len(source.vocab), len(target.vocab))
        return open_translator(model.eval(), source, target, config)

    def reopen(self, opened: Translator, folder: Path, source: str, split: str, say: Say) -> TranslationTask:
        """`split` may also be the name of a test in a folder, as test_2017_flickr; it is read as it is.

        Raises:
            ValueError: data in other languages; no such split or test.
        """
        config = opened.config
        sides = read_sides(folder, config.data)
        named = None if split in self.splits else split
        try:
            data = load_pairs(config.data, source, named)
        except NoSuchTest as error:
            if named is None:  # then it is the run's setting that is told
                raise
            raise DataError(f"{error}; --split also takes {', '.join(self.splits)}") from None
        if split not in (*self.splits, data.test_split):  # a set without it may have another, or one cut off
            raise ValueError(f"{data.name} has no test split {split!r}; expected {', '.join(self.splits)}")
        pairs = {"train": data.train, "validation": data.validation}.get(split, data.test)
        say(f"tokenising {len(pairs):,} pairs")
        corpus = ParallelCorpus(data.name, *sides, {split: encode_pairs(pairs, *sides)})
        return build_translation_task(config, corpus, opened.model)

    def scopes(self, name: str, account: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Of table 6.9's scope, and of all."""
        core = {**account["core"], "spike_rate": account["spike_rate"]}
        yield f"{name}, convolutions or recurrences", core
        yield f"{name}, all", account

    def thesis(self) -> tuple[str, Mapping[str, Any], str]:
        from spikeseq.evaluation.energy.thesis import TABLE_6_9

        return "6.9", TABLE_6_9, "convsnn(5)"

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "BLEU": f"{test['bleu']:.2f}",
            "tok_lc": f"{test['bleu_tok_lc']:.2f}",
            "parameters": f"{metrics['parameters_without_embeddings']:,}",
            "MAC/token": f"{account['macs']:,.0f}",
            "AC/token": f"{account['acs']:,.0f}",
            "spikes": "" if account["spike_rate"] is None else f"{account['spike_rate']:.3f}",
            "uJ/token": f"{account['picojoules'] / 1e6:.2f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }
