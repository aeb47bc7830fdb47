"""Field-aware FMs by xLearn (https://xlearn-doc.readthedocs.io; Juan et al., RecSys 2016).

    y(x) = w0 + <w, x> + sum_{i<j} <v_i,field(j), v_j,field(i)> x_i x_j

How many numbers a program keeps of each feature is its affair, so that `n_parameters_` counts the
features that were seen. xLearn takes no seed, and with more than one thread no two of its fits are
the same. (It writes logs that it names by USER, and ends where there is none.)
"""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.estimator import BinaryClassifier, Regressor, n_seen_features
from baselines.external import Program, ffm_lines, read_predictions, run_program, write_rows
from fm.design import Design
from fm.validation import NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(eq=False, repr=False)
class FieldAware(Program, Regressor):
    """Regression by xLearn's two programs on files of LIBFFM's format.

    `fit` and `predict` include writing and reading the files; a row without a known level is not
    learned from, and predicted the mean. They raise FileNotFoundError where there is no such
    program, RuntimeError with its output if it failed.

    Parameters
    ----------
    train, test : the programs that learn and that predict, by path or name.
    k, learning_rate, l2, n_iter : factors of each feature for each field, step, penalty a row,
        epochs.

    Attributes
    ----------
    peak_memory_ : bytes resident in the process that learns at most; None without /proc.
    """

    train: str = "xlearn_train"
    test: str = "xlearn_predict"
    _: KW_ONLY
    k: PositiveInt = 4
    learning_rate: PositiveFloat = 0.1
    l2: NonNegativeFloat = 0.02
    n_iter: PositiveInt = 20

    title = "xLearn"
    _train: ClassVar = "-s 5"
    _test: ClassVar = ""

    def programs(self) -> tuple[str, str]:
        return self.train, self.test

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        known = _known_rows(X)
        with TemporaryDirectory() as folder:
            write_rows(Path(folder, "rows"), ffm_lines(X[known], y[known]))
            options = f"{self._train} -k {self.k} -r {self.learning_rate} -b {self.l2}"
            options += f" -e {self.n_iter} -m model"
            _, self.peak_memory_ = self._run(0, f"rows {options}", folder)
            if not Path(folder, "model").exists():
                raise RuntimeError(f"{self.train!r} wrote no model")
            self.model_ = Path(folder, "model").read_bytes()
        self.mean_ = float(y.mean())
        self.n_parameters_ = 1 + sum(map(n_seen_features, X))

    def _predict(self, X: Design) -> NDArray[np.float64]:
        prediction, known = np.full(len(X), self.mean_), _known_rows(X)
        if len(known):
            with TemporaryDirectory() as folder:
                Path(folder, "model").write_bytes(self.model_)
                write_rows(Path(folder, "rows"), ffm_lines(X[known], np.zeros(len(known))))
                self._run(1, f"rows model -o predictions {self._test}", folder)
                prediction[known] = read_predictions(
                    Path(folder, "predictions"), len(known), self.title
                )
        return prediction

    def _run(self, which: int, options: str, folder: str) -> tuple[str, int | None]:
        command = [self.located()[which], *f"{options} -nthread 1 -l log".split()]
        environment = {"USER": "nobody"} | os.environ
        return run_program(command, folder, name=self.title, environment=environment)


class FieldAwareClassifier(BinaryClassifier, FieldAware):
    """Classification of two classes; see `FieldAware`, but predictions are probabilities."""

    _train = "-s 2"
    _test = "--sigmoid"


def _known_rows(X: Design) -> NDArray[np.intp]:
    """Rows that have a level: xLearn takes no line without a feature."""
    return np.flatnonzero(np.max([block.levels for block in X], axis=0) >= 0)
