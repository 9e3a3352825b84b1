"""Pictures that matplotlib has drawn, as SVG in the page. Their colours are their own: they lie on white."""

import html
import io
import re
import warnings
from typing import Any

import matplotlib
from markupsafe import Markup

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

PIXELS_PER_POINT = 1.2


def svg(figure: Figure, title: str, alternative: str, number: int) -> Markup:
    """The figure as an <svg> element; its words stay words.

    Args:
        alternative: what it shows, in words. number: of the picture in the page, so that no two share an id.
    """
    text, width = io.StringIO(), figure.get_figwidth()
    salt: Any = {"svg.fonttype": "none", "svg.hashsalt": f"spikeseq {number}"}
    with plt.rc_context(salt), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    whole = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.DOTALL)
    whole = re.sub(r' id="(figure|axes|text|line2d|patch|xtick|ytick|matplotlib\.axis)_\d+"', "", whole)
    least = round(PIXELS_PER_POINT * 72 * width)  # narrower than that, its words could not be read
    label = f"{html.escape(title)}: {html.escape(alternative)}"
    said = f'role="img" aria-label="{label}" style="min-width: {least}px" '
    return Markup(re.sub(r'width="[^"]+" height="[^"]+" ', said, whole[whole.index("<svg") :], count=1))
