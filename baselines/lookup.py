"""Look up whether a row's combination of levels has been seen with the second class.

    P(y = 1 | x) = p_seen     if a training row of the second class has the same levels
                   p_unseen   otherwise

Both rates are of training rows, each looked up among all others (leave one out). Of the user and
the item it is what a benchmark gives away whose negatives are pairs that were never positive.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from baselines.estimator import Machine, blocks_of, check_design
from baselines.logistic import LogOdds
from fm.design import Design


class RowLookup(LogOdds):
    """Two rates: of rows whose levels were seen with the second class, and of all others.

    Attributes
    ----------
    positive_ : sorted numbers of the combinations of levels seen with the second class.
    rates_ : (2,) share of the second class among unseen and among seen combinations.
    n_parameters_ : combinations kept, and two.
    """

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """TypeError, ValueError : X is no Design or has too many levels, y not of two classes."""
        codes = self._target(check_design(X), y)
        self.blocks_ = blocks_of(X)
        if math.prod(block.n_levels + 1 for block in X) >= 2**63:
            raise ValueError("X has more combinations of levels than 2^63: give it fewer blocks")
        keys = self._keys(X)
        self.positive_, counts = np.unique(keys[codes == 1], return_counts=True)
        place = np.minimum(np.searchsorted(self.positive_, keys), len(counts) - 1)
        seen = np.where(self.positive_[place] == keys, counts[place], 0) > codes
        n_positive = np.bincount(seen, weights=codes, minlength=2)
        self.rates_ = (n_positive + codes.mean()) / (np.bincount(seen, minlength=2) + 1)
        self.n_parameters_ = len(self.positive_) + 2
        return self

    def decision_function(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        seen = np.isin(self._keys(check_design(X, self.blocks_)), self.positive_)
        return logit(self.rates_)[seen.astype(np.intp)]

    def as_machine(self, X: Design) -> Machine:
        """Return it as a factorization machine: the combinations it has seen add the same.

        ValueError if there are unknown levels among them, which no factorization machine combines.
        """
        check_design(X, self.blocks_)
        unseen, seen = logit(self.rates_)
        sizes = [block.n_levels + 1 for block in X]
        levels = np.column_stack(np.unravel_index(self.positive_, sizes)) - 1
        if (levels < 0).any():
            raise ValueError(f"{type(self).__name__} has combinations with unknown levels")
        combinations = [(tuple(range(len(sizes))), levels, np.full(len(levels), seen - unseen))]
        return Machine(unseen, np.zeros(X.shape[1]), combinations=combinations)

    def _keys(self, X: Design) -> NDArray[np.int64]:
        """Return a number for each row's combination of levels."""
        keys = np.zeros(len(X), dtype=np.int64)
        for block in X:
            keys = keys * (block.n_levels + 1) + block.levels + 1
        return keys
