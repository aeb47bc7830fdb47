"""How far an FM goes on MovieLens-100K: what each kind of information adds.

The runs are sweeps of the harness: those that are finished are not made again.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bench.errors import UserError
from bench.identity import ROOT
from bench.intervals import paired_gap
from bench.report.paired_gaps import Predictions
from bench.studies.study import Bar, Context, Part, Section, Study, Values, mean_std
from bench.tables import MISSING, markdown_table, signed
from bench.tracking import Record, RunReader

SHARED = "[ids,day,side,implicit,implicit_items]"
"""What myFM can be given too: sessions have no factors, of which it has no counterpart."""
RUNS = (
    "experiment=ablation",
    f"experiment=ablation model=fm_ordinal features.names={SHARED},{SHARED[:-1]},sessions]",
    "experiment=ablation model=peer_myfm seed=0 features.names=[ids],[ids,day],[ids,day,side],"
    f"[ids,day,side,implicit],{SHARED}",
    f"experiment=ablation model=peer_myfm_ordered seed=0 features.names={SHARED}",
    "experiment=state_of_the_art",
    "experiment=state_of_the_art model.k=16 features.names=[ids] split=ua",
)
"""What `python -m bench` is given (hours)."""
FOLDS = ("u1", "u2", "u3", "u4", "u5")
MODELS = ("fm_gibbs", "fm_ordinal", "peer_myfm", "peer_myfm_ordered")
"""In the order of the table."""
KEY = ["model", "n_features", "k", "n_iter", "features"]
"""What runs of one row of a table share."""
MSE, RMSE = "test/mse_clipped", "test/rmse_clipped"
BARS = (
    ("u1 RMSE", "u1", 0.8690),
    ("mean RMSE of u1 to u5", "folds", 0.8610),
    ("ua MSE", "ua", 0.7780),
    ("ua MSE, ids only", "ua, ids", 0.8345),
)


def measure_runs(_: Context) -> Mapping[str, Any]:
    """Make the runs of both experiments, and read them."""
    for run in RUNS:
        subprocess.run([sys.executable, "-m", "bench", *run.split()], check=True, cwd=ROOT)
    reader = RunReader(directory=str(ROOT / "results"))
    steps, best = (
        of_one_code(reader.records(reader.experiment(name)))
        for name in ("ablation", "state_of_the_art")
    )
    predictions = Predictions(reader)
    added, reached = runs_of(steps), runs_of(best)
    ids, ua, u1 = reached["features"] == "ids", reached["split"] == "ua", reached["split"] == "u1"
    codes = Counter(
        (r.tags["code.source"][:12], r.tags.get("code.commit", "")[:12]) for r in [*steps, *best]
    )
    return {
        "reached": table(reached),
        "bars": {
            "u1": reached.loc[u1 & ~ids, RMSE].to_numpy(),
            "folds": over_folds(reached[~ids], RMSE),
            "ua": reached.loc[ua & ~ids, MSE].to_numpy(),
            "ua, ids": reached.loc[ua & ids, MSE].to_numpy(),
        },
        "steps": table(added),
        "gains": gains(added, lambda record: predictions.of(record)["loss"]),
        "runs": "; ".join(f"source {s}, commit {c} ({n} runs)" for (s, c), n in codes.items()),
    }


def of_one_code(records: Sequence[Record]) -> list[Record]:
    """Return the finished runs of the code that most of them ran; UserError if there is none."""
    done = [record for record in records if record.finished]
    if not done:
        raise UserError("no run of this experiment has finished")
    (code, _), *_ = Counter(record.tags["code.source"] for record in done).most_common(1)
    return [record for record in done if record.tags["code.source"] == code]


def runs_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return finished runs in the order of the tables: `KEY`, split, seed, metrics, record."""
    rows = []
    for record in records:
        if record.finished:
            features = yaml.safe_load(record.params["features.names"])
            rows.append(
                {
                    "model": MODELS.index(record.model),
                    "n_features": len(features),
                    "k": int(record.params["model.k"]),
                    "n_iter": int(record.params["model.n_iter"]),
                    "features": ", ".join(features),
                    "split": record.tags["split"],
                    "seed": record.tags["seed"],
                    "record": record,
                }
                | {metric: record.metrics.get(metric, np.nan) for metric in (MSE, RMSE)}
            )
    return pd.DataFrame(rows).sort_values([*KEY, "split", "seed"], ignore_index=True)


