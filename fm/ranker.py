"""Factorization machine that ranks the levels of one field by rows that occurred: Bayesian ranking.

A positive row x says that, in its context (the levels of all its other fields), its item is
preferred to each item that the context has no positive row with. A pair of such rows x, x' has the
loss 2 log(1 + exp(f(x') - f(x))), and each positive row a partner, drawn anew whenever a batch
takes it. What depends on the context alone cancels.

The items a context has no positive row with are numbered 0, 1, ... With p_0 < p_1 < ... those that
it has, number r is item r + #{j : p_j - j <= r}, so that a partner is a random number and a binary
search, and no draw is rejected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from fm.arrays import AnyArray, FloatArray, IndexArray
from fm.base import XY, Fit
from fm.descent import Rows
from fm.design import Block, Design
from fm.diagnostics import Curve, warn_while_falling
from fm.features import MatrixFeatures, OneHotFeatures
from fm.model import Matrix
from fm.regressor import ManySolvers
from fm.sgd import sgd
from fm.validation import FieldName, check_choice

L2, STEP = 1.0, 0.1
"""Penalty of w and of V, and AdaGrad's step. Of 15 settings the best for two of four planted sets
of preferences, and near it for the others. For users' last items in `ua.base` of MovieLens-100K
(test rows were not looked at) HR@10 is 0.060, popularity's 0.046; l2 = 0.1 with steps of 0.2 has
0.068 (two seeds; the standard error is 0.008), and loses on the planted sets."""


@dataclass(kw_only=True, eq=False, repr=False)
class FMRanker(ManySolvers):
    """Factorization machine that ranks the levels of a field, for implicit feedback.

    Minimizes Bayesian personalized ranking's loss by stochastic gradient descent,

        ``sum over rows of 2 log(1 + exp(f(x') - f(x))) + l2_w |w|^2 + l2 |V|^2``

    where x' is x with another item, drawn uniformly from those that the context (the levels of all
    other fields) has no row with. Rows of a context that has every item have no x' and are left
    out, as are rows without an item. In one context, `predict` is the higher the more preferred.
    A row of weight 0 only keeps its item from being x'. `fit(X)` takes no y, and a Design, or a
    DataFrame whose columns are all text or categories; `validation` is a pair, (X, None). Other
    parameters and attributes are those of `FMRegressor`.

    Parameters
    ----------
    item : str, default="item"
        Name of the field whose levels are ranked.
    solver : {"sgd"}, default="sgd"
        Stochastic gradient descent.
    l2, l2_w : float, optional
        Penalties on V and w (1; `l2_w` is `l2` where only that is given).
    learning_rate : float, optional
        Step (0.1).

    Attributes
    ----------
    history_ : dict of arrays, one number per epoch
        `train_ranking_loss`, the mean of log(1 + exp(f(x') - f(x))) after each epoch, with an x'
        that stays the same, `validation_ranking_loss` of the validation rows, and `seconds`.

    References
    ----------
    S. Rendle, C. Freudenthaler, Z. Gantner, and L. Schmidt-Thieme, "BPR: Bayesian Personalized
    Ranking from Implicit Feedback", UAI 2009.

    Examples
    --------
    >>> from fm import Block, Design, FMRanker, recommend
    >>> user, item = [0, 0, 1, 1, 2, 2, 3], [0, 1, 0, 1, 2, 3, 2]
    >>> X = Design((Block("user", user, 4), Block("item", item, 4)))
    >>> model = FMRanker(k=2, l2=0.1, random_state=0).fit(X)
    >>> recommend(model, X, n=1, levels=[3], seen=X)[0].tolist()
    [[3]]
    """

    solver: str = "sgd"
    item: FieldName = "item"

    _solvers = ("sgd",)
    _loss_name = "ranking_loss"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = tags.input_tags.sparse = False
        tags.target_tags.required = False
        return tags

    def _target(self, y: Any, X: Matrix) -> AnyArray:
        return np.zeros(X.shape[0])

    def _loss(self, y: Any, expectation: FloatArray) -> float:
        positive, partner = np.split(expectation, 2)
        return float(np.mean(np.logaddexp(0, partner - positive)))

    def _curves(
        self, training: XY, validation: XY | None, settings: dict[str, Any], warm: bool
    ) -> dict[str, Curve]:
        """Return the curves of pairs that stay the same."""

        def paired(pairs: Pairs, after: int = 0) -> XY:
            rows = np.flatnonzero(pairs.kept >= after)
            if not len(rows):
                raise ValueError(f"no validation row has a level of {self.item!r} and one to spare")
            return pairs.drawn(rows, np.random.default_rng(0)), np.empty(0)

        X, _ = training
        pairs = Pairs.of(X, self.item)
        if validation is None:
            return super()._curves(paired(pairs), None, settings, warm)
        every = Pairs.of(_one_after_other(X, validation[0]), self.item)
        return super()._curves(paired(pairs), paired(every, len(pairs.X)), settings, warm)

    def _sgd(self, X: Matrix, y: FloatArray, **settings: Any) -> Fit:
        pairs, weight = Pairs.of(X, self.item), settings.pop("sample_weight")
        for name, default in (("l2", L2), ("l2_w", L2), ("learning_rate", STEP)):
            settings[name] = default if settings[name] is None else settings[name]
        both = pairs.drawn(np.arange(len(pairs.kept)), np.random.default_rng(0))
        fit = sgd(
            both,
            np.zeros(len(both)),
            loss="ranking",
            sample_weight=None if weight is None else np.tile(weight[pairs.kept], 2),
            draw=partial(PairRows, pairs),
            **settings,
        )
        if len(fit.seconds) == settings["n_iter"]:
            warn_while_falling(self.history_["train_ranking_loss"], fit.state.n_epochs)
        return fit.state.n_epochs, fit.coefficients, fit.state, {"seconds": fit.seconds}


@dataclass(frozen=True)
class Pairs:
    """Positive rows, and which items their contexts have no positive row with.

    X : all rows.
    item : the block that is ranked.
    kept : (n_pairs,) rows that have a partner, in random order.
    context : (n_pairs,) their contexts, by number.
    n_free : (n_pairs,) items that each context has no positive row with.
    before : (n_pairs,) positives of the contexts before each.
    keys : (n_positives,) context * n_items + (p_j - j), ascending.
    """

    X: Design
    item: Block
    kept: IndexArray
    context: IndexArray
    n_free: IndexArray
    before: IndexArray
    keys: IndexArray

    @classmethod
    def of(cls, X: Matrix, name: str) -> Self:
        """Return the pairs of the rows of X."""
        if not isinstance(X, Design):
            raise TypeError(
                f"FMRanker needs fields alone, {name!r} among them: a Design, or a DataFrame of "
                "text and categories"
            )
        check_choice("item", name, [block.name for block in X])
        if len(X.blocks) == 1:
            raise ValueError(f"nothing but {name!r} describes a row: add a block, such as the user")
        item, context = X.block(name), np.zeros(len(X), np.intp)
        for block in X:
            if block is not item:
                _, context = np.unique(
                    context * (block.n_levels + 1) + block.levels + 1, return_inverse=True
                )
        known = item.levels >= 0
        positive = np.unique(context[known] * item.n_levels + item.levels[known])
        of_context = positive // max(1, item.n_levels)
        counts = np.bincount(of_context, minlength=context.max() + 1)
        before = np.cumsum(counts) - counts
        keys = positive - (np.arange(len(positive)) - before[of_context])
        n_free = item.n_levels - counts
        kept = np.flatnonzero(known & (n_free[context] > 0))
        if not len(kept):
            raise ValueError(
                f"no row has a partner: every context has all levels of {name!r}, or none"
            )
        kept = np.random.default_rng(0).permutation(kept)
        own = context[kept]
        return cls(X, item, kept, own, n_free[own], before[own], keys)

    def partners(self, chosen: IndexArray | slice, rng: np.random.Generator) -> IndexArray:
        """Return an item for each chosen pair, uniform over those its context has no row with."""
        number = rng.integers(self.n_free[chosen])
        wanted = self.context[chosen] * self.item.n_levels + number
        smaller = np.searchsorted(self.keys, wanted, side="right") - self.before[chosen]
        return number + smaller

    def drawn(self, chosen: IndexArray | slice, rng: np.random.Generator) -> Design:
        """Return the chosen positive rows and, after all of them, their partners."""
        X, partners = self.X[self.kept[chosen]], self.partners(chosen, rng)
        others = (replace(b, levels=partners) if b.name == self.item.name else b for b in X)
        return _one_after_other(X, Design(tuple(others)))


@dataclass(frozen=True)
class PairRows:
    """Rows for gradient descent: batches of pairs, whose partners are drawn when they are taken.

    x, weight : of both rows of all pairs, as `Pairs.drawn` returns them.
    """

    pairs: Pairs
    x: MatrixFeatures | OneHotFeatures
    weight: FloatArray | None
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.pairs.kept)

    def __getitem__(self, chosen: IndexArray | slice) -> Rows:
        X = self.pairs.drawn(chosen, self.rng)
        weight = None if self.weight is None else np.tile(self.weight[: len(self)][chosen], 2)
        return Rows(self.x.of_rows(X), np.empty(len(X)), weight, "ranking")


def _one_after_other(X: Matrix, more: Matrix) -> Design:
    assert isinstance(X, Design)
    assert isinstance(more, Design)
    pairs = zip(X, more, strict=True)
    return Design(tuple(replace(a, levels=np.concatenate([a.levels, b.levels])) for a, b in pairs))
