"""`python -m spikeseq.evaluation.report.screenshots PAGE FOLDER [NAME]`: NAME.png, NAME-phone.png of a page.

A page as a browser shows it at 1280 and at 390 pixels, in light colours, for the documentation.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from spikeseq.files import write_whole
from spikeseq.recipes.outputs import check_output

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"": (1280, 1400), "-phone": (390, 1400)}
COLOURS = 256  # of a picture: a page has few
LEAST = 500  # pixels: no window of the browser is narrower, but a frame in it is


def browser() -> str:
    """Raises ValueError where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ValueError(f"pictures of pages need {' or '.join(BROWSERS)}, and none of them is installed")
    return found


def screenshot(page: Path, width: int, height: int) -> bytes:
    """The top of a page as a browser shows it, a PNG.

    Raises:
        ValueError: there is no browser, or it makes no picture. OSError: the page cannot be read.
    """
    program = browser()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = page.resolve(strict=True).as_uri()  # where it lies, its styles and pictures do, too
        frame = f'<iframe src="{place}" width="{width}" height="{height}" style="border: 0"></iframe>'
        (folder / "frame.html").write_text(f'<body style="margin: 0">{frame}</body>', encoding="utf-8")
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--virtual-time-budget=3000", "--blink-settings=preferredColorScheme=1",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, LEAST)},{height + 150}",
            f"--screenshot={folder / 'shot.png'}", (folder / "frame.html").as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if not (folder / "shot.png").exists():
            raise ValueError(f"{program} made no picture: {done.stderr.strip()[-200:]}")
        picture = Image.open(folder / "shot.png").convert("RGB").crop((0, 0, width, height))
    written = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue()


def main(arguments: list[str]) -> int:
    if len(arguments) not in (2, 3):
        print("usage: python -m spikeseq.evaluation.report.screenshots PAGE FOLDER [NAME]", file=sys.stderr)
        return 2
    page, folder, name = Path(arguments[0]), Path(arguments[1]), (*arguments[2:], "report")[0]
    try:
        for kind, size in SIZES.items():
            place = folder / f"{name}{kind}.png"
            check_output(place, [page])
            write_whole(place, screenshot(page, *size))
            print(f"wrote {place}", file=sys.stderr)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
