"""A study: named measurements kept as JSON, and a page with figures drawn from that record.

    results/NAME.json    what was measured, on which machine, by which code, with how many repeats
    results/NAME.md      the page, with its figures NAME_*.png beside it

A measurement that was interrupted goes on where it stopped, if machine and code are still the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.errors import DataUnavailable, UserError
from bench.files import write_text
from bench.identity import code_version
from bench.measure import environment
from bench.progress import say
from bench.report.figures.style import GREY, LEGEND, OUTSIDE, Drawing, look
from bench.tables import MISSING, markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXTS: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))
"""What the pages of studies say."""
Values = Mapping[str, Any]
"""Name of a measurement -> what it gave, as JSON; a text says why nothing was measured."""
Numbers = float | Sequence[float] | NDArray[Any]
Measure = Callable[["Context"], object]
LINES_WITH_LEGEND_INSIDE = 5
LEGEND_INCHES = 0.2
"""Of the height of a figure, for each line."""


@dataclass(frozen=True, eq=False)
class Bar:
    """A quantity measured once a repeat, and the range in which its median or mean is to lie."""

    what: str
    measured: NDArray[np.float64]
    low: float = -np.inf
    high: float = np.inf
    statistic: Literal["median", "mean"] = "median"

    @property
    def met(self) -> bool:
        return bool(self.low <= getattr(np, self.statistic)(self.measured) <= self.high)

    @property
    def value(self) -> str:
        return (mean_std if self.statistic == "mean" else spread)(self.measured)

    @property
    def range(self) -> str:
        if np.isinf(self.low):
            return f"≤ {self.high:.4g}"
        return f"≥ {self.low:.4g}" if np.isinf(self.high) else f"{self.low:.4g}–{self.high:.4g}"


def line_plot(
    name: str,
    title: str,
    xlabel: str,
    ylabel: str,
    lines: Mapping[str, tuple[Numbers, Numbers]],
    level: tuple[str, float] | None = None,
    yscale: str = "log",
) -> Drawing:
    """Return a figure of lines, label -> (x, y), over a logarithmic x; `level` is a dotted line."""
    inside = len(lines) <= LINES_WITH_LEGEND_INSIDE

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale=yscale)
        for number, (label, (x, y)) in enumerate(lines.items()):
            axes.plot(x, y, label=label, markersize=4, **look(number))
        if level is not None:
            axes.axhline(level[1], color=GREY, linestyle=":", label=level[0])
        axes.legend(**LEGEND) if inside else figure.legend(**OUTSIDE)

    size = (6.4, 4) if inside else (8.4, max(4, 0.5 + LEGEND_INCHES * len(lines)))
    return Drawing(title, name, size, paint)


def commit() -> str:
    """Return the commit of the code that measures, to stand beside a measurement."""
    return code_version().get("commit", MISSING)[:12]


@dataclass(frozen=True)
class Section:
    """A question and its measured answer: Markdown, the bars that it decides, figures."""

    title: str
    text: str
    bars: Sequence[Bar] = ()
    plots: Sequence[Drawing] = ()

    def markdown(self) -> str:
        figures = [f"![{plot.title}]({plot.name}.png)" for plot in self.plots]
        return "\n\n".join([f"## {self.title}", self.text, *figures])


@dataclass(frozen=True)
class Context:
    """What a measurement is given: the number of repeats, and what was measured before it."""

    repeats: int
    values: Values


@dataclass(frozen=True)
class Part:
    """Measurements, and the sections that are written from them."""

    title: str
    measures: Mapping[str, Measure]
    sections: Callable[[Values], Sequence[Section]]

    def written(self, values: Values) -> Sequence[Section]:
        """Return the sections; one that gives the reason where nothing could be measured."""
        own = {name: values[name] for name in self.measures if name in values}
        if not own:
            return ()
        if all(isinstance(value, str) for value in own.values()):
            return [Section(self.title, f"Skipped: {next(iter(own.values()))}.")]
        return self.sections(own)


@dataclass
class Record:
    """What a study measured, on which machine, at which load average, and by which code."""

    machine: Mapping[str, str] = field(default_factory=environment)
    code: Mapping[str, str] = field(default_factory=code_version)
    repeats: int = 1
    date: str = field(default_factory=lambda: f"{date.today()}, load {os.getloadavg()[0]:.1f}")
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record in `path`; raise UserError if there is none or it is damaged."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise UserError(f"there is no {path}: measure first, without --draw") from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is no record of a study ({error}): move it away") from None

    def write(self, path: Path) -> None:
        """Write JSON with a line a measurement."""
        head = {name: getattr(self, name) for name in ("machine", "code", "repeats", "date")}
        lines = [f"{json.dumps(name)}: {json.dumps(of)}" for name, of in self.values.items()]
        parts = [f'"{name}": {json.dumps(of)}' for name, of in head.items()]
        parts.append('"values": {\n' + ",\n".join(lines) + "}")
        write_text(path, "{" + ",\n".join(parts) + "}\n")


@dataclass(frozen=True)
class Study:
    """What a command, by default `python -m bench.studies NAME`, measures and writes.

    Attributes
    ----------
    name : of the command, and of the record, the page and the figures in `results`.
    title : of the page.
    summary : one line for the list of studies.
    about : what was measured and how, for the top of the page.
    parts : of the page, in its order.
    repeats : measurements of each quantity unless the command line asks for others.
    any_code : whether other code continues a record; each measurement then names its own.
    command : with which the page is generated, where it is another.
    """

    name: str
    title: str
    summary: str
    about: str
    parts: Sequence[Part]
    repeats: int = 1
    any_code: bool = False
    command: str = ""

    @property
    def measures(self) -> dict[str, Measure]:
        return {name: measure for part in self.parts for name, measure in part.measures.items()}

    def measure(self, record: Record, keep: Callable[[], None]) -> None:
        """Add to `record` the measurements that it lacks, or could not make; `keep` after each."""
        for name, measure in self.measures.items():
            if not isinstance(record.values.get(name, ""), str):
                continue
            say(f"{self.name}: {name}")
            try:
                value = measure(Context(record.repeats, record.values))
            except (ImportError, FileNotFoundError, DataUnavailable) as error:
                value = str(error)  # a program or data set that is compared with is not here
            finally:
                say()
            record.values[name] = json.loads(json.dumps(value, default=plain))
            keep()

    def sections(self, values: Values) -> list[Section]:
        return [section for part in self.parts for section in part.written(values)]

    def page(self, record: Record) -> str:
        """Return the page as Markdown."""
        sections = self.sections(record.values)
        bars = [bar for section in sections for bar in section.bars]
        machine = ", ".join(f"{key} {value}" for key, value in record.machine.items())
        code = ", ".join(f"{key} {value[:12]}" for key, value in record.code.items())
        command = self.command or f"python -m bench.studies {self.name}"
        head = f"Generated by `{command}`. {self.about}"
        foot = f"{record.date}; {machine}. Code: {code}.\n"
        parts = [f"# {self.title}", head]
        if bars:
            met = sum(bar.met for bar in bars)
            parts[1] += f" {met} of {len(bars)} bars are met by the {bars[0].statistic}."
            parts.append(bars_table(bars))
        parts += [section.markdown() for section in sections]
        return "\n\n".join([*parts, "## Where this was measured", foot])

    def write(self, record: Record, folder: Path) -> Path:
        """Write the page and its figures; return the page."""
        page = folder / f"{self.name}.md"
        write_text(page, self.page(record))
        for section in self.sections(record.values):
            for plot in section.plots:
                plot.draw(folder / plot.name)
        return page


def plain(value: object) -> object:
    """Return what JSON has in place of arrays, NumPy scalars and dataclasses."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")


