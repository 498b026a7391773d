"""A Matplotlib figure as SVG that stands inside a page: no foreign address, no clashing id, both themes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from ripstop.lab.report.ink import Ink, recolour

# A unit of the drawing is one CSS pixel at the drawing's natural width.
_UNITS_PER_INCH: Final = 72
_NO_METADATA: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_FAMILY: Final = re.compile(r"font-family:[^;\"]*(;\s*)?|font:\s*[^;\"]*?(\d+)px[^;\"]*;?")
_REFERENCE: Final = re.compile(r'(id="|href="#|url\(#)([\w.\-]+)')


@contextmanager
def drawing(ink: Ink, text_px: float = 11.0) -> Iterator[None]:
    """Set what all charts have in common; figures are made and saved inside.

    Text is never read as mathematics, since some of it comes from the wire.
    """
    settings: dict[Any, Any] = {  # Matplotlib names its keys in a type of its own
        "svg.fonttype": "none",
        "svg.hashsalt": "ripstop",
        "text.parse_math": False,
        "text.color": ink.text,
        "font.size": text_px,
        "axes.edgecolor": ink.rule,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.labelcolor": ink.quiet,
        "axes.labelsize": text_px,
        "axes.titlesize": text_px,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": ink.rule,
        "ytick.color": ink.rule,
        "xtick.labelcolor": ink.quiet,
        "ytick.labelcolor": ink.quiet,
        "xtick.labelsize": text_px,
        "ytick.labelsize": text_px,
        "grid.color": ink.rule,
        "grid.linewidth": 0.8,
        "path.simplify_threshold": 0.5,
    }
    with mpl.rc_context(settings):
        yield


def figure(width_px: float, height_px: float) -> Figure:
    """Make an empty figure of a size in the page's pixels."""
    return Figure(figsize=(width_px / _UNITS_PER_INCH, height_px / _UNITS_PER_INCH), layout="constrained")


def inline(drawn: Figure, name: str, title: str) -> str:
    """Give a figure as one `<svg>` element.

    Args:
        drawn: the figure, made inside `drawing(PAGE)`.
        name: unlike every other on the page; goes before each id.
        title: what the drawing shows, for those who do not see it.
    """
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata=_NO_METADATA)
    text = out.getvalue()
    inner = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    inner = re.sub(r"<style.*?</style>", "", inner, count=1, flags=re.DOTALL)
    inner = inner.replace("xlink:href", "href")
    inner = _FAMILY.sub("", inner)
    inner = _REFERENCE.sub(lambda found: f"{found[1]}{name}-{found[2]}", inner)
    inner = recolour(re.sub(r"\s+", " ", inner).replace("> <", "><"))
    width, height = (round(float(side) * _UNITS_PER_INCH, 2) for side in drawn.get_size_inches())
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {width:g} {height:g}"'
        f' style="--natural:{width:g}px">{inner}</svg>'
    )
