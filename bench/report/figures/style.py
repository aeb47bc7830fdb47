"""What all figures share: the look of each model, and how they are saved.

Matplotlib takes a third of a second to import, which a command that draws nothing should not
wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.errors import first_line
from bench.tables import escaped
from fm.io import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.metrics import Task
    from bench.report.model_selection import Choice, Comparison

# Okabe & Ito (2008): distinguishable in every common form of color blindness, and by lightness.
BLUE, ORANGE, BLACK, GREY = "#0072B2", "#E69F00", "#000000", "#888888"
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", BLACK, "#56B4E9", "#D55E00", GREY)
MARKS = "osD^vPX*<>hd"
"""Of lines and points that belong to different models, so that they differ without color too."""
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "font.size": 10,
}
DPI = 150
PALETTE = 128
"""Colors of a saved figure, which make it a third as large as with all."""

LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 9}
OUTSIDE: dict[str, Any] = {"loc": "outside right center", **LEGEND}
"""Of a legend beside the axes."""
Look = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn: its question, its file's name, its size in inches, what paints it."""

    title: str
    name: str
    size: tuple[float, float]
    paint: Callable[[Figure], None]

    def draw(self, path: Path) -> None:
        """Draw it into `path` with the suffix .png."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        with rc_context(STYLE):
            figure = Figure(figsize=self.size, layout="constrained")
            figure.suptitle(self.title)
            self.paint(figure)
            save(figure, path.with_suffix(".png"))


def drawn(
    drawings: Callable[[], Iterable[Drawing]], directory: Path, suffix: str = ""
) -> Iterator[str]:
    """Draw figures into a directory; yield heading and image of each, or why there is none.

    File names end in `suffix`. An error never costs the page.
    """
    title = "A figure is missing"
    try:
        for drawing in drawings():
            title, name = escaped(drawing.title), f"{drawing.name}{suffix}.png"
            drawing.draw(directory / name)
            yield from (f"## {title}", f"![{title}]({name})")
    except Exception as error:
        yield from (f"## {title}", f"Could not be drawn: {escaped(first_line(error))}.")


def look(number: int) -> Look:
    """Return color, mark and line of the model of that number."""
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKS[number % len(MARKS)],
        "linestyle": DASHES[number // len(COLORS) % len(DASHES)],
    }


@dataclass(frozen=True)
class Shown:
    """Rows of a comparison, best first, by what figures call them, and their task."""

    rows: Mapping[str, Choice]
    task: Task

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Return the rows of a comparison by model, and features where these differ."""
        rows: dict[str, Choice] = {}
        for row in comparison.rows:
            features = f" {row.chosen.features}" if comparison.several_features else ""
            rows.setdefault(row.model + features, row)
        return cls(rows, comparison.task)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """A look for each row, kept in every figure of a report."""
        return {name: look(number) for number, name in enumerate(self.rows)}


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG with a palette; the same numbers give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawing = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    few = drawing.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
    with written_aside(path) as file:
        few.save(file, format="png", optimize=True)
