"""`python -m bench.runs`: tracked runs in the terminal: list, compare, export.

    python -m bench.runs list [EXPERIMENT]           best validation error first
    python -m bench.runs compare RUN RUN ...         what differs, and what came of it
    python -m bench.runs export [EXPERIMENT] --csv   everything, to standard output

A RUN is the beginning of a job's digest, or of MLflow's run id. Runs are deleted in MLflow.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence

from bench.errors import UserError, exit_status
from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.tables import MISSING, markdown_table, number, seconds
from bench.tracking import MLflowTracker, Record

DIGITS = 8
"""Of a digest, as it is shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--results", default="results", help="folder of the store (default: results)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("list", "export"):
        command = commands.add_parser(name)
        command.add_argument("experiment", nargs="?", help="default: all")
        command.add_argument("--model", help="only runs of this model")
        command.add_argument(
            "--status", type=str.upper, help="only FINISHED, FAILED, KILLED or PRUNED ones"
        )
        if name == "list":
            command.add_argument("--limit", type=int, default=20, help="rows (default: 20)")
    commands.add_parser("compare").add_argument("run", nargs="+")
    for command in commands.choices.values():
        form = command.add_mutually_exclusive_group()
        form.add_argument("--csv", action="store_true")
        form.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _show(asked))


def _show(asked: argparse.Namespace) -> int:
    tracker = MLflowTracker(directory=asked.results)
    if tracker.empty:
        raise UserError(f"there is no store {tracker.shown}: nothing was tracked into it yet")
    if asked.command == "compare":
        records = [found(tracker.all_records(), prefix) for prefix in asked.run]
    else:
        records = [
            r
            for r in tracker.all_records(asked.experiment)
            if (asked.model in (None, r.model)) and (asked.status in (None, r.status))
        ]
        records.sort(
            key=lambda r: (
                r.metrics.get(SELECTION_METRIC, r.metrics.get(HEADLINE_METRIC, math.inf)),
                r.name,
            )
        )
    if asked.csv or asked.json or asked.command == "export":
        (_write_json if asked.json else _write_csv)(records)
    else:
        print(difference(records) if asked.command == "compare" else listing(records, asked.limit))
    return 0


def found(records: Sequence[Record], prefix: str) -> Record:
    """The newest run whose digest or run id begins so; UserError if there is none, or jobs of several digests."""
    matching = [r for r in records if r.digest.startswith(prefix) or r.run_id.startswith(prefix)]
    digests = sorted({r.digest for r in matching})
    if len(digests) > 1:
        several = ", ".join(digest[: len(prefix) + 4] for digest in digests[:5])
        raise UserError(f"{prefix!r} is the beginning of {len(digests)} digests: {several} ...")
    if not matching:
        raise UserError(f"there is no run whose digest or run id begins with {prefix!r}")
    return matching[0]


def listing(records: Sequence[Record], limit: int) -> str:
    """A row a run."""
    header = ["run", "digest", "experiment", "status", "validation MSE", "test MSE", "fit s"]
    rows = [
        [
            record.name,
            record.digest[:DIGITS],
            record.tags["experiment"],
            record.status
            if record.finished
            else f"{record.status}: {(record.reason or MISSING)[:40]}",
            number(record.metrics.get(SELECTION_METRIC)),
            number(record.metrics.get(HEADLINE_METRIC)),
            seconds(record.metrics.get("time/fit_seconds")),
        ]
        for record in records[:limit]
    ]
    more = f"\nand {len(records) - limit} more (--limit)" if len(records) > limit else ""
    return (markdown_table(header, rows, left=4) if rows else "no run") + more


def difference(records: Sequence[Record]) -> str:
    """A column a run: parameters and tags that differ, then all metrics but curves."""
    params = _differing([r.params for r in records])
    tags = _differing(
        [r.tags for r in records], ignored=("digest", "attempt", "owner", "sweep.", "mlflow.")
    )
    metrics = sorted({m for r in records for m in r.metrics if not m.startswith("curve/")})
    rows = [["status", *(r.status for r in records)]]
    rows += [[name, *(r.params.get(name, MISSING) for r in records)] for name in params]
    rows += [
        [name, *(r.tags.get(name, MISSING) for r in records)] for name in tags if name not in params
    ]
    rows += [[name, *(_figure(r.metrics.get(name)) for r in records)] for name in metrics]
    return markdown_table(["", *(f"{r.name} {r.digest[:DIGITS]}" for r in records)], rows)


def _differing(columns: Sequence[dict[str, str]], ignored: tuple[str, ...] = ()) -> list[str]:
    names = sorted(
        {name for column in columns for name in column if not name.startswith(ignored or "\0")}
    )
    return [name for name in names if len({column.get(name) for column in columns}) > 1]


def _figure(value: float | None) -> str:
    return MISSING if value is None else f"{value:.6g}"


def _flat(record: Record) -> dict[str, object]:
    """Everything known of a run, by unique names."""
    about = {
        "digest": record.digest,
        "run_id": record.run_id,
        "name": record.name,
        "status": record.status,
    }
    tags = {f"tag.{n}": v for n, v in sorted(record.tags.items()) if not n.startswith("mlflow.")}
    return (
        about
        | {"reason": record.reason}
        | dict(sorted(record.params.items()))
        | record.metrics
        | tags
    )


def _write_csv(records: Sequence[Record]) -> None:
    rows = [_flat(record) for record in records]
    writer = csv.DictWriter(sys.stdout, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)


def _write_json(records: Sequence[Record]) -> None:
    json.dump([_flat(record) for record in records], sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    sys.exit(main())
