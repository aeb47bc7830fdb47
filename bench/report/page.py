"""A report: a page, its figures and one self-contained HTML file, from tracked runs alone.

The same runs give the same bytes. Values from outside go through `bench.tables.escaped` or `code`
first, so that they stay text. A sweep that is an experiment as configured, and the report of a
whole experiment, are `results/EXPERIMENT/README.md`; every other sweep has a folder of its own,
`results/sweeps/SWEEP/README.md`.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from textwrap import fill
from typing import Any

from bench.files import make_folder, write_text
from bench.identity import digest
from bench.locks import locked
from bench.report import published
from bench.report.comparison import READING, comparison_table, incomplete, slices, unfinished
from bench.report.figures import models, rows
from bench.report.figures.style import Shown, drawn
from bench.report.model_selection import Comparison, comparisons
from bench.report.paired_gaps import Predictions
from bench.tables import MISSING, code, escaped
from bench.tracking import Experiment, Record, RunReader
from bench.tracking.run_record import overrides_of

HTML = "report.html"
PAGE = Path(__file__).with_name("page.html")
LOCK = ".report.lock"
"""File in the folder of all reports, locked by the process that writes one."""
OLD = ("*.png", "*.svg", ".README.md.*", ".report.html.*", ".*.png.*")
"""Files of an earlier report, and those that a process was writing when it was killed."""


@dataclass(frozen=True)
class Report:
    """Files of a report: the page, its figures, and the one HTML file that holds all."""

    page: Path
    html: Path
    figures: tuple[Path, ...]


@dataclass(frozen=True)
class Subject:
    """What is reported: an experiment, or a sweep of it with `planned` jobs, in a `folder`."""

    experiment: Experiment
    records: Sequence[Record]
    command: str
    folder: str
    planned: int | None = None

    @property
    def question(self) -> Mapping[str, Any]:
        """What the experiment says about its report."""
        return self.experiment.question

    @property
    def title(self) -> str:
        return escaped(self.question.get("title", self.experiment.name))


def subject_of(reader: RunReader, name: str) -> Subject:
    """Return what to report: all runs of an experiment, or of the sweep with that parent run."""
    parent = reader.parent(name)
    if parent is None:
        experiment = reader.experiment(name)
        command = f"python -m bench.report {shlex.quote(name)}"
        return Subject(experiment, reader.records(experiment), command, experiment.name)
    experiment, sweep = parent
    words = [w for w in shlex.split(sweep.description) if not w.startswith("results=")]
    command = f"python -m bench {shlex.join(words)}"
    folder = sweep_folder(experiment, sweep.id, sweep.description)
    records = reader.records(experiment, sweep.id)
    return Subject(experiment, records, command, folder, sweep.planned)


def sweep_folder(experiment: Experiment, sweep: str, words: str) -> str:
    """Return the folder, in `results`, of a sweep's report, by its id and its command's words."""
    as_configured = [f"experiment={experiment.name.removesuffix('_simulated')}"]
    return experiment.name if overrides_of(words) == as_configured else f"sweeps/{sweep}"


def write(reader: RunReader, name: str, results: Path, by: str | None = None) -> Report:
    """Write the report of an experiment, or of the sweep whose parent run has the id `name`.

    It goes into a folder of `results`; one of the same runs is left as it is. The levels of the
    field `by` get a table of their own errors.
    """
    subject = subject_of(reader, name)
    directory = results / subject.folder
    page, html = directory / "README.md", directory / HTML
    runs = {r.run_id: r.status for r in subject.records} | {"planned": subject.planned, "by": by}
    mark = f"<!-- runs {digest(runs)} -->"
    make_folder(directory)
    with locked(results / LOCK):
        if not (page.exists() and html.exists() and page.read_text("utf-8").startswith(mark)):
            for pattern in OLD:
                for old in directory.glob(pattern):
                    old.unlink()
            parts = [part.strip() for part in document(subject, reader, directory, by)]
            markdown = "\n\n".join(parts) + "\n"
            write_text(html, as_html(subject.title, markdown, directory))
            write_text(page, f"{mark}\n{markdown}")
    return Report(page, html, tuple(sorted(directory.glob("*.png"))))


def as_html(title: str, markdown: str, folder: Path) -> str:
    """Return one HTML file that needs no other: figures of `folder` inside, sortable tables."""
    from markdown_it import MarkdownIt

    def inline(image: re.Match[str]) -> str:
        data = base64.b64encode((folder / image[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = re.sub(r'src="([^":/]+\.png)"', inline, body)
    plain = re.sub(r"\\(.)|`", r"\1", title)
    return Template(PAGE.read_text("utf-8")).substitute(title=escape(plain), body=body)


def document(
    subject: Subject, reader: RunReader, directory: Path, by: str | None = None
) -> Iterator[str]:
    """Yield the parts of a report; draw its figures into `directory`."""
    predictions = Predictions(reader)
    compared = comparisons(subject.records)
    yield f"# {subject.title}"
    if any(r.tags.get("simulated") == "true" for r in subject.records):
        yield "**Simulated data: nothing here was measured on people's ratings.**"
    yield _provenance(subject, compared)
    against = published.article_comparison(subject.question, compared)
    if against is not None:
        yield from published.Article(subject.question, against, predictions).section()
    for number, comparison in enumerate(compared, 1):
        of = f" on {escaped(comparison.title)}" if len(compared) > 1 else ""
        yield f"## Which model is best{of}?"
        suffix = f"_{number}" if number > 1 else ""
        yield from _compared(subject, comparison, reader, predictions, directory, suffix, by)
    if not compared:
        yield "No run has finished."
    cannot = subject.question.get("cannot") or {}
    shown = dict.fromkeys(row.model for c in compared for row in c.rows)
    if lines := [f"- {code(m)} cannot {cannot[m]}." for m in shown if m in cannot]:
        yield from ("## What can each not do?", "\n".join(lines))
    yield from unfinished(subject.records, _missing(subject), subject.question.get("skipped") or {})
    yield _foot(subject.records)


def _compared(
    subject: Subject,
    comparison: Comparison,
    reader: RunReader,
    predictions: Predictions,
    directory: Path,
    suffix: str,
    by: str | None,
) -> Iterator[str]:
    reference = subject.question.get("reference", "linear")
    yield comparison_table(comparison, reference, predictions)
    if left_out := incomplete(comparison.rows):
        yield left_out
    yield _reading(comparison)
    if by is not None:
        yield f"## Errors by {escaped(by)}"
        yield slices(comparison, by, predictions, rows.N_LINES)
    shown = Shown.of(comparison)
    for figures in (
        partial(models.error_by_parameters, shown),
        partial(models.pareto, shown),
        partial(models.learning_curves, shown, reader),
        partial(rows.figures_of_rows, shown, reference, predictions),
    ):
        yield from drawn(figures, directory, suffix)


def _provenance(subject: Subject, compared: Sequence[Comparison]) -> str:
    """Return what was run, on what, and how to run it again."""
    of = [
        escaped(c.title, limit=None) + (f" (digest {code(c.data)})" if c.data else "")
        for c in compared
    ]
    finished = sum(r.finished for r in subject.records)
    command = code(subject.command, limit=None)
    data = "; ".join(of) or MISSING
    return f"Data: {data}. Generated by {command} from {finished} finished runs."


def _reading(comparison: Comparison) -> str:
    """Return how to read the table of a comparison."""
    task, chosen = comparison.task, [row.chosen for row in comparison.rows]
    metrics = READING["metrics"][task.name].strip()
    text = READING["table"].format(metrics=metrics, loss=task.headline.label)
    if any(c.values(f"test/oracle_{task.loss}") for c in chosen):
        text += READING["best possible"]
    kept = [
        c for c in chosen if c.params.get("refit") == "False" and c.validation_error is not None
    ]
    names = ", ".join(dict.fromkeys(code(c.model) for c in kept))
    said = f" Of {names} the fit that was validated is tested itself (`refit=false`)."
    return fill(text, 100) + (said if kept else "")


def _missing(subject: Subject) -> list[str]:
    models = {r.model for r in subject.records}
    missing = [name for name in subject.question.get("systems") or {} if name not in models]
    lacking = (subject.planned or 0) - len(subject.records) - len(missing)
    return missing + ([f"{lacking} of {subject.planned} runs"] if lacking > 0 else [])


def _foot(records: Sequence[Record]) -> str:
    """Return code, machines and threads of the runs; several where they differ."""
    codes: Counter[str] = Counter()
    machines: Counter[str] = Counter()
    for r in records:
        commit = f", commit {r.tags['code.commit'][:12]}" if "code.commit" in r.tags else ""
        source = f"source {r.tags.get('code.source', '')[:12]}{commit}"
        codes[escaped(source + (", modified" if r.modified else ""))] += 1
        env = {k[4:]: v for k, v in sorted(r.tags.items()) if k.startswith("env.")}
        env.pop("host", None)
        machines[", ".join(escaped(f"{k} {v}") for k, v in env.items())] += 1
    source, machine = (
        next(iter(of))
        if len(of) == 1
        else "; ".join(f"{x} ({n} runs)" for x, n in sorted(of.items()))
        for of in (codes, machines)
    )
    threads = sorted({escaped(r.tags.get("threads", MISSING)) for r in records})
    return f"Threads: {', '.join(threads)}. Code: {source}. Machine: {machine}."
