import json
import random

import pytest
import torch

from spikeseq.recipes.language.recall import NAMES, recalled, story, write
from spikeseq.recipes.language.units import Bytes, learn_unit
from spikeseq.recipes.language.writer import Writer


@pytest.mark.parametrize("distance", [20, 21, 100, 5000])
def test_a_name_and_its_answer_are_that_far_apart(distance):
    text = story(random.Random(0), "eve", distance)
    assert text.startswith("remember eve . ") and text.endswith(" who ? eve .\n")
    assert text.rindex("eve") - (text.index("eve") + 3) == distance
    assert not any(name in text for name in NAMES if name != "eve")


def test_files(tmp_path):
    write(tmp_path / "new", longest=300, documents=2000)
    for name in ("train", "valid", "test"):
        lines = (tmp_path / "new" / f"{name}.jsonl").read_text().splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert len(texts) == {"train": 2000}.get(name, 200) and len(set(texts)) > 80
        assert max(map(len, texts)) < 330 and min(map(len, texts)) < 60
    write(tmp_path / "again", longest=300, documents=2000)
    assert (tmp_path / "again" / "test.jsonl").read_bytes() == (tmp_path / "new" / "test.jsonl").read_bytes()


class Remembers(torch.nn.Module):
    """Answers with the token at a place of the text, always; the state is the text so far."""

    def __init__(self, size, place):
        super().__init__()
        self.size, self.place = size, place

    def forward(self, tokens, state=None):
        text = tokens if state is None else torch.cat((state, tokens))
        logits = torch.zeros(*tokens.shape, self.size)
        if len(text) > self.place:
            logits.scatter_(2, text[self.place].expand(len(tokens), -1).unsqueeze(2), 1.0)
        return logits, text


@pytest.mark.parametrize("unit", ["byte", "word"])
def test_who_remembers_is_right_and_who_does_not_guesses(unit):
    texts = [story(random.Random(i), name, 60) for i, name in enumerate(NAMES)]
    unit, place = (Bytes(), 10) if unit == "byte" else (learn_unit("word", texts, 100, 1), 2)
    for distance in (20, 1500):
        assert recalled(Writer(Remembers(unit.size, place), unit), distance, 40) == 1.0
        assert recalled(Writer(Remembers(unit.size, 10**6), unit), distance, 40) < 0.4
