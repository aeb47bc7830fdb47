"""`python -m bench.runs`: tracked runs in the terminal.

    python -m bench.runs list [EXPERIMENT]           by data and split, best validation error first
    python -m bench.runs list --csv --limit 100      everything about them, to standard output
    python -m bench.runs show RUN                    what its digest covers: settings, data, code

A RUN is the beginning of a job's digest, or of MLflow's run id. Runs are compared and deleted in
the dashboard (`python -m bench.ui`).
"""

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from bench.errors import UserError, exit_status
from bench.identity import closure, code_targets
from bench.tables import MISSING, columns_table, markdown_table, number, quoted, seconds
from bench.tracking import Record, RunReader, attempt_that_counts

DIGITS = 8
"""Of a digest, as it is shown."""
DISPENSABLE = ("fit s", "experiment", "date", "status", "digest")
"""Columns of a list that go, in this order, where a terminal is too narrow."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listed, shown = commands.add_parser("list"), commands.add_parser("show")
    for of in (parser, listed, shown):
        default = "results" if of is parser else argparse.SUPPRESS
        of.add_argument("--results", default=default, help="folder of the store (default: results)")
    shown.add_argument("run")
    listed.add_argument("experiment", nargs="?", help="default: all")
    listed.add_argument("--limit", type=int, default=20, help="rows (default: 20)")
    form = listed.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true")
    form.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    reader = RunReader(directory=options.results)
    reader.refuse_empty()
    if options.command == "show":
        print(covered(reader, run_named(reader.all_records(), options.run)))
        return 0
    records = reader.all_records(options.experiment)
    records.sort(key=lambda r: (_comparable(r), _error(r), r.name))
    rows = [_flat(record) for record in records[: options.limit]]
    if options.json:
        print(json.dumps(rows, indent=1))
    elif options.csv:
        writer = csv.DictWriter(
            sys.stdout, list(dict.fromkeys(name for row in rows for name in row))
        )
        writer.writeheader()
        writer.writerows({name: _no_formula(v) for name, v in row.items()} for row in rows)
    else:
        print(listing(records, options.limit))
    return 0


def run_named(records: Sequence[Record], prefix: str) -> Record:
    """Return the run whose digest or run id begins so; of several attempts, the one that counts.

    UserError if there is none, or several jobs are meant.
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
    rows = [["digest", record.digest], ["data", record.data]]
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
    return columns_table(columns, 5, DISPENSABLE)


def _comparable(record: Record) -> tuple[str, str, str, str]:
    """Return what runs must share to be compared: data, by source and digest, split and task."""
    tags = record.tags
    return tags.get("data.source", ""), record.data, tags.get("split", ""), record.task.name


def _error(record: Record) -> float:
    """Return the error to sort by; runs without one come last."""
    errors = (record.validation_error, record.test_error)
    return next((error for error in errors if error is not None), math.inf)


def _flat(record: Record) -> dict[str, object]:
    """Return all fields of a run, by unique names."""
    about = {name: getattr(record, name) for name in ("digest", "run_id", "name", "status")}
    tags = {f"tag.{n}": v for n, v in sorted(record.tags.items()) if not n.startswith("mlflow.")}
    params = dict(sorted(record.params.items()))
    return about | {"reason": record.reason} | params | record.metrics | tags


def _no_formula(value: object) -> object:
    """Return a text that a spreadsheet would calculate with a ' before it; else the value."""
    numeric = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(inf|nan)"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value if re.fullmatch(numeric, value, re.IGNORECASE) else f"'{value}"
    return value


if __name__ == "__main__":
    sys.exit(main())
