"""`python -m bench.studies.state_of_the_art`: `results/state_of_the_art.md`, from tracked runs (`make state-of-the-art`
makes them), and with what is measured now: a race with myFM, and how much intervals cover.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.errors import UserError, checked, exit_status
from bench.files import write_text
from bench.identity import code_version
from bench.measure import environment
from bench.report.paired_gaps import Predictions
from bench.studies.speed.bars import Bar, bars_table
from bench.studies.speed.page import Section, draw, markdown
from bench.studies.state_of_the_art import ablation, ideas, intervals, race
from bench.tracking import Record, RunReader
from fm.validation import check_integer

SELECTION_METRIC, ABLATION, BEST = "choose_k", "ablation", "state_of_the_art"
"""Experiments in `conf/experiment`."""
COMMAND = "make state-of-the-art"
PUBLISHED = """\
| published | RMSE, u1 |
| --- | ---: |
| GLocal-K (Han et al., CIKM 2021), neural | 0.8889 |
| myFM's documentation (ordered probit; ids, day, tables, implicit) | 0.8817 |"""

READING = """\
## How to read this

*Sessions* are each user's seconds, minutes and half hours, a weight each: ratings that she gave at the same time have
something in common that neither she nor the film explains, such as the page that she was shown. In u1 to u5, ua and ub,
test ratings are drawn from the same times as training ratings, so sessions fill gaps between known ratings. They
say nothing of the future.
The published figures above use no time finer than a day."""


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        "python -m bench.studies.state_of_the_art", description=__doc__
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="of what is measured now (%(default)s)"
    )
    parser.add_argument("--sweeps", type=int, default=300, help="of the race (%(default)s)")
    parser.add_argument(
        "--results", default="results", help="folder of the runs and of the page (%(default)s)"
    )
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _write(asked))


def _write(asked: argparse.Namespace) -> int:
    with checked():
        check_integer("--repeats", asked.repeats, low=2)
        check_integer("--sweeps", asked.sweeps, low=20)
    evidence = RunReader(directory=asked.results)
    tried, steps, best = (
        of_one_code(evidence.records(evidence.experiment(name)))
        for name in (SELECTION_METRIC, ABLATION, BEST)
    )
    sections = [
        reached(ablation.rows_of(best), ablation.rows_of(tried)),
        added(ablation.rows_of(steps), Predictions(evidence)),
        ideas.section(*ideas.measure(asked.repeats, sweeps=200), asked.repeats, sweeps=200),
        race.section(race.measure(asked.repeats, asked.sweeps)),
        intervals.section(intervals.measure(asked.repeats, sweeps=200)),
    ]
    command = f"python -m bench.studies.state_of_the_art --repeats {asked.repeats} --sweeps {asked.sweeps}"
    page = Path(asked.results) / f"{BEST}.md"
    write_text(page, document(sections, command, [*tried, *steps, *best]))
    draw(sections, page.parent)
    print(f"{page.read_text('utf-8')}\nWritten: {page}")
    return 0


def of_one_code(records: Sequence[Record]) -> list[Record]:
    """The finished runs of the code that most of them ran; UserError if there is none."""
    done = [record for record in records if record.finished]
    if not done:
        raise UserError(f"no run of this experiment has finished: {COMMAND}")
    (code, _), *_ = Counter(record.tags["code.source"] for record in done).most_common(1)
    return [record for record in done if record.tags["code.source"] == code]


def reached(rows: Sequence[ablation.Row], tried: Sequence[ablation.Row]) -> Section:
    """The bars, by the configurations that validation chose."""
    everything, ids = rows[-1], rows[0]
    folds = everything.over_folds(ablation.RMSE)
    bars = (
        Bar("u1 RMSE", everything.values("u1", ablation.RMSE), high=0.8770),
        Bar("u1 RMSE, the aim", everything.values("u1", ablation.RMSE), high=0.8750),
        Bar("mean RMSE of u1 to u5", folds, high=0.8730),
        Bar("mean RMSE of u1 to u5, the aim", folds, high=0.8700),
        Bar("ua MSE", everything.values("ua", ablation.MSE), high=0.8030),
        Bar("ua MSE, the aim", everything.values("ua", ablation.MSE), high=0.7950),
        Bar("ua MSE, ids only", ids.values("ua", ablation.MSE), high=0.8345),
    )
    text = "\n\n".join(
        [
            "Test RMSE, mean ± standard deviation over seeds.",
            ablation.table(rows),
            PUBLISHED,
            (
                "k was chosen on validation rows, a tenth of the training rows of a split, held out; where the errors "
                "differ by no more than seeds make them, about 0.001, the smaller k was taken:"
            ),
            ablation.choice(tried),
        ]
    )
    return Section("How far does it go?", text, tuple(bar for bar in bars if len(bar.measured)))


def added(rows: Sequence[ablation.Row], predictions: Predictions) -> Section:
    errors = {
        id(row): row.errors(lambda record: predictions.of(record)["squared_error"]) for row in rows
    }
    text = f"""\
Test RMSE, mean ± standard deviation over seeds; every run fitted on all training rows of its split.

{ablation.table(rows)}

Each step in MSE, over the test rows of u1 to u5 together (every rating is a test row once), errors averaged over seeds;
a step smaller than the standard deviations over seeds beside it is none.

{ablation.gains(rows, errors)}"""
    return Section("What does each kind of information add?", text)


def document(sections: Sequence[Section], command: str, records: Sequence[Record]) -> str:
    bars = [bar for section in sections for bar in section.bars]
    runs = Counter(
        (r.tags["code.source"][:12], r.tags.get("code.commit", "")[:12], r.modified)
        for r in records
    )
    codes = "; ".join(
        f"source {source}, commit {commit}{', modified' * modified} ({n} runs)"
        for (source, commit, modified), n in runs.items()
    )
    machine = ", ".join(
        f"{name} {value}" for name, value in environment().items() if name != "host"
    )
    return "\n\n".join(
        [
            "# Past the published state of the art",
            (
                f"MovieLens-100K. Runs by `{COMMAND}`, this page by `{command}`. Bars are held against the median. "
                "Errors are of the posterior mean, clipped to the rating scale, on all test rows, by models fitted on "
                "all training rows; what users rated, and all else that is learned, comes from training rows alone."
            ),
            bars_table(bars),
            *map(markdown, sections),
            READING,
            "## Where this was measured",
            f"Runs: {codes}. What is measured now: source {code_version()['source'][:12]}. {machine}.\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
