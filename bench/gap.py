"""The published gap, measured again: the table, its plot, and what the numbers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import figures
from bench.compare import paired_gap
from bench.files import write_text
from bench.metrics import CHOICE, TEST, squared_errors
from bench.tables import MISSING, markdown_table, number, seconds, signed
from bench.track import Record

FIRST = "test/mse_first_8192_rows"
"""What VW shows last: it reports at powers of two, and ua.test has 9,430 rows."""
WHOLE, RAW = TEST, "test/mse_raw"


@dataclass(frozen=True)
class Gap:
    """What is compared: the planned systems (name -> {what, published}), the pairs whose difference
    is asked for, the model every system is held against, and the data the runs were of."""

    title: str
    systems: Mapping[str, Mapping[str, object]]
    pairs: Sequence[tuple[str, str]]
    reference: str
    scale: tuple[float, float]
    source: str
    simulated: bool
    command: str

    def published(self, name: str) -> float | None:
        """Figures of the article; it said nothing about simulated data."""
        return None if self.simulated else self.systems[name].get("published")


def table(gap: Gap, records: Sequence[Record]) -> str:
    """A row per planned system: failed and missing ones say so."""
    found = {record.model: record for record in records}
    header = [
        "system, simulated data" if gap.simulated else "system",
        "published",
        "first 8,192 rows",
        "whole test",
        "raw",
        "validation",
    ]
    header += [f"MSE - `{gap.reference}` [95 %]", "fit s", "predict s", "parameters"]
    return markdown_table(header, [_row(gap, name, found) for name in gap.systems])


def _row(gap: Gap, name: str, found: Mapping[str, Record]) -> list[str]:
    record = found.get(name)
    if record is None or not record.finished:
        reason = "not run" if record is None else f"{record.status}: {record.reason}"
        return [f"`{name}` {reason}", number(gap.published(name)), *[MISSING] * 8]
    metric = record.metrics.get
    interval = MISSING if name == gap.reference else _interval(gap, found, name, gap.reference)
    return [
        f"`{name}`" + (" (modified code)" if record.modified else ""),
        number(gap.published(name)),
        number(metric(FIRST)),
        number(metric(WHOLE)),
        number(metric(RAW)),
        number(metric(CHOICE)),
        interval,
        seconds(metric("time/fit_seconds")),
        seconds(metric("time/predict_seconds")),
        number(metric("size/parameters"), 0),
    ]


def gaps_table(gap: Gap, records: Sequence[Record]) -> str:
    """How much the second of each pair gains over the first: as published, on VW's rows, on all."""
    found = {record.model: record for record in records}
    rows = []
    for worse, better in gap.pairs:
        pair = [found.get(worse), found.get(better)]
        published = [gap.published(worse), gap.published(better)]
        first = [record.metrics.get(FIRST) if record else None for record in pair]
        rows.append(
            [
                f"`{worse}` → `{better}`",
                *(number(None if None in values else values[0] - values[1]) for values in (published, first)),
                _interval(gap, found, worse, better),
            ]
        )
    return markdown_table(["gain in MSE", "published", "first 8,192 rows", "whole test [95 %]"], rows)


def _interval(gap: Gap, found: Mapping[str, Record], name: str, reference: str) -> str:
    errors = [_errors(gap, found.get(model)) for model in (name, reference)]
    return MISSING if any(e is None for e in errors) else signed(*paired_gap(*errors))


def _errors(gap: Gap, record: Record | None) -> np.ndarray | None:
    if record is None or record.predictions is None:
        return None
    return squared_errors(record.predictions["rating"], record.predictions["prediction"], gap.scale)


def findings(gap: Gap, records: Sequence[Record]) -> str:
    """What the numbers say of the article's pair, in words, or how far a model of simulated data could go;
    nothing where the systems it speaks of did not run."""
    found = {record.model: record.metrics for record in records if record.finished}
    if gap.simulated and gap.reference in found:
        floor, oracle = (found[gap.reference][f"test/{name}"] for name in ("noise_floor", "oracle_mse"))
        return (
            f"The data were drawn from a known FM. Its own MSE on these test rows is {oracle:.4f} (expected: "
            f"{floor:.4f}), which no model can be expected to beat."
        )
    if gap.simulated or not {"vw_crossed", "vw_rank", "vw_linear", "linear"} <= found.keys():
        return ""
    crossed, rank, linear = found["vw_crossed"], found["vw_rank"], found["linear"]
    best = min(found, key=lambda model: found[model][CHOICE])
    gain = linear[WHOLE] - rank[WHOLE]
    reported = gap.published("vw_crossed") - gap.published("vw_rank")
    sentences = (
        (
            f"**The published pair is VW's last progress line.** VW reports at powers of two, so its last line on 9,430 "
            f"test rows is of the first 8,192: {crossed[FIRST]:.4f} and {rank[FIRST]:.4f} here. On the whole test set "
            f"it is {crossed[RAW]:.4f} and {rank[RAW]:.4f}."
        ),
        (
            f'**Its "linear regression" is not linear**: `-q ui` crosses every user with every item, hashed into 2^18 '
            f"weights. Without `-q`, VW has {found['vw_linear'][WHOLE]:.4f}; ridge regression on the same ids has "
            f"{linear[WHOLE]:.4f}."
        ),
        (
            f"**So the article's FM gains {gain:.4f} over a linear model**, not {reported:.4f}; the best model here by "
            f"validation, `{best}`, gains {linear[WHOLE] - found[best][WHOLE]:.4f}."
        ),
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def document(gap: Gap, records: Sequence[Record], plot: str) -> str:
    """`results/published_gap.md`."""
    tags = records[0].tags if records else {}
    versions = ", ".join(f"{key[4:]} {tags[key]}" for key in sorted(tags) if key.startswith("env."))
    code = f"source {tags.get('code.source', '')[:12]}" + (
        f", commit {tags['code.commit'][:12]}" if "code.commit" in tags else ""
    )
    what = "\n".join(f"- `{name}`: {system['what']}" for name, system in gap.systems.items())
    banner = "\n**Simulated data: nothing here was measured on MovieLens.**\n" if gap.simulated else ""
    return f"""# {gap.title}
{banner}
Data: {gap.source}. Generated by `{gap.command}`.

{table(gap, records)}

*Whole test* is the MSE of predictions clipped to the rating scale, by a model fitted on all training rows; *raw*
and *first 8,192 rows* are of predictions as the model gave them, which is what VW shows. *Validation* is of a model
fitted without a tenth of the training rows, on that tenth. Times are of one run on one thread; those of VW include
writing and parsing its text files.

![{gap.title}]({plot})

{gaps_table(gap, records)}

Intervals are 95 % paired bootstrap intervals over test rows.

{findings(gap, records)}

## The systems
{what}

Seeds: model {tags.get("seed", MISSING)}, one run a system. Threads: {tags.get("threads", MISSING)}.
Code: {code}. Machine: {versions}.
"""


def write(gap: Gap, records: Sequence[Record], directory: Path, name: str) -> list[Path]:
    """Writes the document and its plot into `directory`; returns what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    found = {record.model: record.metrics for record in records if record.finished}
    points = [
        figures.System(
            model, *(found.get(model, {}).get(metric) for metric in (WHOLE, FIRST)), gap.published(model)
        )
        for model in gap.systems
    ]
    plots = [directory / f"{name}.png", directory / f"{name}.svg"]
    for path in plots:
        figures.systems(points, gap.title, gap.reference, path)
    page = directory / f"{name}.md"
    write_text(page, document(gap, records, plots[0].name))
    return [page, *plots]
