"""Field-aware FMs, by programs that read LIBFFM's text (Juan et al., RecSys 2016).

    y(x) = w0 + <w, x> + sum_{i<j} <v_i,field(j), v_j,field(i)> x_i x_j

The two commands are those of xLearn (https://xlearn-doc.readthedocs.io), for ratings and for two
classes; those of LIBFFM, for two classes alone, have the same form:

    train="ffm-train -k {k} -r {learning_rate} -l {l2} -t {n_iter} -s 1 {rows} {model}"
    predict_with="ffm-predict {rows} {model} {predictions}"

How many numbers a program keeps of each feature is its affair, so that `n_parameters_` counts the
features that were seen. xLearn takes no seed, and with more than one thread no two of its fits are
the same. (It writes logs that it names by USER, and ends where there is none.)
"""

from __future__ import annotations

import os
import shlex
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from baselines.estimator import BinaryClassifier, Regressor, n_seen_features
from baselines.external import Program, ffm_lines, read_predictions, run_program, write_rows
from fm.design import Design
from fm.validation import NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(eq=False, repr=False)
class FieldAware(Program, Regressor):
    """A program of two commands, which name their files in braces.

    `fit` and `predict` include writing and reading the files; a row without a known level is not
    learned from, and predicted the mean. They raise FileNotFoundError where there is no such
    program, RuntimeError with its output if it failed.

    Parameters
    ----------
    train : with {rows} to learn from, {model} to be written, and what else is to be put in: {k},
        {learning_rate}, {l2}, {n_iter}.
    predict_with : with {rows}, {model} and {predictions} to be written, a number a line.
    k, learning_rate, l2, n_iter : factors of each feature for each field, step, penalty a row,
        epochs.

    Attributes
    ----------
    model_ : the model file.
    peak_memory_ : bytes resident in the process that learns at most; None where the system has no
        /proc.
    n_parameters_ : features seen, and one.
    """

    train: str = (
        "xlearn_train {rows} -s 5 -k {k} -r {learning_rate} -b {l2} -e {n_iter} -m {model} "
        "-nthread 1 -l log"
    )
    predict_with: str = "xlearn_predict {rows} {model} -o {predictions} -nthread 1 -l log"
    _: KW_ONLY
    k: PositiveInt = 4
    learning_rate: PositiveFloat = 0.1
    l2: NonNegativeFloat = 0.02
    n_iter: PositiveInt = 20

    title = "A field-aware program"

    def programs(self) -> tuple[str, str]:
        return shlex.split(self.train)[0], shlex.split(self.predict_with)[0]

    def check_params(self) -> None:
        super().check_params()
        files = {"train": ("rows", "model"), "predict_with": ("rows", "model", "predictions")}
        for name, words in files.items():
            missing = [word for word in words if f"{{{word}}}" not in getattr(self, name)]
            if missing:
                raise ValueError(f"{name} must name {{{missing[0]}}}, got {getattr(self, name)!r}")

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        known = _known_rows(X)
        with TemporaryDirectory() as folder:
            write_rows(Path(folder, "rows"), ffm_lines(X[known], y[known]))
            _, self.peak_memory_ = self._run(0, folder)
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
                self._run(1, folder)
                prediction[known] = read_predictions(
                    Path(folder, "predictions"), len(known), self.title
                )
        return prediction

    def _run(self, which: int, folder: str) -> tuple[str, int | None]:
        """Run one of the two commands in a folder with the files that it names in braces."""
        given = {name: name for name in ("rows", "model", "predictions")} | self.get_params()
        words = shlex.split((self.train, self.predict_with)[which])
        words = [self.located()[which], *(word.format(**given) for word in words[1:])]
        return run_program(
            words, folder, name=self.title, environment={"USER": "nobody"} | os.environ
        )


@dataclass(eq=False, repr=False)
class FieldAwareClassifier(BinaryClassifier, FieldAware):
    """Classification of two classes; see `FieldAware`, but predictions are probabilities."""

    train: str = FieldAware.train.replace("-s 5", "-s 2")
    predict_with: str = FieldAware.predict_with + " --sigmoid"


def _known_rows(X: Design) -> NDArray[np.intp]:
    """Rows that have a level: xLearn takes no line without a feature."""
    return np.flatnonzero(np.max([block.levels for block in X], axis=0) >= 0)
