"""Vowpal Wabbit (VW), run as a program of its own on files of its own format.

Three of VW's defaults decide what is compared, so that this adapter always passes them:

- with more than one pass VW withholds every tenth row and stops early on them: `holdout`;
- features are hashed into 2^bits weights, and `-q ui` soon fills the default 2^18: `bits`;
- dropout and random weights depend on a seed: `random_state`.

And `--lrq` puts a feature's n-th factor at the weight n after the feature's own, which with whole
numbers for labels is another feature's bias: it needs `--hash all`, and bits enough. VW does not
know `--lrq ::6`: the adapter makes of it a `--lrq` for each pair of namespaces.

Source: https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Command-line-arguments.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import combinations
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from baselines.estimator import BinaryClassifier, RandomState, Regressor, n_seen_features
from baselines.external import (
    LOG_SHOWN,
    namespaces,
    read_predictions,
    run_program,
    vw_lines,
    write_rows,
)
from fm.design import Design
from fm.validation import PositiveInt, check_integer

FILES = (
    "d data f final_regressor i initial_regressor p predictions r raw_predictions c cache "
    "cache_file k kill_cache t testonly readable_model invert_hash P progress quiet"
)
RESERVED = dict.fromkeys(FILES.split(), "the adapter passes it") | {
    "bit_precision": "set bits",
    "b": "set bits",
    "passes": "set passes",
    "holdout_off": "set holdout",
    "random_seed": "set random_state",
}
"""Options that arguments must do without -> what to do instead."""
CROSSING = ("q", "quadratic", "cubic", "interactions", "lrq")
"""Options that name namespaces to be crossed."""
MODEL_HEADER = 4000
"""Bytes of a model file among which VW keeps the options that it needs to predict, as text."""


@dataclass(eq=False, repr=False)
class VowpalWabbit(Regressor):
    """A regression by Vowpal Wabbit; `fit` and `predict` include writing and reading its files.

    VW learns from the rows in their order, and clips predictions to the range of ratings it has
    seen and 0. `fit` raises ValueError if the arguments ask for other than a regression;
    RuntimeError, with VW's output, if it failed, diverged, or did not see every row.

    Parameters
    ----------
    arguments : the rest of VW's command line by name, `{"q": "ui", "rank": 10}`; True is an option
        without a value, None or False one that is left out, a list one that is given several
        times. They have VW's own meaning: its --l2 is a penalty per row, for instance.
    passes : times VW goes over the rows; it may stop earlier if `holdout`.
    holdout : withhold every tenth row and keep the best pass on them (VW's default), or learn from
        all.
    bits : log2 of the number of weights.
    random_state : int, Generator or None; VW's --random_seed is drawn from it.

    Attributes
    ----------
    history_ : the loss of each pass, to the 6 digits that VW prints: `train_mse`, on each row
        before learning from it, or `withheld_mse` where rows are withheld (from the second pass
        on); where the arguments choose another loss than the squared, it is that.
    peak_memory_ : bytes resident in the VW process at most; None without /proc.
    """

    arguments: Mapping[str, object] = field(default_factory=dict)
    _: KW_ONLY
    passes: PositiveInt = 1
    holdout: bool = False
    bits: PositiveInt = 18
    random_state: RandomState = None

    package = "vowpalwabbit"
    _loss: ClassVar = "mse"
    _options: ClassVar[Sequence[str]] = ()

    def check_params(self) -> None:
        super().check_params()
        if not isinstance(self.holdout, bool):
            raise TypeError(f"holdout must be True or False, got {self.holdout!r}")
        if isinstance(self.random_state, Integral):
            check_integer("random_state", self.random_state, low=0)
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"arguments must be names and values, got {self.arguments!r}")
        for name in RESERVED.keys() & self.arguments.keys():
            raise ValueError(f"arguments must do without {name}: {RESERVED[name]}")

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        # Drawn, since VW's dropout takes seeds 0, 1 and 4 for the same one: it sets bits in what it
        # is given.
        seed = np.random.default_rng(self.random_state).integers(2**31)
        # VW prints a line each time it has learned from this many rows: once a pass.
        n_rows = len(y)
        rows_per_pass = n_rows - (n_rows // 10 if self.holdout and self.passes > 1 else 0)
        command = [*command_line(self.arguments, namespaces(X)), *self._options]
        command += [f"--bit_precision={self.bits}", f"--passes={self.passes}"]
        command += [f"--random_seed={seed}", f"--progress={rows_per_pass}"]
        command += ["--data=rows.vw", "--final_regressor=model"]
        command += [] if self.holdout else ["--holdout_off"]
        command += ["--cache_file=cache"] if self.passes > 1 else []
        with TemporaryDirectory() as folder:
            write_rows(Path(folder, "rows.vw"), vw_lines(X, y))
            log, self.peak_memory_ = _run(command, folder)
            _check_log(log, rows_per_pass)
            if "\nOutput pred = SCALAR\n" not in log:
                raise ValueError(
                    f"arguments {self.arguments!r} make Vowpal Wabbit predict something other than "
                    f"a number:\n{log}"
                )
            self.model_ = Path(folder, "model").read_bytes()
        self.history_ = _history(log, self._loss)
        self._n_seen_features = dict(zip(namespaces(X), map(n_seen_features, X), strict=True))

    def _predict(self, X: Design) -> NDArray[np.float64]:
        with TemporaryDirectory() as folder:
            log = self._test(vw_lines(X), ["--predictions=predictions"], folder)
            _check_log(log, len(X))
            return read_predictions(Path(folder, "predictions"), len(X), "Vowpal Wabbit")

    @property
    def n_parameters_(self) -> int:
        """Weights that are not zero in VW's model.

        Under --rank VW stores factors for every hash, used or not; there it is the constant, and of
        each feature seen the weight and, where its namespace stands on one side of -q, the factors.
        """
        options = self.model_[:MODEL_HEADER]
        rank = re.search(rb"--rank (\d+)", options)
        if rank:
            crossed = b"".join(re.findall(rb"--quadratic (\S+)", options))
            return 1 + sum(
                n * (1 + int(rank[1]) * (letter.encode() in crossed))
                for letter, n in self._n_seen_features.items()
            )
        with TemporaryDirectory() as folder:
            self._test([], ["--predict_only_model", "--readable_model=weights"], folder)
            return len(re.findall(r"^\d+:", Path(folder, "weights").read_text(), re.MULTILINE))

    def _test(self, lines: Iterable[str], arguments: list[str], folder: str) -> str:
        """Predict `lines` without learning; return what VW printed."""
        Path(folder, "model").write_bytes(self.model_)
        write_rows(Path(folder, "rows.vw"), lines)
        command = ["--testonly", "--initial_regressor=model", "--data=rows.vw", *arguments]
        return _run(command, folder)[0]


class VowpalWabbitClassifier(BinaryClassifier, VowpalWabbit):
    """Logistic regression of two classes, `classes_`; see `VowpalWabbit` for its parameters.

    The losses in `history_` are logistic: `train_log_loss` or `withheld_log_loss`.
    """

    _loss = "log_loss"
    _options = ("--loss_function=logistic",)
    _labels = -1.0, 1.0

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return expit(super()._predict(X))


def command_line(arguments: Mapping[str, object], letters: Sequence[str]) -> list[str]:
    """Return the words of VW's command line that a model's `arguments` stand for.

    `--lrq ::K` is said for each pair of namespaces; ValueError for a namespace that is not there.
    """
    words = []
    for name, given in arguments.items():
        for value in given if isinstance(given, list) else [given]:
            crossed = set(re.sub(r"\d", "", str(value))) if name in CROSSING else set()
            if missing := crossed - {":", *letters}:
                raise ValueError(
                    f"arguments cross the namespace {min(missing)}, but the rows have "
                    f"{', '.join(letters)}; all are crossed by -q :: or --lrq ::K"
                )
            option = f"-{name}" if len(name) == 1 else f"--{name}"
            if name == "lrq" and ":" in crossed:
                rank = str(value).lstrip(":")
                words += [f"--lrq={a}{b}{rank}" for a, b in combinations(letters, 2)]
            elif value is not None and value is not False:
                words += [option] if value is True else [option, str(value)]
    return words


def _run(arguments: list[str], folder: str) -> tuple[str, int | None]:
    """Run VW; return what it printed and its peak memory in bytes; RuntimeError if it failed."""
    command = [sys.executable, "-m", "vowpalwabbit", *arguments]
    return run_program(command, folder, name="Vowpal Wabbit", shown=f"vw {shlex.join(arguments)}")


def _check_log(log: str, n_rows: int) -> None:
    """RuntimeError unless VW reports n_rows examples (a pass), all with a prediction."""
    seen = re.search(r"^number of examples(?: per pass)? = (\d+)$", log, re.MULTILINE)
    if seen is None or int(seen[1]) != n_rows:
        raise RuntimeError(
            f"Vowpal Wabbit did not see the {n_rows} rows it was given:\n{log[-LOG_SHOWN:]}"
        )
    if diverged := re.search(r"NAN prediction in example \d+", log):
        raise RuntimeError(
            f"Vowpal Wabbit diverged ({diverged[0]!r}): lower its learning rate or --l2"
        )


def _history(log: str, loss: str) -> dict[str, NDArray[np.float64]]:
    """Read the loss of each pass from VW's progress lines; those with `h` are of withheld rows."""
    lines = re.findall(r"^[\d.]+ +([\d.]+) +\d+ .*?( h)?$", log, re.MULTILINE)
    withheld = [value for value, mark in lines if mark]
    values = withheld or [value for value, _ in lines]
    return {f"{'withheld' if withheld else 'train'}_{loss}": np.array(values, dtype=np.float64)}
