"""What the page of results rests on: read, or refused by name."""

import json

import pytest
from results_case import kept, results

from spikeseq.evaluation.results.evidence import number, read_evidence


def test_four_kinds_are_read(tmp_path):
    known, faults = read_evidence(results(tmp_path))
    assert faults == []
    assert {name: one.kind for name, one in known.items()} == {
        "imdb-lstm": "former", "imdb-snn": "run", "speed-here": "bench"
    }  # fmt: skip
    snn, lstm, bench = known["imdb-snn"], known["imdb-lstm"], known["speed-here"]
    assert snn.values("test.accuracy") == [90.0, 90.4] and snn.seconds == 20.0
    assert snn.files == ("runs/imdb-snn-1.json", "runs/imdb-snn-2.json")
    assert lstm.values("test.accuracy") == [91.35] and lstm.date == "2026-11-25"
    assert bench.values("layer.lstm.ratio.total") == [2.5]
    assert bench.values("layer.lstm.milliseconds.total") == [1038.53]


def test_a_bench_as_json_is_read(tmp_path):
    folder = results(tmp_path)
    bench = {"format": 1, "machine": {}, "figures": {"layer T=1": {"lstm": {"ratio": {"total": 3.0}}}}}
    (folder / "runs" / "zen.bench.json").write_text(json.dumps(bench))
    known, faults = read_evidence(folder)
    assert faults == [] and known["zen"].values("layer T=1.lstm.ratio.total") == [3.0]


def test_former_seeds_stand_in_a_list(tmp_path):
    folder = results(tmp_path)
    text = (folder / "runs" / "former.yaml").read_text().replace("91.35", "[91.0, 92.0]")
    (folder / "runs" / "former.yaml").write_text(text)
    known, _ = read_evidence(folder)
    assert known["imdb-lstm"].values("test.accuracy") == [91.0, 92.0]
    assert known["imdb-lstm"].values("energy.picojoules") == [1104010, 1104010]


@pytest.mark.parametrize(
    "key, value", [("a.b", 1), ("a.full at 8KB.c", 2), ("x.y.z", 3), ("list.1.n", 5)], ids=str
)
def test_keys_may_have_dots_and_lists(key, value):
    figures = {"a": {"b": 1, "full at 8KB": {"c": 2}}, "x.y": {"z": 3}, "list": [{"n": 4}, {"n": 5}]}
    assert number(figures, key) == value


@pytest.mark.parametrize("key", ["a", "a.c", "b", "a.flag", "a.text", ""], ids=str)
def test_what_is_no_number_is_not_found(key):
    with pytest.raises(KeyError):
        number({"a": {"b": 1, "flag": True, "text": "1"}}, key)


RUN = "runs/imdb-snn-2.json"


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("imdb-snn-2.json", "{", f"{RUN} cannot be read: Expecting"),
        ("imdb-snn-2.json", "[" * 100_000, f"{RUN} cannot be read: "),
        ("imdb-snn-2.json", "[1]", f"{RUN} is no object but list"),
        ("imdb-snn-2.json", "{}", f"{RUN} has format None; this version reads 1"),
        ("imdb-snn-2.json", kept(2, 90.4, format=2), f"{RUN} has format 2; this version reads 1"),
        ("imdb-snn-2.json", kept(2, 90.4, figures=[]), f"{RUN}: figures is []; expected dict"),
        ("imdb-snn-2.json", kept(3, 90.4), f"{RUN} is of seed 3; its name must end in it"),
        ("imdb-snn-2.json", kept(2, 90.4, model="lstm"), f"{RUN}: model is not that of runs/imdb-snn-1.json"),
        ("imdb-snn-2.json", kept(2, 90.4, settings={}), f"{RUN}: settings is not that of"),
        ("imdb-snn.json", kept(1, 90.4), "runs/imdb-snn.json: expected a name that ends in the seed"),
        ("imdb-lstm-1.json", kept(1, 90.4), "imdb-lstm has a kept run now; take its entry out"),
        ("zen.bench.json", '{"format": 1}', "runs/zen.bench.json: it has no figures"),
        ("former.yaml", "format: 2", "runs/former.yaml has no format 1"),
        ("former.yaml", "a: [", "runs/former.yaml cannot be read: "),
        ("former.yaml", "format: 1\nruns: {a: {page: x}}", "runs/former.yaml: a has no command"),
        ("../speed-here.txt", "nothing", "speed-here.txt holds no times that `spikeseq bench` printed"),
    ],
    ids=["cut", "deep", "list", "old", "newer", "figures", "seed", "model", "settings", "seedless",
         "both", "bench", "former-format", "former-yaml", "former-entry", "text"],
)  # fmt: skip
def test_what_cannot_be_used_is_told_in_one_line(tmp_path, name, text, said):
    folder = results(tmp_path)
    (folder / "runs" / name).write_text(text)
    _, faults = read_evidence(folder)
    assert len(faults) == 1 and said in faults[0] and "\n" not in faults[0]


def test_runs_that_start_from_their_own_seeds_are_alike(tmp_path):
    folder = results(tmp_path)
    for seed in (1, 2):
        text = kept(seed, 90.0, **{"from": f"ann-{seed}"})
        (folder / "runs" / f"imdb-snn-{seed}.json").write_text(text)
    assert read_evidence(folder)[1] == []
