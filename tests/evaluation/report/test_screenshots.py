"""Pictures of a page for the documentation, and what is said where they cannot be made."""

import io

import pytest
from PIL import Image

from spikeseq.evaluation.report import screenshots


@pytest.mark.skipif(not any(map(screenshots.shutil.which, screenshots.BROWSERS)), reason="no browser")
def test_a_page_on_a_phone(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<body style='margin: 0; background: #0064a4'>")
    picture = Image.open(io.BytesIO(screenshots.screenshot(page, 390, 200))).convert("RGB")
    assert picture.size == (390, 200) and picture.getpixel((380, 190)) == (0, 0x64, 0xA4)


def test_what_is_missing_is_told_in_a_line(monkeypatch, tmp_path, capsys):
    assert screenshots.main([]) == 2 and "usage" in capsys.readouterr().err
    monkeypatch.setattr(screenshots, "BROWSERS", ("no-such-browser",))
    assert screenshots.main([str(tmp_path / "page.html"), str(tmp_path)]) == 2
    said = "error: pictures of pages need no-such-browser, and none of them is installed\n"
    assert capsys.readouterr().err == said
