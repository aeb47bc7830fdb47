"""How far an FM goes on MovieLens-100K: what tracked runs reached, what else was tried, how fast.

The runs are sweeps of the harness: those that are finished are not made again.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.identity import ROOT
from bench.measure import Measured
from bench.report.paired_gaps import Predictions
from bench.studies import ablation, ideas
from bench.studies.fits import Fit, configured, rows_of, watched
from bench.studies.study import Bar, Context, Part, Plot, Section, Study, Values, spread
from bench.tables import markdown_table
from bench.tracking import Record, RunReader

RUNS = (
    "experiment=choose_k",
    "experiment=choose_k features.names=[ids] split=ua seed=0,1",
    "experiment=ablation",
    f"experiment=ablation model=fm_ordinal features.names={ideas.SHARED},{ideas.BASE}",
    "experiment=ablation model=peer_myfm seed=0 features.names=[ids],[ids,day],[ids,day,side],"
    f"[ids,day,side,implicit],{ideas.SHARED}",
    f"experiment=ablation model=peer_myfm_ordered seed=0 features.names={ideas.SHARED}",
    "experiment=state_of_the_art",
    "experiment=state_of_the_art model.k=16 features.names=[ids] split=ua",
)
"""What `python -m bench` is given (hours)."""
TARGET = 0.8817
"""RMSE on u1 that is raced for: about what myFM reaches with these features."""
OURS, WITH_SESSIONS, THEIRS = "fm, the same features", "fm, sessions too", "myFM"
SWEEPS = 200
BURN_IN = 2
"""Sweeps that no curve shows: the mean of so few draws is none."""
QUANTILES = 0.05, 0.95
PUBLISHED = """\
| published | RMSE, u1 |
| --- | ---: |
| GLocal-K (Han et al., CIKM 2021), neural, ratings alone | 0.8889 |
| myFM, ml-100k-extended.ipynb (ordered probit; ids, day, tables, implicit; 512 sweeps)| 0.8808 |"""
READING = """\
*Sessions* are each user's seconds, minutes and half hours, a weight each: ratings that she gave
at the same time have something in common that neither she nor the film explains, such as the page
that she was shown. In u1 to u5, ua and ub, test ratings are drawn from the same times as training
ratings, so sessions fill gaps between known ratings. They say nothing of the future. The
published figures above use no time finer than a day."""


def measure_runs(_: Context) -> Mapping[str, Any]:
    """Make the runs of the three experiments, and read them."""
    for run in RUNS:
        subprocess.run([sys.executable, "-m", "bench", *run.split()], check=True, cwd=ROOT)
    reader = RunReader(directory=str(ROOT / "results"))
    tried, steps, best = (
        of_one_code(reader.records(reader.experiment(name)))
        for name in ("choose_k", "ablation", "state_of_the_art")
    )
    predictions = Predictions(reader)
    rows = ablation.rows_of(steps)
    errors = {id(row): row.errors(lambda record: predictions.of(record)["loss"]) for row in rows}
    reached = ablation.rows_of(best)
    runs = Counter(
        (r.tags["code.source"][:12], r.tags.get("code.commit", "")[:12])
        for r in [*tried, *steps, *best]
    )
    return {
        "reached": ablation.table(reached),
        "bars": {
            "u1": reached[-1].values("u1", ablation.RMSE),
            "folds": reached[-1].over_folds(ablation.RMSE),
            "ua": reached[-1].values("ua", ablation.MSE),
            "ua, ids": reached[0].values("ua", ablation.MSE),
        },
        "chosen": ablation.choice(ablation.rows_of(tried)),
        "steps": ablation.table(rows),
        "gains": ablation.gains(rows, errors),
        "runs": "; ".join(f"source {s}, commit {c} ({n} runs)" for (s, c), n in runs.items()),
    }


def of_one_code(records: Sequence[Record]) -> list[Record]:
    """Return the finished runs of the code that most of them ran; UserError if there is none."""
    done = [record for record in records if record.finished]
    if not done:
        raise UserError("no run of this experiment has finished")
    (code, _), *_ = Counter(record.tags["code.source"] for record in done).most_common(1)
    return [record for record in done if record.tags["code.source"] == code]


def runs(values: Values) -> list[Section]:
    """Return what the chosen configurations reached, and what each kind of information adds."""
    found = values["runs"]
    measured = {name: np.array(of) for name, of in found["bars"].items()}
    bars = [
        Bar(what, measured[name], high=high)
        for what, name, high in (
            ("u1 RMSE", "u1", 0.8770),
            ("u1 RMSE, the aim", "u1", 0.8750),
            ("mean RMSE of u1 to u5", "folds", 0.8730),
            ("mean RMSE of u1 to u5, the aim", "folds", 0.8700),
            ("ua MSE", "ua", 0.8030),
            ("ua MSE, the aim", "ua", 0.7950),
            ("ua MSE, ids only", "ua, ids", 0.8345),
        )
        if len(measured[name])
    ]
    chosen = (
        "k was chosen on validation rows, a tenth of the training rows of a split, held out; "
        "where the errors differ by no more than seeds make them, about 0.001, the smaller k "
        "was taken:"
    )
    reached = "Test RMSE, mean ± standard deviation over seeds."
    made = f"Runs: {found['runs']}."
    added = f"""\
Test RMSE, mean ± standard deviation over seeds; every run fitted on all training rows of its split.

{found["steps"]}

Each step in MSE, over the test rows of u1 to u5 together (every rating is a test row once),
errors averaged over seeds; a step smaller than the standard deviations over seeds beside it is
none.

