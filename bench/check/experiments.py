"""What a check runs: command lines of the harness, or functions of a seed.

A file of checks maps names to experiments, each with `run` or `_target_`:

    my_model:
      run: model=my_model data=file data.path=ratings.csv split=random
    my_function:
      _target_: my_module.evaluate          # f(seed=...) -> {metric: value}
      metrics: {accuracy: higher, loss: lower}

`--config-dir FOLDER` in a command line adds configurations of your own, as it does anywhere.

Options: `metrics`, what is compared, with its better direction (of a command line by default the
headline metric of the task); `seeds`, of a second look (24; twice as many are recorded);
`negligible`, a loss that does not matter (1e-4 of values up to 1, in proportion beyond).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path

import yaml
from sklearn.base import clone

from bench.check.rule import SEEDS
from bench.errors import UserError, checked, sentence
from bench.identity import ROOT
from bench.measure import Measured
from bench.metrics import HEADLINE_METRIC
from bench.run import Job, run
from bench.sweep import composed, job_of, load_data
from fm.validation import check_choice, check_integer, check_number

OWN = ROOT / "conf" / "check"
"""The project's own experiments, a file each."""
KEYS = ("run", "_target_", "metrics", "seeds", "negligible")
DIRECTIONS = {"lower": 1.0, "higher": -1.0}
FUNCTION = "function"
"""In place of a data set's name, of an experiment that is a function."""
Metrics = Mapping[str, float]
Evaluate = Callable[[int], Metrics]


@dataclass(frozen=True)
class Experiment:
    """Something whose results depend on a seed, and how they are compared.

    Attributes
    ----------
    name : in tables and in the reference.
    run : a command line of the harness, or the function's name: what a reference is of.
    metrics : name -> "lower" or "higher", whichever is better.
    seeds : of the second look.
    negligible : a loss that does not matter; None: 1e-4 of values up to 1, in proportion beyond.
    function : seed -> metrics; None of a command line.
    data : the choice of `data=` that a command line is run on, in place of its own.
    """

    name: str
    run: str
    metrics: Mapping[str, str] = field(default_factory=lambda: {HEADLINE_METRIC: "lower"})
    seeds: int = SEEDS
    negligible: float | None = None
    function: Evaluate | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        with checked():
            check_integer(f"{self.name}: seeds", self.seeds, low=2)
            if self.negligible is not None:
                check_number(f"{self.name}: negligible", self.negligible, low=0)
            for metric, better in self.metrics.items():
                check_choice(f"{self.name}: metrics: {metric}", better, DIRECTIONS)

    @cached_property
    def _job(self) -> Job:
        overrides = _overrides(self.run)
        if self.data is not None:
            overrides = [o for o in overrides if not o.startswith("data=")] + [f"data={self.data}"]
        cfg = composed(overrides)
        return job_of(cfg, cfg.hydra.runtime.choices, load_data(cfg))

    @property
    def dataset(self) -> str:
        """Name of the data set it is run on."""
        return FUNCTION if self.function else self._job.dataset.name

    @property
    def digest(self) -> str | None:
        """Of the data."""
        return None if self.function else self._job.dataset.digest

    def measure(self, seed: int, threads: int = 1) -> tuple[Metrics, float]:
        """Return the metrics of one seed, and the seconds of its fit and prediction."""
        if self.function is not None:
            with Measured(threads) as cost:
                found = self.function(seed)
            return self._chosen(found), cost.seconds
        model = clone(self._job.model)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        found = run(replace(self._job, model=model, threads=threads)).metrics
        return self._chosen(found), found["time/fit_seconds"] + found["time/predict_seconds"]

    def _chosen(self, found: Metrics) -> Metrics:
        if not isinstance(found, Mapping):
            raise TypeError(f"{self.run} must return {{metric: value}}, got {str(found)[:80]!r}")
        missing = [metric for metric in self.metrics if metric not in found]
        if missing:
            raise KeyError(f"{self.run} has no metric {missing[0]}; it has {', '.join(found)}")
        return {metric: float(found[metric]) for metric in self.metrics}


def _overrides(run: str) -> list[str]:
    """Return a command line with its folder of configuration as Hydra's search path."""
    words = shlex.split(run)
    if "--config-dir" not in words[:-1]:
        return words
    at = words.index("--config-dir")
    folder = Path(words[at + 1]).absolute()
    if not folder.is_dir():
        raise UserError(f"--config-dir: there is no folder {folder}")
    return [*words[:at], *words[at + 2 :], f"hydra.searchpath=[file://{folder}]"]


def own_experiments(data: str | None = None) -> list[Experiment]:
    """Return the project's own, in the order of the reference."""
    return [
        _experiment(path.stem, yaml.safe_load(path.read_text("utf-8")), str(path), data)
        for path in sorted(OWN.glob("*.yaml"))
    ]


def read_experiments(path: Path, data: str | None = None) -> list[Experiment]:
    """Return those of a file of checks; raise UserError where it makes no sense."""
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {sentence(error)[:200]}") from error
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"{path} must map names of experiments to what they run")
    return [_experiment(str(name), of, str(path), data) for name, of in found.items()]


def _experiment(name: str, of: object, where: str, data: str | None) -> Experiment:
    if not isinstance(of, Mapping) or ("run" in of) == ("_target_" in of):
        raise UserError(f"{where}: {name} must have either run or _target_")
    with checked():
        for key in of:
            check_choice(f"{where}: key of {name}", key, KEYS)
    options = {key: of[key] for key in ("metrics", "seeds", "negligible") if key in of}
    if isinstance(options.get("metrics"), Sequence) and not isinstance(options["metrics"], str):
        options["metrics"] = dict.fromkeys(options["metrics"], "lower")
    if not isinstance(options.get("metrics", {}), Mapping):
        raise UserError(f"{where}: metrics of {name} must map each to lower or higher")
    if "run" in of:
        return Experiment(name, str(of["run"]), data=data, **options)
    if not options.get("metrics"):
        raise UserError(f"{where}: {name} is a function: say its metrics, each lower or higher")
    return Experiment(name, of["_target_"], function=_imported(of["_target_"], name), **options)


def _imported(target: str, name: str) -> Evaluate:
    module, _, attribute = str(target).rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name}: cannot import {target}: {sentence(error)}") from error
    if not callable(found):
        raise UserError(f"{name}: {target} is not a function of a seed")
    return found