def bars_table(bars: Sequence[Bar]) -> str:
    """Return a row a bar, as Markdown; all go by the same statistic."""
    rows = [
        [
            bar.what,
            bar.range,
            bar.value,
            str(len(bar.measured)),
            "met" if bar.met else "**not met**",
        ]
        for bar in bars
    ]
    shown = "mean ± std" if bars[0].statistic == "mean" else "median (min–max)"
    return markdown_table(["", "bar", shown, "n", ""], rows)


def spread(values: Numbers) -> str:
    """Return `0.0456 (0.0431–0.0502)`: median, lowest, highest; inf is `never`."""
    median, low, high = (
        f"{v:.4g}" if np.isfinite(v) else "never"
        for v in (np.median(values), np.min(values), np.max(values))
    )
    return median if np.size(values) == 1 else f"{median} ({low}–{high})"


def mean_std(values: Numbers, places: int = 4) -> str:
    """Return `0.8442 ± 0.0018`: the mean and the standard deviation (ddof = 1) over seeds."""
    if np.size(values) < 2:
        return f"{np.mean(values):.{places}f}"
    return f"{np.mean(values):.{places}f} ± {np.std(values, ddof=1):.{places}f}"


def slopes(times: Mapping[int, Numbers]) -> NDArray[np.float64]:
    """Return each repeat's exponent b of `seconds = a size^b`, fitted in logarithms."""
    return np.polyfit(np.log(list(times)), np.log(np.array(list(times.values()))), 1)[0]
