"""The recipe for language models: what comes next in a text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.evaluation.energy.variants import brief
from spikeseq.models.language import LanguageModel, build_language_model
from spikeseq.nn.state import bytes_of
from spikeseq.recipes.language.corpus import SETTINGS, WHOLE, Corpus, load_corpus
from spikeseq.recipes.language.task import LanguageTask, build_task
from spikeseq.recipes.language.units import read_unit
from spikeseq.recipes.language.writer import Writer, for_writing, generation_speed
from spikeseq.recipes.recipe import SPLITS, Recipe, Say
from spikeseq.recipes.shared.errors import DataError
from spikeseq.surrogates import SURROGATES

SHOWN = 400
"""Tokens of a picture."""


class LanguageModelling(Recipe):
    """See `Recipe`."""

    figure = "bits_per_byte"
    points = "bits per byte"
    lower_is_better = True
    pipeline = "text-generation"
    use = '"".join(opened.generate("once", tokens=100))'
    legend = (
        "bits/byte: -log2 p of the test text, for each byte of it as it is, whatever a token is. ppl:"
        " perplexity per token. parameters: all, the table of tokens with them. MAC, AC, nJ: per token;"
        " compute only, 45 nm, 4.6 pJ a MAC, 0.9 pJ an AC. spikes: per neuron and token. s: training."
    )
    example = "The membrane of a neuron remembers what it has read, and forgets it slowly."
    counted = "tokens"
    splits = (*SPLITS, *WHOLE)
    rows = ("source", *SETTINGS)

    def load(self, config: Any, say: Say) -> Corpus:
        """The encoded texts, read once the other settings are known to be good."""
        with torch.device("meta"):  # no memory, only the checks
            build_language_model(config.model, 4)
        if config.model.name == "transformer" and config.train.chunk > config.model.context:
            raise ValueError(
                f"train.chunk must be at most model.context={config.model.context}, got {config.train.chunk}"
            )
        surrogate = SURROGATES.get(config.model.get("surrogate"))
        if config.data.reset and surrogate is not None and surrogate.memory_planes:
            raise ValueError(f"data.reset=true goes without model.surrogate={config.model.surrogate}")
        corpus = load_corpus(config.data, say)
        rows = config.train.batch_size
        if len(corpus.splits["train"]) < 2 * rows + 1:
            count = len(corpus.splits["train"])
            raise ValueError(
                f"{config.data.source} has {count:,} tokens to train on, too few for train.batch_size={rows}"
                f" rows of two or more; take a smaller one, or more text"
            )
        return corpus

    def task(self, config: Any, corpus: Corpus, model: LanguageModel | None = None) -> LanguageTask:
        return build_task(config, corpus, model)

    def test(
        self, config: Any, task: LanguageTask, model: LanguageModel, split: str, device: torch.device
    ) -> dict[str, Any]:
        """See `LanguageTask.score`; tokens a second in rows beside each other, and in writing one text."""
        found = task.score(model, split, device)
        found["generated_per_second"] = round(generation_speed(model, device))
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}

    def energy(self, config: Any, task: LanguageTask, model: nn.Module, split: str) -> dict[str, Any]:
        """Per token, over a stretch of a split from its beginning, in one stream."""
        stream = task.corpus.splits[split]
        count = min(config.evaluate.energy_tokens, len(stream))
        tokens = torch.from_numpy(stream.ids[:count].astype("int64")).unsqueeze(1)
        account = evaluation.measure_energy(model, [(tokens,)], tokens=count, unit=self.unit)
        account |= {"bytes_of_state": bytes_of_state(model), "variants": {}}
        written = for_writing(model)
        if written is not model:
            variant = evaluation.measure_energy(written, [(tokens,)], tokens=count, unit=self.unit)
            account["variants"]["streamed"] = brief(variant)
        return account

    def open(self, folder: Path, config: Any) -> Writer:
        unit = read_unit(folder, config.data.unit)
        return Writer(build_language_model(config.model, unit.size).eval(), unit, config)

    def reopen(self, opened: Writer, folder: Path, source: str, split: str, say: Say) -> LanguageTask:
        """Other texts by the unit of the run; as a whole for the split "all"."""
        settings = opened.config.data.copy()
        settings.source = source
        corpus = load_corpus(settings, say, opened.unit, whole=split in WHOLE)
        return build_task(opened.config, corpus, opened.model)

    def draw(self, folder: Path, metrics: dict[str, Any], load: Callable[[Path], Any]) -> None:
        """`surprise.png`: how surprising the first document for validation is, or its beginning."""
        from spikeseq.recipes.shared.plots import save, surprise_figure

        writer = load(folder)
        try:
            corpus = load_corpus(writer.config.data, lambda text: None, writer.unit)
        except DataError:  # a finished run needs its texts no more, and they may be gone
            return
        ids = corpus.splits["validation"].ids[:SHOWN]
        ids = ids[: [*ids.tolist(), writer.unit.end].index(writer.unit.end)]
        if len(ids):
            save(surprise_figure(*writer.see_tokens(ids.tolist()).surprise), folder / "surprise.png")

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "bits/byte": f"{test['bits_per_byte']:.3f}",
            "ppl": f"{test['perplexity']:.2f}",
            "parameters": f"{metrics['parameters']:,}",
            "MAC/token": f"{account['macs']:,.0f}",
            "AC/token": f"{account['acs']:,.0f}",
            "spikes": "" if account["spike_rate"] is None else f"{account['spike_rate']:.3f}",
            "nJ/token": f"{account['picojoules'] / 1000:.2f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }


@torch.no_grad()
def bytes_of_state(model: nn.Module) -> int:
    """Bytes that go from one token to the next in a stream."""
    device = next(model.parameters()).device
    return bytes_of(model.eval()(torch.zeros((1, 1), dtype=torch.int64, device=device))[1])
