"""Take the project's root off sys.path: its `tokenizers/` folder must not shadow Hugging Face's package."""

import signal
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path.append(str(Path(__file__).parent / "helpers"))

# A shell lets programs in its background ignore Ctrl-C; programs that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    """Every device there is: the same tests run on all of them."""
    return request.param


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    """A cache folder of this session: corpora are built anew, the kernel need not be."""
    from spikeseq.ops.build import ensure_native
    from spikeseq.ops.cache import share

    ensure_native("cpu")  # where it is not there yet, it is built once and not for every session
    folder = tmp_path_factory.mktemp("cache")
    share(folder)
    return folder


@pytest.fixture
def cache(session_cache, monkeypatch):
    """Lets this test and the processes that it starts use `session_cache`."""
    monkeypatch.setenv("SPIKESEQ_CACHE", str(session_cache))
    return session_cache


@pytest.fixture
def cli(monkeypatch, capsys):
    """`cli("train", "imdb", ...)` in this process."""
    from recipe_case import command

    return lambda *args, stdin=b"": command(monkeypatch, capsys, *args, stdin=stdin)


@pytest.fixture(scope="module")
def training(session_cache, tmp_path_factory):
    """A folder for the runs of a module, and the cache that they are trained with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKESEQ_CACHE", str(session_cache))
        yield tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def text_runs(session_cache, tmp_path_factory):
    """One finished run of each classifier of texts, of three classes; to be read only."""
    from recipe_case import MODELS, quick, write_rows

    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    folder = tmp_path_factory.mktemp("text_runs")
    data = write_rows(folder / "mine.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKESEQ_CACHE", str(session_cache))
        for model in MODELS:
            settings = quick(model, **{"data.vectors": None, "data.min_frequency": 1})
            train(load_config("imdb", model=model, data=str(data), overrides=settings), folder / model)
    return folder


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """The generated gestures, fewer and shorter, as tonic keeps them; to be read only."""
    pytest.importorskip("tonic.datasets")
    from gesture_case import SMALL

    from spikeseq.recipes.gestures.sample import write_gesture_sample

    folder = tmp_path_factory.mktemp("recordings")
    write_gesture_sample(folder, 7, **SMALL)
    return folder
