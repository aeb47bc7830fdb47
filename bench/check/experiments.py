"""What a check runs: command lines of the harness, or functions of a seed.

A file of checks maps names to experiments, each with `run` or `_target_`:

    my_model:
      run: model=my_model data=file data.path=ratings.csv split=random
    my_function:
      _target_: my_module.evaluate          # f(seed=...) -> {metric: value}
      metrics: {accuracy: higher, loss: lower}

`--config-dir FOLDER` in a command line adds configurations of your own, as it does anywhere.

Options: `metrics`, what is compared, with its better direction (of a command line by default the
headline metric of its task); `slices` of a command line, names of parts of the test rows with what
selects them (`new users: user_ratings < 5`), whose headline losses are compared too; `seeds`, of a
second look (24; twice as many are recorded).
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name

import yaml
from sklearn.base import clone

from bench.check.rule import DIRECTIONS, SEEDS
from bench.cli import split_config_dir
from bench.errors import UserError, checked, sentence
from bench.identity import ROOT, closure, digest
from bench.measure import Measured
from bench.metrics import TASKS
from bench.run import Job, Result, run
from bench.sweep import composed, composed_job
from fm.validation import check_choice, check_integer

OWN = ROOT / "conf" / "check"
"""The project's own experiments, a file each."""
KEYS = ("run", "_target_", "metrics", "slices", "seeds")
FUNCTION = "function"
"""In place of a data set's name, of an experiment that is a function."""
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Experiment:
    """Something whose results depend on a seed, and how they are compared.

    `run` is what a reference is of: a command line of the harness, or the name of the `function`
    (seed -> metrics). `given` says of metrics whether "lower" or "higher" is better; empty: the
    task's headline metric. `seeds` are those of the second look. `slices` are test rows in words of
    their columns (`device == "phone"`).
    """

    name: str
    run: str
    given: Mapping[str, str] = field(default_factory=dict)
    seeds: int = SEEDS
    function: Callable[[int], Metrics] | None = None
    slices: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with checked():
            check_integer(f"{self.name}: seeds", self.seeds, low=2)
            for metric, better in self.given.items():
                check_choice(f"{self.name}: metrics: {metric}", better, DIRECTIONS)

    @property
    def n_results(self) -> int:
        """How many results one run of it has."""
        return max(1, len(self.given)) + len(self.slices)

    @cached_property
    def metrics(self) -> Mapping[str, str]:
        """What is compared -> "lower" or "higher", slices included."""
        if self.function is not None:
            return self.given
        headline = TASKS[self._job.dataset.task].headline_metric
        sliced = {f"{headline} of {name}": "lower" for name in self.slices}
        return {**(self.given or {headline: "lower"}), **sliced}

    @cached_property
    def _job(self) -> Job:
        """What a command line runs; its folder of configuration is Hydra's search path."""
        overrides, folder = split_config_dir(shlex.split(self.run))
        if folder is not None:
            overrides.append(f"hydra.searchpath=[file://{folder.absolute()}]")
        return composed_job(composed(overrides))

    @property
    def dataset(self) -> str:
        """Name of the data set it is run on."""
        return FUNCTION if self.function else self._job.dataset.name

    @property
    def digest(self) -> str | None:
        """Of the data."""
        return None if self.function else self._job.dataset.digest

    @property
    def identity(self) -> str | None:
        """Digest of all that its results depend on; None of a function, which may read files."""
        if self.function is not None:
            return None
        code = closure((f"{__name__}.Experiment",)).digest
        compared = {"metrics": dict(self.metrics), "slices": dict(self.slices)}
        return digest({"job": self._job.digest, "check": code, **compared})

    def measure(self, seed: int, threads: int = 1) -> tuple[Metrics, float]:
        """Return the metrics of one seed, and the seconds of its fit and prediction."""
        if self.function is not None:
            with Measured(threads) as cost:
                values = self.function(seed)
            return self._chosen(values), cost.seconds
        model = clone(self._job.model)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        result = run(replace(self._job, model=model, threads=threads))
        values = result.metrics
        seconds = values["time/fit_seconds"] + values["time/predict_seconds"]
        return self._chosen(values | self._of_slices(result)), seconds

    def _of_slices(self, result: Result) -> dict[str, float]:
        dataset = self._job.dataset
        task = TASKS[dataset.task]
        rows = dataset.rows.iloc[result.rows].reset_index(drop=True)
        rows = rows.assign(**result.row_statistics)
        losses = task.row_losses(dataset.y[result.rows], result.prediction, dataset.scale)
        values = {}
        for name, condition in self.slices.items():
            try:
                inside = rows.eval(condition).to_numpy(dtype=bool)
            except Exception as error:
                columns = ", ".join(map(str, rows.columns))
                raise UserError(
                    f"{self.name}: slice {name}: {condition[:80]!r} selects no rows "
                    f"({sentence(error)[:200]}); their columns are {columns[:400]}"
                ) from error
            if not inside.any():
                raise UserError(f"{self.name}: slice {name}: no test row has {condition[:80]!r}")
            values[f"{task.headline_metric} of {name}"] = float(losses[inside].mean())
        return values

    def _chosen(self, values: Metrics) -> Metrics:
        if not isinstance(values, Mapping):
            raise TypeError(f"{self.run} must return {{metric: value}}, got {str(values)[:80]!r}")
        missing = [metric for metric in self.metrics if metric not in values]
        if missing:
            raise KeyError(f"{self.run} has no metric {missing[0]}; it has {', '.join(values)}")
        return {metric: float(values[metric]) for metric in self.metrics}


def own_experiments() -> list[Experiment]:
    """Return the project's own, in the order of the reference."""
    return [
        _experiment(path.stem, read_yaml(path), str(path)) for path in sorted(OWN.glob("*.yaml"))
    ]


def read_yaml(path: Path) -> object:
    """Return what a file of YAML holds; raise UserError where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {sentence(error)[:200]}") from error


def read_experiments(path: Path) -> list[Experiment]:
    """Return those of a file of checks; raise UserError where it makes no sense."""
    checks = read_yaml(path)
    if not isinstance(checks, Mapping) or not checks:
        raise UserError(f"{path} must map names of experiments to what they run")
    return [_experiment(str(name), of, str(path)) for name, of in checks.items()]


def _experiment(name: str, of: object, where: str) -> Experiment:
    if not isinstance(of, Mapping) or ("run" in of) == ("_target_" in of):
        raise UserError(f"{where}: {name} must have either run or _target_")
    with checked():
        for key in of:
            check_choice(f"{where}: key of {name}", key, KEYS)
    seeds = of.get("seeds", SEEDS)
    metrics, slices = of.get("metrics", {}), of.get("slices", {})
    if isinstance(metrics, list):
        metrics = dict.fromkeys(metrics, "lower")
    for key, value in (("metrics", metrics), ("slices", slices)):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {key} of {name} must map names to what they are")
    if "run" in of:
        return Experiment(name, str(of["run"]), metrics, seeds, slices=slices)
    target = str(of["_target_"])
    if not metrics or slices:
        raise UserError(
            f"{where}: {name} is a function: say its metrics, each lower or higher, and no slices"
        )
    try:
        function = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name}: cannot import {target}: {sentence(error)}") from error
    if not callable(function):
        raise UserError(f"{name}: {target} is not a function of a seed")
    return Experiment(name, target, metrics, seeds, function)
