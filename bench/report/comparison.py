"""The table that compares models, and the ones beside it: what failed, what is missing, what code was modified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.report.model_selection import Choice, Configuration, differing
from bench.report.paired_gaps import Predictions
from bench.tables import MISSING, markdown_table, number, seconds, signed
from bench.tracking import Record

SHOWN = 20
"""Failed runs that are listed one by one."""
ORACLE = "test/oracle_mse"
"""MSE, on the same rows, of the means that simulated ratings were drawn about."""
RMSE = {SELECTION_METRIC: "validation/rmse_clipped", HEADLINE_METRIC: "test/rmse_clipped"}


def compared(rows: Sequence[Choice], reference: str, predictions: Predictions) -> str:
    """A row a choice, best validation error first."""
    extra = differing(rows)
    excess = ["MSE − best possible"] if any(row.chosen.values(ORACLE) for row in rows) else []
    header = [
        "model",
        *extra,
        "chosen configuration",
        "of",
        "validation MSE",
        "validation RMSE",
        "test MSE",
    ]
    header += [
        "test RMSE",
        "over",
        *excess,
        f"MSE − `{reference}` [95 %]",
        "fit s",
        "predict s",
        "memory MiB",
        "parameters",
        "tuning",
    ]
    body = [
        [
            f"`{row.model}`",
            *(getattr(row.chosen, name) for name in extra),
            row.settings() or "as in `conf/model`",
            str(len(row.of)),
            *(
                spread(row, metric)
                for metric in (
                    SELECTION_METRIC,
                    RMSE[SELECTION_METRIC],
                    HEADLINE_METRIC,
                    RMSE[HEADLINE_METRIC],
                )
            ),
            row.chosen.over(),
            *([_excess(row.chosen)] if excess else []),
            _gap(row, rows, reference, predictions),
            seconds(row.chosen.mean("time/fit_seconds")),
            seconds(row.chosen.mean("time/predict_seconds")),
            number(row.chosen.mean("size/peak_memory_mib"), 0),
            number(row.chosen.mean("size/parameters"), 0),
            f"{row.n_runs} runs, {seconds(row.seconds)} s",
        ]
        for row in rows
    ]
    return markdown_table(header, body, left=len(extra) + 2)


def spread(row: Choice, metric: str) -> str:
    """`0.8334 ± 0.0010`, or the value alone where there is one."""
    std = row.chosen.std(metric)
    return number(row.chosen.mean(metric)) + ("" if std is None else f" ± {std:.4f}")


def _excess(configuration: Configuration) -> str:
    """How far it is from the best that a model can do, on simulated ratings."""
    mse, oracle = configuration.mean(HEADLINE_METRIC), configuration.mean(ORACLE)
    return MISSING if oracle is None else f"{mse - oracle:+.4f}"


def reference_of(row: Choice, rows: Sequence[Choice], reference: str) -> Choice | None:
    """The reference model's row on the same split, with the same features where there is one."""
    found = [r for r in rows if r.model == reference and r.chosen.split == row.chosen.split]
    same = [r for r in found if r.chosen.features == row.chosen.features]
    return next(iter(same or found), None)


def _gap(row: Choice, rows: Sequence[Choice], reference: str, predictions: Predictions) -> str:
    other = reference_of(row, rows, reference)
    if other is None or other is row:
        return MISSING
    gap = predictions.gap(row.chosen, other.chosen)
    return MISSING if gap is None else signed(*gap)


def unfinished(
    records: Sequence[Record],
    missing: Sequence[str],
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Failed runs with their reasons, what was planned and is not there, and models that were `skipped`, with why;
    nothing if all is well."""
    bad = [r for r in records if not r.settled]
    rows = [[r.name, r.status, r.reason or MISSING] for r in bad[:SHOWN]]
    if len(bad) > SHOWN:
        rows.append([f"and {len(bad) - SHOWN} more", MISSING, MISSING])
    rows += [[what, "MISSING", "planned, but not run"] for what in missing]
    rows += [[model, "SKIPPED", reason] for model, reason in skipped.items()]
    if not rows:
        return ""
    return f"## What failed or is missing\n\n{markdown_table(['run', 'status', 'reason'], rows, left=3)}\n"
