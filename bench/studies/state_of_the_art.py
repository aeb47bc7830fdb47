"""How far an FM goes on MovieLens-100K: what each kind of information adds.

The runs are sweeps of the harness: those that are finished are not made again.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.identity import ROOT
from bench.report.paired_gaps import Predictions
from bench.studies import ablation
from bench.studies.study import Bar, Context, Part, Section, Study, Values
from bench.tracking import Record, RunReader

SHARED = "[ids,day,side,implicit,implicit_items]"
"""What myFM can be given too: sessions have no factors, of which it has no counterpart."""
RUNS = (
    "experiment=choose_k",
    "experiment=choose_k features.names=[ids] split=ua seed=0,1",
    "experiment=ablation",
    f"experiment=ablation model=fm_ordinal features.names={SHARED},{SHARED[:-1]},sessions]",
    "experiment=ablation model=peer_myfm seed=0 features.names=[ids],[ids,day],[ids,day,side],"
    f"[ids,day,side,implicit],{SHARED}",
    f"experiment=ablation model=peer_myfm_ordered seed=0 features.names={SHARED}",
    "experiment=state_of_the_art",
    "experiment=state_of_the_art model.k=16 features.names=[ids] split=ua",
)
"""What `python -m bench` is given (hours)."""
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
    added, reached = ablation.runs_of(steps), ablation.runs_of(best)
    by_ids = reached["features"] == "ids"
    ua, u1 = (reached["split"] == split for split in ("ua", "u1"))
    codes = Counter(
        (r.tags["code.source"][:12], r.tags.get("code.commit", "")[:12])
        for r in [*tried, *steps, *best]
    )
    return {
        "reached": ablation.table(reached),
        "bars": {
            "u1": reached.loc[u1 & ~by_ids, ablation.RMSE].to_numpy(),
            "folds": ablation.over_folds(reached[~by_ids], ablation.RMSE),
            "ua": reached.loc[ua & ~by_ids, ablation.MSE].to_numpy(),
            "ua, ids": reached.loc[ua & by_ids, ablation.MSE].to_numpy(),
        },
        "chosen": ablation.validation_table(ablation.runs_of(tried)),
        "steps": ablation.table(added),
        "gains": ablation.gains(added, lambda record: predictions.of(record)["loss"]),
        "runs": "; ".join(f"source {s}, commit {c} ({n} runs)" for (s, c), n in codes.items()),
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
    tables = values["runs"]
    measured = {name: np.array(of) for name, of in tables["bars"].items()}
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
    made = f"Runs: {tables['runs']}."
    added = f"""\
Test RMSE, mean ± standard deviation over seeds; every run fitted on all training rows of its split.

{tables["steps"]}

Each step in MSE, over the test rows of u1 to u5 together (every rating is a test row once),
errors averaged over seeds; a step smaller than the standard deviations over seeds beside it is
none.

{tables["gains"]}"""
    parts = [reached, tables["reached"], PUBLISHED, chosen, tables["chosen"], READING, made]
    return [
        Section("How far does it go?", "\n\n".join(parts), bars),
        Section("What does each kind of information add?", added),
    ]


STUDY = Study(
    "state_of_the_art",
    "Past the published state of the art",
    "what each kind of information adds on MovieLens-100K (hours)",
    "MovieLens-100K. Errors are of the posterior mean, clipped to the rating scale, on all test"
    " rows, by models fitted on all training rows; what users rated, and all else that is "
    "learned, comes from training rows alone.",
    (Part("How far does it go?", {"runs": measure_runs}, runs),),
)
