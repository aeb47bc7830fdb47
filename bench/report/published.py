"""The published gap, measured again: the table, its plot, and what the numbers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench.metrics import TASKS
from bench.report.figures.models import systems
from bench.report.figures.style import drawn
from bench.report.model_selection import Comparison, Configuration, ranked
from bench.report.paired_gaps import Predictions
from bench.tables import MISSING, code, escaped, markdown_table, number, seconds, signed
from bench.tracking import Record

FIRST = "test/mse_first_8192_rows"
"""What VW shows last: it reports at powers of two, and ua.test has 9,430 rows."""
RATING = TASKS["rating"]
WHOLE, RAW = RATING.headline_metric, "test/mse_raw"
READING = """\
*Whole test* is the MSE of predictions clipped to the rating scale; *raw* and *first 8,192 rows* are
of predictions as the model gave them, which is what VW shows. Times of VW include writing and
parsing its text files."""


@dataclass(frozen=True)
class Article:
    """An article held against what was measured.

    Attributes
    ----------
    question : mapping
        The experiment's `systems` (name -> {what, published}), the `pairs` whose difference is
        of interest, the `reference`, the `split` that the article used.
    comparison : Comparison
        What is held against it.
    predictions : Predictions
        Of its rows; None: intervals are left out.
    records : sequence of Record
        All runs, for why a system is missing.
    """

    question: Mapping[str, Any]
    comparison: Comparison
    predictions: Predictions | None = None
    records: Sequence[Record] = ()

    @cached_property
    def measured(self) -> dict[str, Configuration]:
        """The measured configuration of each system."""
        return {row.model: row.chosen for row in reversed(self.comparison.rows)}

    @property
    def systems(self) -> Mapping[str, Mapping[str, Any]]:
        """What was planned to be measured."""
        return self.question["systems"]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Systems of which the gain of the second over the first is reported."""
        return [(worse, better) for worse, better in self.question["pairs"]]

    @property
    def reference(self) -> str:
        """The system that every other is held against."""
        return self.question.get("reference", "linear")

    @property
    def simulated(self) -> bool:
        """Whether the data were drawn from a known model."""
        return any(
            r.tags.get("simulated") == "true" for c in self.measured.values() for r in c.records
        )

    @property
    def same_rows(self) -> bool:
        """Whether this is the data and the split that the article is about."""
        theirs = self.question.get("split"), self.question.get("data")
        here = self.comparison.split, self.comparison.rows[0].chosen.records[0].tags.get("data")
        as_asked = (a in (None, b) for a, b in zip(theirs, here, strict=True))
        return not self.simulated and all(as_asked)

    def published(self, name: str) -> float | None:
        """Return the article's figure, which says nothing about other rows."""
        return self.systems[name].get("published") if self.same_rows else None

    def metric(self, name: str, metric: str) -> float | None:
        """Return a measured metric, None where the system did not run."""
        return self.measured[name].mean(metric) if name in self.measured else None

    def interval(self, name: str, reference: str) -> str:
        """Return the MSE of one minus that of the other, with its interval, for a cell."""
        if self.predictions is None or not {name, reference} <= self.measured.keys():
            return _less(self.metric(name, WHOLE), self.metric(reference, WHOLE))
        gap = self.predictions.gap(self.measured[name], self.measured[reference])
        return MISSING if gap is None else signed(*gap[:3])


def article_table(question: Mapping[str, Any], compared: Sequence[Comparison]) -> list[str]:
    """Return lines for a terminal: the article's numbers beside ours, and the gap of each.

    Nothing unless the question names systems with published figures, and they were measured on the
    article's rows.
    """
    comparison = article_comparison(question, compared)
    if comparison is None:
        return []
    article = Article(question, comparison)
    names = [name for name in article.systems if article.published(name) is not None]
    if not names or not set(names) <= article.measured.keys():
        return []
    tables = (table(article, names), gaps_table(article))
    return ["The article's numbers beside ours:", "", "\n\n".join(tables)]


def article_comparison(
    question: Mapping[str, Any], compared: Sequence[Comparison]
) -> Comparison | None:
    """Return what to hold an article against: the comparison on its split, or the first."""
    if not question.get("systems"):
        return None
    same = [c for c in compared if question.get("split") in (None, c.split)]
    return next(iter([*same, *compared]), None)


