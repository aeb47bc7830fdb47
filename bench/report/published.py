"""The published gap, measured again: the article's numbers beside ours, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.metrics import TASKS
from bench.report.comparison import READING
from bench.report.model_selection import Comparison
from bench.report.paired_gaps import Predictions
from bench.tables import MISSING, code, markdown_table, number, seconds, signed

METRICS = {
    "first": "test/mse_first_8192_rows",
    "whole": TASKS["rating"].headline_metric,
    "raw": "test/mse_raw",
    "validation": TASKS["rating"].selection_metric,
    "seconds": "time/fit_seconds",
    "oracle": "test/oracle_mse",
    "floor": "test/noise_floor",
}
"""Columns of `Article.values`; *first* is what VW shows last: it reports at powers of two."""
FOUND_IN = ["vw_crossed", "vw_rank", "vw_linear", "linear"]
"""Systems that the findings speak of; the first two are the article's."""


class Article:
    """An article held against one comparison.

    Parameters
    ----------
    question : mapping
        The experiment's `systems` (name -> {what, published}), the `pairs` whose difference is
        of interest, the `reference`, and the `split` and `data` that the article is about.
    comparison : Comparison
        What is held against it.
    predictions : Predictions, optional
        Of its rows; without them there are no intervals.

    Attributes
    ----------
    values : DataFrame
        A row for each system, planned or measured, and the reference; columns `METRICS` and
        `published`, which says nothing of other rows than the article's. NaN where there is no
        value.
    """

    def __init__(
        self,
        question: Mapping[str, Any],
        comparison: Comparison,
        predictions: Predictions | None = None,
    ) -> None:
        self.systems: Mapping[str, Mapping[str, Any]] = question["systems"]
        self.pairs: Sequence[tuple[str, str]] = question.get("pairs", ())
        self.reference: str = question.get("reference", "linear")
        self.measured = {row.model: row.chosen for row in reversed(comparison.rows)}
        self._predictions = predictions
        tags = comparison.rows[0].chosen.records[0].tags
        self.simulated = tags.get("simulated") == "true"
        here = {"split": comparison.split, "data": tags.get("data")}
        same_rows = all(question.get(key) in (None, value) for key, value in here.items())
        published = self.systems if same_rows and not self.simulated else {}
        means = {
            name: [configuration.mean(metric) for metric in METRICS.values()]
            for name, configuration in self.measured.items()
        }
        values = pd.DataFrame.from_dict(means, "index", float, list(METRICS))
        self.values = values.reindex(dict.fromkeys([*self.systems, *self.measured, self.reference]))
        self.values["published"] = pd.Series(
            {name: system.get("published") for name, system in published.items()}, dtype=float
        )

    def gap(self, one: str, other: str) -> str:
        """Return the MSE of one system minus that of the other, with its interval, for a cell."""
        if self._predictions is None or not {one, other} <= self.measured.keys():
            return number(self.values["whole"][one] - self.values["whole"][other])
        gap = self._predictions.gap(self.measured[one], self.measured[other])
        return MISSING if gap is None else signed(*gap[:3])

    def table(self, names: Iterable[str]) -> str:
        """Return a row for each of these systems."""
        header = [
            *("system, simulated data" if self.simulated else "system", "published"),
            *("first 8,192 rows", "whole test", "raw", "validation"),
            *(f"MSE − {code(self.reference)} [95 %]", "fit s"),
        ]
        errors = self.values[["published", "first", "whole", "raw", "validation"]]
        rows = [
            [
                code(name) if name in self.measured else f"{code(name)} not run",
                *map(number, errors.loc[name]),
                MISSING if name == self.reference else self.gap(name, self.reference),
                seconds(self.values["seconds"][name]),
            ]
            for name in names
        ]
        return markdown_table(header, rows)

    def gaps_table(self) -> str:
        """Return how much the second of each pair gains: as published, on VW's rows, on all."""
        published, first = self.values["published"], self.values["first"]
        rows = [
            [
                f"{code(worse)} → {code(better)}",
                number(published[worse] - published[better]),
                number(first[worse] - first[better]),
                self.gap(worse, better),
            ]
            for worse, better in self.pairs
        ]
        header = ["gain in MSE", "published", "first 8,192 rows", "whole test [95 %]"]
        return markdown_table(header, rows)

    def findings(self) -> str:
        """Return what the numbers say of the article's pair; of simulated data, the best possible.

        Nothing where the systems it speaks of did not run on the article's rows.
        """
        values, reading = self.values, READING["article"]
        if self.simulated and self.reference in self.measured:
            return reading["best possible"].format(**values.loc[self.reference])
        needed = values.reindex(FOUND_IN)[["first", "whole", "raw"]]
        if needed.isna().any(axis=None) or values["published"][FOUND_IN[:2]].isna().any():
            return ""
        best = values["validation"][values["whole"].notna()].idxmin()
        gains = values["whole"]["linear"] - values["whole"]
        stated = values["published"]["vw_crossed"] - values["published"]["vw_rank"]
        return reading["findings"].format(
            **values, best=code(best), gain=gains["vw_rank"], stated=stated, most=gains[best]
        )

    def section(self) -> list[str]:
        """Return the part of a report about the article."""
        what = "\n".join(
            f"- {code(name)}: {of.get('what', '')}" for name, of in self.systems.items()
        )
        parts = [self.table(self.systems), READING["article"]["table"], self.gaps_table()]
        return [part for part in (*parts, self.findings(), what) if part]


def article_comparison(
    question: Mapping[str, Any], compared: Sequence[Comparison]
) -> Comparison | None:
    """Return what to hold an article against: the comparison on its split, or the first."""
    if not question.get("systems"):
        return None
    same = [c for c in compared if question.get("split") in (None, c.split)]
    return next(iter([*same, *compared]), None)


def article_table(question: Mapping[str, Any], compared: Sequence[Comparison]) -> list[str]:
    """Return lines for a terminal: the article's numbers beside ours, and the gap of each.

    Nothing unless the question names systems with published figures, and they were measured on the
    article's rows.
    """
    comparison = article_comparison(question, compared)
    if comparison is None:
        return []
    article = Article(question, comparison)
    names = article.values.index[article.values["published"].notna()]
    if not len(names) or not set(names) <= article.measured.keys():
        return []
    tables = (article.table(names), article.gaps_table())
    return ["The article's numbers beside ours:", "", "\n\n".join(tables)]
