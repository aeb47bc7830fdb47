"""`python -m bench.runs`: tracked runs in the terminal: list, compare, export.

    python -m bench.runs list [EXPERIMENT]           by data and split, best validation error first
    python -m bench.runs show RUN                    what its digest covers: settings, data, code
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
from datetime import datetime
from itertools import groupby

from bench.errors import UserError, exit_status
from bench.identity import closure, code_targets
from bench.tables import MISSING, markdown_table, number, quoted, seconds, terminal_table
from bench.tracking import MLflowTracker, Record, RunReader, attempt_that_counts

DIGITS = 8
"""Of a digest, as it is shown."""
TEXTS = ("run", "digest", "date", "experiment", "status")
DISPENSABLE = ("fit s", "experiment", "date", "status", "digest")
"""Columns of a list, the first to be left out on a narrow terminal first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
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
    commands.add_parser("show").add_argument("run")
    for name, command in commands.choices.items():
        command.add_argument("--results", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == "show":
            continue
        form = command.add_mutually_exclusive_group()
        form.add_argument("--csv", action="store_true")
        form.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    tracker = MLflowTracker(directory=options.results)
    tracker.refuse_empty()
    if options.command == "show":
        print(covered(tracker, run_named(tracker.all_records(), options.run)))
        return 0
    if options.command == "compare":
        records = [run_named(tracker.all_records(), prefix) for prefix in options.run]
    else:
        records = [
            r
            for r in tracker.all_records(options.experiment)
            if (options.model in (None, r.model)) and (options.status in (None, r.status))
        ]
        records.sort(key=lambda r: (_comparable(r), _error(r), r.name))
        if options.command == "list" and (options.csv or options.json):
            records = records[: options.limit]
    if options.csv or options.json or options.command == "export":
        (_write_json if options.json else _write_csv)(records)
    else:
        print(
            difference(records) if options.command == "compare" else listing(records, options.limit)
        )
    return 0


def run_named(records: Sequence[Record], prefix: str) -> Record:
    """Return the run whose digest or run id begins so; of several attempts, the one that counts.

    Raises
    ------
    UserError
        If there is none, or several jobs are meant.
    """
    matching = [r for r in records if r.digest.startswith(prefix) or r.run_id.startswith(prefix)]
    digests = sorted({r.digest for r in matching})
    if len(digests) > 1:
        several = ", ".join(digest[: len(prefix) + 4] for digest in digests[:5])
        raise UserError(f"{prefix!r} is the beginning of {len(digests)} digests: {several} ...")
    if not matching:
        raise UserError(f"there is no run whose digest or run id begins with {prefix!r}")
    return attempt_that_counts(matching)


def covered(reader: RunReader, record: Record) -> str:
    """Return what the digest of a run covers; code that is other here and now is marked."""
    code = reader.code(record.run_id)
    here = closure(code_targets(reader.config(record.run_id)))
    now = {"modules": here.modules, "packages": here.packages}
    rows = [["digest", record.digest], ["data", reader.data(record.run_id).digest]]
    rows += [[key, value] for key, value in record.params.items() if not key.startswith("data.")]
    for kind, parts in code.items():
        for name, value in parts.items():
            current = now[kind].get(name, MISSING)
            rows.append([name, value if value == current else f"{value} (here {current})"])
    return markdown_table(["covered", record.name], rows, left=2)


def listing(records: Sequence[Record], limit: int) -> str:
    """Return a row for each run, in a table for each data set, split and task."""
    parts = []
    for (source, _, split, _), of in groupby(records[:limit], key=_comparable):
        parts.append(f"{quoted(source)}, split {quoted(split)}:\n\n{_table(list(of))}\n")
    more = f"and {len(records) - limit} more (--limit)" if len(records) > limit else ""
    return "\n".join([*parts, more]).rstrip() or "no run"


def _table(records: Sequence[Record]) -> str:
    label = records[0].task.headline.label
    columns = {
        "run": [quoted(r.name) for r in records],
        "digest": [r.digest[:DIGITS] for r in records],
        "date": [f"{datetime.fromtimestamp(r.began / 1000):%Y-%m-%d %H:%M}" for r in records],
        "experiment": [r.tags["experiment"] for r in records],
        "status": [
            r.status if r.finished else quoted(f"{r.status}: {(r.reason or MISSING)[:40]}")
            for r in records
        ],
        f"validation {label}": [number(r.validation_error) for r in records],
        f"test {label}": [number(r.test_error) for r in records],
        "fit s": [seconds(r.metrics.get("time/fit_seconds")) for r in records],
    }
    return terminal_table(columns, TEXTS, DISPENSABLE)


def _comparable(record: Record) -> tuple[str, str, str, str]:
    """Return what runs must share to be compared: data, by source and digest, split and task."""
    tags = record.tags
    return tags.get("data.source", ""), record.data, tags.get("split", ""), record.task.name


def _error(record: Record) -> float:
    """Return the error to sort by; runs without one come last."""
    errors = (record.validation_error, record.test_error)
    return next((error for error in errors if error is not None), math.inf)


def difference(records: Sequence[Record]) -> str:
    """Return a column for each run: what differs, then all metrics but curves."""
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
    """Return all fields of a run, by unique names."""
    about: dict[str, object] = {
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
    rows = [{n: _no_formula(v) for n, v in _flat(record).items()} for record in records]
    writer = csv.DictWriter(sys.stdout, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)


def _no_formula(value: object) -> object:
    """Return a text that a spreadsheet would calculate with a ' before it; else the value."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value if _is_number(value) else f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write_json(records: Sequence[Record]) -> None:
    json.dump([_flat(record) for record in records], sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    sys.exit(main())
