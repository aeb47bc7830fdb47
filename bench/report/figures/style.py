"""What all figures share: colours, marks, and how they are saved.

Matplotlib takes a third of a second to import, which a command that draws nothing need not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fm.io import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinguishable in every common form of colour blindness, and by lightness.
BLUE, ORANGE, BLACK, GREY = "#0072B2", "#E69F00", "#000000", "#888888"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", BLACK, "#56B4E9", "#D55E00", GREY)
MARKS = "osD^vPX*<>hd"
"""Of lines and points that belong to different models, so that they differ without colour too."""
DASHES = ("-", "--", "-.", ":")
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "svg.hashsalt": "fm-bench",
    "font.size": 10,
}


def look(number: int) -> dict[str, object]:
    """Colour, mark and line of the model of that number."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKS[number % len(MARKS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
    }


@contextmanager
def drawn(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure to draw on, saved as `path` with the suffixes .png and .svg when the body ends."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        for suffix in (".png", ".svg"):
            save(figure, path.with_suffix(suffix))


def save(figure: Figure, path: Path) -> None:
    """Writes `figure`, without a date so that the same numbers give the same bytes."""
    form = path.suffix.removeprefix(".")
    with written_aside(path) as file:
        figure.savefig(
            file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None
        )
