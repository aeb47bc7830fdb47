"""The published gap, measured again: the table, its plot, and what the numbers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.report import figures
from bench.report.model_selection import Configuration
from bench.report.paired_gaps import Predictions
from bench.tables import MISSING, markdown_table, number, seconds, signed
from bench.tracking import Record

FIRST = "test/mse_first_8192_rows"
"""What VW shows last: it reports at powers of two, and ua.test has 9,430 rows."""
WHOLE, RAW = HEADLINE_METRIC, "test/mse_raw"


@dataclass(frozen=True)
class Gap:
    """What is compared: the planned systems (name -> {what, published}), the pairs whose difference is asked
    for, the model every system is held against, what was found of each, and why the others were not."""

    systems: Mapping[str, Mapping[str, object]]
    pairs: Sequence[tuple[str, str]]
    reference: str
    simulated: bool
    found: Mapping[str, Configuration]
    failed: Mapping[str, Record]
    predictions: Predictions

    def published(self, name: str) -> float | None:
        """Figures of the article; it said nothing about simulated data."""
        return None if self.simulated else self.systems[name].get("published")

    def metric(self, name: str, metric: str) -> float | None:
        return self.found[name].mean(metric) if name in self.found else None

    def interval(self, name: str, reference: str) -> str:
        if not {name, reference} <= self.found.keys():
            return MISSING
        gap = self.predictions.gap(self.found[name], self.found[reference])
        return MISSING if gap is None else signed(*gap)


def table(gap: Gap) -> str:
    """A row per planned system: failed and missing ones say so."""
    header = [
        "system, simulated data" if gap.simulated else "system",
        "published",
        "first 8,192 rows",
    ]
    header += ["whole test", "raw", "validation", f"MSE − `{gap.reference}` [95 %]", "fit s"]
    return markdown_table(header, [_row(gap, name) for name in gap.systems])


def _row(gap: Gap, name: str) -> list[str]:
    if name not in gap.found:
        record = gap.failed.get(name)
        reason = "not run" if record is None else f"{record.status}: {record.reason}"
        return [f"`{name}` {reason}", number(gap.published(name)), *[MISSING] * 6]
    return [
        f"`{name}`",
        number(gap.published(name)),
        *(number(gap.metric(name, metric)) for metric in (FIRST, WHOLE, RAW, SELECTION_METRIC)),
        MISSING if name == gap.reference else gap.interval(name, gap.reference),
        seconds(gap.metric(name, "time/fit_seconds")),
    ]


def gaps_table(gap: Gap) -> str:
    """How much the second of each pair gains over the first: as published, on VW's rows, on all."""
    rows = []
    for worse, better in gap.pairs:
        pairs = [
            [f(worse), f(better)] for f in (gap.published, lambda name: gap.metric(name, FIRST))
        ]
        rows.append(
            [
                f"`{worse}` → `{better}`",
                *(number(None if None in values else values[0] - values[1]) for values in pairs),
                gap.interval(worse, better),
            ]
        )
    return markdown_table(
        ["gain in MSE", "published", "first 8,192 rows", "whole test [95 %]"], rows
    )


def findings(gap: Gap) -> str:
    """What the numbers say of the article's pair, in words, or how far a model of simulated data could go;
    nothing where the systems it speaks of did not run."""
    found = gap.found
    if gap.simulated and gap.reference in found:
        floor, oracle = (
            gap.metric(gap.reference, f"test/{name}") for name in ("noise_floor", "oracle_mse")
        )
        return (
            f"The data were drawn from a known FM. Its own MSE on these test rows is {oracle:.4f} (expected: "
            f"{floor:.4f}), which no model can be expected to beat."
        )
    if gap.simulated or not {"vw_crossed", "vw_rank", "vw_linear", "linear"} <= found.keys():
        return ""
    metric = gap.metric
    best = min(found, key=lambda model: metric(model, SELECTION_METRIC))
    linear = metric("linear", WHOLE)
    gain = linear - metric("vw_rank", WHOLE)
    reported = gap.published("vw_crossed") - gap.published("vw_rank")
    sentences = (
        (
            f"**The published pair is VW's last progress line.** VW reports at powers of two, so its last line on 9,430 "
            f"test rows is of the first 8,192: {metric('vw_crossed', FIRST):.4f} and {metric('vw_rank', FIRST):.4f} here. On the whole test set "
            f"it is {metric('vw_crossed', RAW):.4f} and {metric('vw_rank', RAW):.4f}."
        ),
        (
            f'**Its "linear regression" is not linear**: `-q ui` crosses every user with every item, hashed into 2^18 '
            f"weights. Without `-q`, VW has {metric('vw_linear', WHOLE):.4f}; ridge regression on the same ids has "
            f"{linear:.4f}."
        ),
        (
            f"**So the article's FM gains {gain:.4f} over a linear model**, not {reported:.4f}; the best model here by "
            f"validation, `{best}`, gains {linear - metric(best, WHOLE):.4f}."
        ),
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def section(gap: Gap, title: str, directory: Path) -> str:
    """The part of a report that holds an article against what was measured; draws its figure."""
    points = [
        figures.System(
            name, *(gap.metric(name, metric) for metric in (WHOLE, FIRST)), gap.published(name)
        )
        for name in gap.systems
    ]
    figures.systems(points, title, gap.reference, directory / "published")
    what = "\n".join(f"- `{name}`: {system['what']}" for name, system in gap.systems.items())
    return f"""{table(gap)}

*Whole test* is the MSE of predictions clipped to the rating scale; *raw* and *first 8,192 rows* are of predictions as
the model gave them, which is what VW shows. Times of VW include writing and parsing its text files.

![{title}](published.png)

{gaps_table(gap)}

{findings(gap)}

{what}
"""