def over_folds(runs: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Return the mean over u1 to u5, of each seed that has all of them."""
    by_seed = runs.pivot(index="seed", columns="split", values=metric).reindex(columns=FOLDS)
    return by_seed.dropna().mean(axis=1).to_numpy()


def table(runs: pd.DataFrame) -> str:
    """Return RMSE by split, mean ± standard deviation over seeds, a row a model and features."""
    lines, before = [], None
    for key, of in runs.groupby(KEY):
        model, _, k, n_iter, features = key
        by_split = {s: of.loc[of["split"] == s, RMSE].to_numpy() for s in (*FOLDS, "ua", "ub")}
        values = [*(by_split[s] for s in FOLDS), over_folds(of, RMSE), by_split["ua"]]
        cells = [mean_std(v) if len(v) else MISSING for v in (*values, by_split["ub"])]
        shown = _added(key, before) or features
        n = str(max(map(len, by_split.values())))
        lines.append([f"`{MODELS[model]}`", shown, str(k), str(n_iter), *cells, n])
        before = key
    header = ["model", "features", "k", "sweeps", *FOLDS, "mean of u1 to u5", "ua", "ub", "n"]
    return markdown_table(header, lines, left=2)


def gains(runs: pd.DataFrame, losses: Callable[[Record], pd.Series]) -> str:
    """Return the change in MSE of each step with its interval, over all test rows of u1 to u5.

    `losses` returns the squared errors of a run's test rows; they are averaged over seeds.
    """
    whole: dict[tuple, pd.DataFrame] = {
        key: of for key, of in runs.groupby(KEY) if set(FOLDS) <= set(of["split"])
    }
    errors = {
        key: np.concatenate(
            [
                np.mean([losses(r).to_numpy() for r in of.loc[of["split"] == fold, "record"]], 0)
                for fold in FOLDS
            ]
        )
        for key, of in whole.items()
    }
    lines = []
    for what, before, after in steps(whole):
        by_seed = [over_folds(whole[key], MSE) for key in (before, after)]
        spreads = [f"{v.std(ddof=1):.4f}" if len(v) > 1 else MISSING for v in by_seed]
        lines.append([what, signed(*paired_gap(errors[after], errors[before])), *spreads])
    header = ["added", "change in MSE [95 %]", "std over seeds, before", "after"]
    return markdown_table(header, lines)


def steps(rows: Iterable[tuple]) -> Iterator[tuple[str, tuple, tuple]]:
    """Yield (what was added, key without it, key with it): a feature, or ordered probit."""
    for before, after in itertools.permutations(rows, 2):
        if added := _added(after, before):
            yield f"{added}, `{MODELS[after[0]]}`", before, after
        if (before[0], after[0]) == (0, 1) and before[1:] == after[1:]:
            yield f"ordered probit, {after[-1]}", before, after


def _added(row: tuple, before: tuple | None) -> str | None:
    """Return `+ day` where that is all that a row has beyond the one before."""
    if before is None or (row[0], row[2], row[3]) != (before[0], before[2], before[3]):
        return None
    rest = row[-1].removeprefix(f"{before[-1]}, ")
    return f"+ {rest}" if rest != row[-1] and row[1] == before[1] + 1 else None


def sections(values: Values) -> list[Section]:
    """Return what the chosen configurations reached, and what each kind of information adds."""
    tables = values["runs"]
    measured = {name: np.array(of) for name, of in tables["bars"].items()}
    bars = [Bar(what, measured[n], high=high) for what, n, high in BARS if len(measured[n])]
    reached = f"""\
Test RMSE, mean ± standard deviation over seeds; k is what `experiment=choose_k` chose on validation
rows. What was published, by what information it uses: [published_results](published_results.md).

{tables["reached"]}

*Sessions* are each user's seconds, minutes and half hours, a weight each. In random splits test
ratings are from the same times as training ratings, so that sessions fill gaps between known
ratings. They say nothing of the future.

Runs: {tables["runs"]}."""
    added = f"""\
Test RMSE, mean ± standard deviation over seeds; every run fitted on all training rows of its split.

{tables["steps"]}

Each step in MSE, over the test rows of u1 to u5 together (every rating is a test row once),
errors averaged over seeds; a step smaller than the standard deviations over seeds beside it is
none.

{tables["gains"]}"""
    return [
        Section("How far does it go?", reached, bars),
        Section("What does each kind of information add?", added),
    ]


STUDY = Study(
    "state_of_the_art",
    "Past the published state of the art",
    "what each kind of information adds on MovieLens-100K (hours)",
    "MovieLens-100K. Errors are of the posterior mean, clipped to the rating scale, on all test"
    " rows, by models fitted on all training rows; what users rated, and all else that is "
    "learned, comes from training rows alone.",
    (Part("How far does it go?", {"runs": measure_runs}, sections),),
)
