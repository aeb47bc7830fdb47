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
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.estimator import BinaryClassifier, Regressor, group_sizes
from baselines.external import Program, read_predictions, run_program
from fm.design import Design
from fm.svmlight import write_svmlight
from fm.validation import NonNegativeInt, PositiveInt

OWN = ("-task", "-train", "-test", "-out", "-dim", "-iter", "-seed", "-meta")
"""Options that the adapter passes."""


@dataclass(eq=False, repr=False)
class LibFM(Program, Regressor):
    """Regression by libFM; `fit` and `predict` include writing and reading its files.

    Both raise FileNotFoundError where there is no such program, and RuntimeError with its output if
    it failed.

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
    peak_memory_ : bytes resident in its process at most; None without /proc.
    """

    program: str = "libFM"
    _: KW_ONLY
    arguments: str = "-method mcmc"
    k: NonNegativeInt = 10
    n_iter: PositiveInt = 100
    random_state: NonNegativeInt = 0

    title = "libFM"
    _takes_linear = False
    _task: ClassVar = "r"

    def programs(self) -> tuple[str]:
        return (self.program,)

    def check_params(self) -> None:
        super().check_params()
        for argument in shlex.split(self.arguments):
            if argument in OWN:
                raise ValueError(f"arguments must do without {argument}: the adapter passes it")

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        self.X_, self.y_ = X, y
        self.n_parameters_ = 1 + (self.k + 1) * X.shape[1]
        self._predict(X[:1])

    def _predict(self, X: Design) -> NDArray[np.float64]:
        """Learn from the rows of `fit` and predict those of X."""
        (program,) = self.located()
        options = f"-task {self._task} -train train -test test -out predictions -meta groups"
        options += f" -dim 1,1,{self.k} -iter {self.n_iter} -seed {self.random_state}"
        command = [program, *options.split(), *shlex.split(self.arguments)]
        with TemporaryDirectory() as folder:
            write_svmlight(Path(folder, "train"), self.X_, self.y_)
            write_svmlight(Path(folder, "test"), X, np.zeros(len(X)))
            sizes = group_sizes(X)
            np.savetxt(Path(folder, "groups"), np.repeat(np.arange(len(sizes)), sizes), fmt="%d")
            _, self.peak_memory_ = run_program(command, folder, name="libFM")
            return read_predictions(Path(folder, "predictions"), len(X), "libFM")


class LibFMClassifier(BinaryClassifier, LibFM):
    """Classification of two classes by libFM; see `LibFM` for its parameters."""

    _task = "c"
    _labels = -1.0, 1.0
