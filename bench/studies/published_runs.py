"""The runs that are held against published values: what is asked for, and how it is measured.

What is asked for stands in `published/*.yaml`: a file a data set, with the published values and
their sources.
"""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import DictConfig
from sklearn.base import clone

from bench.features import build_design
from bench.identity import ROOT
from bench.measure import Measured
from bench.metrics import TASKS
from bench.studies.study import Context
from bench.sweep.compose import plan
from bench.sweep.protocol import protocol
from bench.sweep.trials import Trial, experiment_of, job_of, load_data
from bench.tracking import Record, RunReader

FILES = Path(__file__).parent / "published"
REDRAW = "data.redraw"
WORDS = {"seed": "seeds", "split": "splits", "split.fold": "folds", REDRAW: "redrawn negatives"}
"""What varies between repeats -> what several of them are called."""


@dataclass(frozen=True)
class Published:
    """A published system: its values by metric, what it learns from, and how it was judged."""

    name: str
    link: str
    values: Mapping[str, float]
    information: str
    protocol: str


@dataclass(frozen=True)
class Row:
    """A configuration that is held against published values.

    Attributes
    ----------
    model, features, settings : words of the command, beside those of the data set.
    information : what it learns from; only values of the same are compared.
    repeats : key -> its values, a run for each combination.
    bars : metric -> the value to be reached.
    curve : whether its error is followed over the seconds of a fit.
    note : what distinguishes it from another row of the same model and features.
    """

    model: str
    features: Sequence[str]
    information: str
    settings: str = ""
    repeats: Mapping[str, Sequence[int]] = field(default_factory=lambda: {"seed": (0, 1, 2)})
    bars: Mapping[str, float] = field(default_factory=dict)
    curve: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        redrawn = WORDS[REDRAW] if REDRAW in self.repeats else ""
        return ", ".join(filter(None, [self.model, *self.features, redrawn, self.note]))

    @property
    def runs(self) -> list[str]:
        """The words by which runs differ."""
        each = ([f"{key}={value}" for value in of] for key, of in self.repeats.items())
        return [*map(" ".join, itertools.product(*each))]

    @property
    def every_run(self) -> str:
        """The words of all runs, as of one command."""
        repeats = (f"{key}={','.join(map(str, of))}" for key, of in self.repeats.items())
        return self.words(" ".join(repeats))

    def words(self, repeats: str) -> str:
        """Return all words of one run or of several."""
        features = f"features.names=[{','.join(self.features)}]"
        return " ".join(filter(None, [f"model={self.model}", features, self.settings, repeats]))

    def over(self, n: int) -> str:
        """Return what the mean over n measured runs is over: `4 of 10 folds`, `3 seeds`."""
        asked = len(self.runs)
        if asked == 1:
            return "1 run"
        names = " × ".join(WORDS[key] for key in self.repeats)
        return f"{n} {names}" if n == asked else f"{n} of {asked} {names}"


@dataclass(frozen=True)
class Benchmark:
    """A data set with its published values, and the runs that are held against them.

    Attributes
    ----------
    about : protocol, and what is weak about it.
    metrics : name in tracked runs -> heading; the first is what is compared.
    higher : metrics of which higher is better.
    command : words of `python -m bench` that all its runs have.
    """

    name: str
    title: str
    about: str
    metrics: Mapping[str, str]
    command: str
    rows: Sequence[Row]
    published: Sequence[Published] = ()
    higher: Sequence[str] = ()

    @classmethod
    def read(cls, name: str) -> Benchmark:
        content = yaml.safe_load((FILES / f"{name}.yaml").read_text("utf-8"))
        rows = [Row(**row) for row in content.pop("rows")]
        published = [Published(**value) for value in content.pop("published", ())]
        return cls(name=name, rows=rows, published=published, **content)

    def measures(self) -> dict[str, partial]:
        """Return a measurement for each run and each learning curve."""
        of: dict[str, partial] = {}
        shared = self.command.split()
        for row in self.rows:
            head = f"{self.name}: {row.name}"
            kinds = [("", measure_run), *[("curve ", measure_curve)] * row.curve]
            of |= {
                f"{head}, {kind}{run}": partial(measure, [*shared, *row.words(run).split()])
                for kind, measure in kinds
                for run in row.runs
            }
        return of


def measure_run(words: Sequence[str], _: Context) -> dict[str, Any] | str:
    """Make a run, and return what was tracked of it; why, where it failed."""
    trial, cfg = _trial(words)
    experiment = experiment_of(cfg, load_data(cfg))
    _make(words)
    reader = RunReader(directory=str(ROOT / "results"))
    records = {r.digest: r for r in reader.records(reader.experiment(experiment.name))}
    if trial.digest not in records:
        raise FileNotFoundError(f"`python -m bench {shlex.join(words)}` gave no result")
    record = records[trial.digest]
    return tracked(record) if record.finished else f"the run failed: {record.reason}"


def tracked(record: Record) -> dict[str, Any]:
    """Return what the page needs of a run."""
    params, metrics = record.params, record.metrics
    burn_in = params.get("model.burn_in", "None")
    return {
        "values": {name: of for name, of in metrics.items() if name.startswith("test/")},
        "seconds": metrics["time/fit_seconds"],
        "cpu": metrics["time/fit_cpu_seconds"],
        "k": params.get("model.k"),
        "sweeps": params.get("model.n_iter"),
        "burn_in": None if burn_in == "None" else burn_in,
        "run": record.run_id,
        "code": record.tags["code.source"][:12],
    }


def measure_curve(words: Sequence[str], _: Context) -> dict[str, Any]:
    """Return RMSE on the test rows after each sweep, and the CPU seconds of the fit until then.

    A model that shows no sweeps is fitted anew with an eighth, a quarter, half and all of them.
    """
    trial, cfg = _trial(words)
    dataset = load_data(cfg)
    job = job_of(trial.config, trial.names, dataset)
    split = job.split(dataset)
    X = build_design(dataset, job.features, split.development, min_count=job.min_count)
    model = clone(job.model)
    train, test = split.development, split.test
    if "callback" in model.get_params():
        with Measured(job.threads) as cost:
            model.fit(X[train], dataset.y[train], validation=(X[test], dataset.y[test]))
        seconds = model.history_["seconds"] * (cost.cpu_seconds / cost.seconds)
        rmse = np.sqrt(model.history_["validation_mse"])
    else:
        seconds, rmse = [], []
        for part in (8, 4, 2, 1):
            fitted = clone(model).set_params(n_iter=model.n_iter // part)
            with Measured(job.threads) as cost:
                fitted.fit(X[train], dataset.y[train])
            error = TASKS["rating"].evaluate(
                dataset.y[test], fitted.predict(X[test]), dataset.scale
            )
            seconds.append(cost.cpu_seconds)
            rmse.append(error["rmse_clipped"])
    return {
        "seconds": np.round(seconds, 3),
        "rmse": np.round(rmse, 5),
        "code": job.code["source"][:12],
    }


def _make(words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "bench", *words, "keep_model=false"]
    subprocess.run(command, check=False, cwd=ROOT)


def _trial(words: Sequence[str]) -> tuple[Trial, DictConfig]:
    """Return the one run that a command line asks for, and its configuration."""
    planned = plan(list(words), multirun=False)
    (trial,) = next(protocol(planned))
    return trial, planned.jobs[0]
