"""libFM, the FM program of Steffen Rendle (https://github.com/srendle/libfm; ACM TIST 3(3), 2012).

A program that is built from source, and run here on its own text format (`fm.svmlight`). Level
columns and side columns of each block are a group with hyperparameters of its own. Predictions are
clipped to the range of the ratings.

What it can't do: keep what it learned. It predicts the rows of a test file while it learns (by MCMC
it averages over its draws), so `predict` runs it all again with the same seed and the rows that are
asked for: to its time is added that of a fit. Every feature has factors, so linear blocks are
refused.
"""

from __future__ import annotations

import shlex
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from baselines.external import Program, read_predictions, run_program
from baselines.inputs import (
    BinaryClassifier,
    check_design,
    check_factors_everywhere,
    check_target,
    group_sizes,
)
from baselines.parameters import Estimator, NonNegativeInt, PositiveInt
from fm.design import Design
from fm.svmlight import write_svmlight

OWN = ("-task", "-train", "-test", "-out", "-dim", "-iter", "-seed", "-meta")
"""Options that the adapter passes."""


@dataclass(eq=False, repr=False)
class LibFM(Program, RegressorMixin, Estimator):
    """Regression by libFM; `fit` and `predict` include writing and reading its files.

    Parameters
    ----------
    program : its path, or name as a shell finds it.
    arguments : what else stands on its command line, such as `-method als -regular 0,5,10`; by
        default MCMC, which needs no learning rate and no regularization.
    k : factors.
    n_iter : iterations.
    random_state : its -seed.

    Attributes
    ----------
    peak_memory_ : bytes resident in its process at most; None where the system has no /proc.
    n_parameters_ : of one draw.
    """

    program: str = "libFM"
    _: KW_ONLY
    arguments: str = "-method mcmc"
    k: NonNegativeInt = 10
    n_iter: PositiveInt = 100
    random_state: NonNegativeInt = 0

    title = "libFM"
    _task: ClassVar = "r"

    def programs(self) -> tuple[str]:
        return (self.program,)

    def check_params(self) -> None:
        super().check_params()
        for argument in shlex.split(self.arguments):
            if argument in OWN:
                raise ValueError(f"arguments must do without {argument}: the adapter passes it")

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """Run libFM, and keep the rows.

        ValueError for linear blocks, FileNotFoundError where there is no such program, RuntimeError
        with its output if it failed.
        """
        self.check_params()
        X = check_design(X)
        check_factors_everywhere(X, self.title)
        self.X_, self.y_ = X, self._target(X, y)
        self.n_parameters_ = 1 + (self.k + 1) * X.shape[1]
        _, self.peak_memory_ = self._run(X[:1])
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,). ValueError for another number of features; RuntimeError if libFM failed."""
        if check_design(X).shape[1] != self.X_.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} features, the model was fitted on {self.X_.shape[1]}"
            )
        return self._run(X)[0]

    def _target(self, X: Design, y: ArrayLike) -> NDArray[np.float64]:
        return check_target(X, y)

    def _run(self, X: Design) -> tuple[NDArray[np.float64], int | None]:
        """Learn from the rows of `fit`; return predictions for X and the peak memory."""
        (program,) = self.located()
        options = f"-task {self._task} -train train -test test -out predictions -meta groups"
        options += f" -dim 1,1,{self.k} -iter {self.n_iter} -seed {self.random_state}"
        command = [program, *options.split(), *shlex.split(self.arguments)]
        with TemporaryDirectory() as folder:
            write_svmlight(Path(folder, "train"), self.X_, self.y_)
            write_svmlight(Path(folder, "test"), X, np.zeros(len(X)))
            sizes = group_sizes(X)
            np.savetxt(Path(folder, "groups"), np.repeat(np.arange(len(sizes)), sizes), fmt="%d")
            _, peak = run_program(command, folder, name="libFM")
            return read_predictions(Path(folder, "predictions"), len(X), "libFM"), peak


class LibFMClassifier(BinaryClassifier, LibFM):
    """Classification of two classes by libFM; see `LibFM` for its parameters."""

    _task = "c"

    def _target(self, X: Design, y: ArrayLike) -> NDArray[np.float64]:
        return 2 * self._codes(X, y) - 1

    def _probability(self, X: Design) -> NDArray[np.float64]:
        return LibFM.predict(self, X)