def table(article: Article, names: Iterable[str] | None = None) -> str:
    """Return a row for each planned system, or `names`: failed and missing ones say so."""
    header = [
        *("system, simulated data" if article.simulated else "system", "published"),
        *("first 8,192 rows", "whole test", "raw", "validation"),
        *(f"MSE − {code(article.reference)} [95 %]", "fit s"),
    ]
    return markdown_table(header, [_row(article, name) for name in names or article.systems])


def _row(article: Article, name: str) -> list[str]:
    if name not in article.measured:
        failed = next((r for r in article.records if r.model == name and not r.finished), None)
        reason = "not run" if failed is None else f"{failed.status}: {failed.reason}"
        return [f"{code(name)} {escaped(reason)}", number(article.published(name)), *[MISSING] * 6]
    metrics = (FIRST, WHOLE, RAW, RATING.selection_metric)
    return [
        code(name),
        number(article.published(name)),
        *(number(article.metric(name, metric)) for metric in metrics),
        MISSING if name == article.reference else article.interval(name, article.reference),
        seconds(article.metric(name, "time/fit_seconds")),
    ]


def gaps_table(article: Article) -> str:
    """Return how much the second of each pair gains: as published, on VW's rows, on all."""
    rows = [
        [
            f"{code(worse)} → {code(better)}",
            _less(article.published(worse), article.published(better)),
            _less(article.metric(worse, FIRST), article.metric(better, FIRST)),
            article.interval(worse, better),
        ]
        for worse, better in article.pairs
    ]
    return markdown_table(
        ["gain in MSE", "published", "first 8,192 rows", "whole test [95 %]"], rows
    )


def findings(article: Article) -> str:
    """Return what the numbers say of the article's pair; of simulated data, the best possible.

    Nothing where the systems it speaks of did not run on the article's rows.
    """
    if article.simulated and article.reference in article.measured:
        floor, oracle = (
            article.metric(article.reference, f"test/{name}")
            for name in ("noise_floor", "oracle_mse")
        )
        return (
            f"The data were drawn from a known FM. Its own MSE on these test rows is {oracle:.4f} "
            f"(expected: {floor:.4f}), which no model can be expected to beat."
        )
    needed = ("vw_crossed", "vw_rank", "vw_linear", "linear")
    reported = [article.published(name) for name in needed[:2]]
    values = {
        (name, of): value
        for name in needed
        for of in (FIRST, WHOLE, RAW)
        if (value := article.metric(name, of)) is not None
    }
    if None in reported or len(values) < 3 * len(needed):
        return ""
    tested = [name for name in article.measured if article.metric(name, WHOLE) is not None]
    best = min(tested, key=lambda model: ranked(article.metric(model, RATING.selection_metric)))
    linear = values["linear", WHOLE]
    gain = linear - values["vw_rank", WHOLE]
    first, raw = ([values[name, of] for name in needed[:2]] for of in (FIRST, RAW))
    sentences = (
        "**The published pair is VW's last progress line.** VW reports at powers of two, so its "
        f"last line on 9,430 test rows is of the first 8,192: {first[0]:.4f} and {first[1]:.4f} "
        f"here. On the whole test set it is {raw[0]:.4f} and {raw[1]:.4f}.",
        '**Its "linear regression" is not linear**: `-q ui` crosses every user with every item, '
        f"hashed into 2^18 weights. Without `-q`, VW has {values['vw_linear', WHOLE]:.4f}; ridge "
        f"regression on the same ids has {linear:.4f}.",
        f"**So the article's FM gains {gain:.4f} over a linear model**, not {_less(*reported)}; "
        f"the best model here by validation, {code(best)}, gains "
        f"{_less(linear, article.metric(best, WHOLE))}.",
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def section(article: Article, title: str, directory: Path) -> list[str]:
    """Return the part of a report about an article, held against what was measured."""
    points = {
        name: (article.metric(name, WHOLE), article.metric(name, FIRST), article.published(name))
        for name in article.systems
    }
    columns = ["whole", "first", "published"]
    frame = pd.DataFrame.from_dict(points, "index", float, columns)
    drawing = systems(frame, title, article.reference)
    figure = list(drawn(lambda: [drawing], directory))[1:]
    what = "\n".join(
        f"- {code(name)}: {of.get('what', '')}" for name, of in article.systems.items()
    )
    text = filter(None, (findings(article), what))
    return [table(article), READING, *figure, gaps_table(article), *text]


def _less(one: float | None, other: float | None) -> str:
    return number(None if one is None or other is None else one - other)