{found["gains"]}"""
    parts = [reached, found["reached"], PUBLISHED, chosen, found["chosen"], READING, made]
    return [
        Section("How far does it go?", "\n\n".join(parts), bars),
        Section("What does each kind of information add?", added),
    ]


def measure_race(context: Context) -> Mapping[str, Sequence[Fit]]:
    """Fit ordered probit on u1 with k = 10, by turns; ours alone where there is no myFM."""
    rows = {
        OURS: rows_of("data=ml100k", "split=u1", f"features.names={ideas.SHARED}"),
        WITH_SESSIONS: rows_of("data=ml100k", "split=u1", "features=all"),
    }
    rows[THEIRS] = rows[OURS]
    ours = configured("fm_ordinal", n_iter=SWEEPS, k=10)
    models = {OURS: ours, WITH_SESSIONS: ours}
    with suppress(ImportError):
        models[THEIRS] = configured("peer_myfm_ordered", n_iter=SWEEPS, k=10)
    fits: dict[str, list[Fit]] = {name: [] for name in models}
    for seed in range(context.repeats):
        for name, model in models.items():
            fits[name].append(watched(model.set_params(random_state=seed), rows[name]))
    return fits


def race(values: Values) -> list[Section]:
    """Compare errors by sweeps and by seconds."""
    fits = {name: [Fit(**fit) for fit in of] for name, of in values["race"].items()}
    sweep, target = (
        {name: np.array([of(fit) for fit in seeds]) for name, seeds in fits.items()}
        for of in (lambda fit: fit.epoch, lambda fit: fit.reached(TARGET**2))
    )
    rmse = {name: np.sqrt([fit.mse for fit in of]) for name, of in fits.items()}
    rows = [
        [name, spread(1e3 * sweep[name]), spread(target[name]), spread(rmse[name][:, -1])]
        for name in fits
    ]
    bars = []
    if THEIRS in fits:
        what = "`fm_ordinal`: sweep / myFM's, all features but sessions, k = 10"
        bars.append(Bar(what, sweep[OURS] / sweep[THEIRS], high=0.6))
        what = f"`fm_ordinal`: time to RMSE {TARGET} on u1 / myFM's, sessions too"
        bars.append(Bar(what, target[WITH_SESSIONS] / target[THEIRS], high=1 / 3))
    header = ["ordered probit, k = 10, u1", "ms a sweep", f"s to RMSE {TARGET}"]
    text = f"""\
{markdown_table([*header, f"RMSE after {SWEEPS} sweeps"], rows)}

Medians (min–max) of {len(fits[OURS])} repeats, interleaved, one thread. The error is that of the
posterior mean so far, all draws but the first two; test rows are evaluated after each sweep,
outside the time, and decide nothing."""
    x = {
        "sweeps": {name: np.arange(1, SWEEPS + 1) for name in fits},
        "seconds": {name: np.median([f.seconds for f in of], axis=0) for name, of in fits.items()},
    }
    plots = [
        Plot(
            f"state_of_the_art_{by}",
            f"How good after so many {by}? (u1)",
            by,
            "test RMSE",
            {n: (at[BURN_IN:], np.median(rmse[n], axis=0)[BURN_IN:]) for n, at in of.items()},
            (f"RMSE {TARGET}", TARGET),
            "linear",
        )
        for by, of in x.items()
    ]
    return [Section("How fast, with all features?", text, bars, plots)]


def measure_coverage(context: Context) -> Mapping[str, Sequence[float]]:
    """Return, for each split and seed, the share of test ratings within the 90 % interval."""
    model = configured("fm_gibbs", n_iter=SWEEPS)
    covered: dict[str, list[float]] = {}
    for split in ("ua", "u1"):
        rows = rows_of("data=ml100k", f"split={split}", "features=all")
        for seed in range(context.repeats):
            with Measured(threads=1):
                model.set_params(random_state=seed).fit(rows.X, rows.y)
                low, high = model.predict_quantiles(rows.held_out, QUANTILES).T
            share = np.mean((low <= rows.truth) & (rows.truth <= high))
            covered.setdefault(split, []).append(float(share))
    return covered


def coverage(values: Values) -> list[Section]:
    """Write what share of the ratings intervals cover."""
    covered = {split: np.array(of) for split, of in values["coverage"].items()}
    rows = [[split, spread(of), str(len(of))] for split, of in covered.items()]
    text = f"""\
{markdown_table(["split", "covered", "n"], rows)}

Test ratings between the 5 % and 95 % quantiles of
`FMRegressor(solver="gibbs").predict_quantiles`, all features, noise included, not rounded to
whole stars."""
    bars = [Bar(f"90 % intervals cover, {s}", of, 0.88, 0.92) for s, of in covered.items()]
    return [Section("Do 90 % intervals cover 90 %?", text, bars)]


STUDY = Study(
    "state_of_the_art",
    "Past the published state of the art",
    "what each kind of information adds on MovieLens-100K (hours)",
    "MovieLens-100K. Errors are of the posterior mean, clipped to the rating scale, on all test"
    " rows, by models fitted on all training rows; what users rated, and all else that is "
    "learned, comes from training rows alone.",
    (
        Part("How far does it go?", {"runs": measure_runs}, runs),
        ideas.PART,
        Part("How fast, with all features?", {"race": measure_race}, race),
        Part("Do 90 % intervals cover 90 %?", {"coverage": measure_coverage}, coverage),
    ),
    repeats=3,
)
