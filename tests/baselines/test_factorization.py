"""Matrix factorizations: what both promise, then each its own."""

import numpy as np
import pytest
from sklearn.base import clone

from baselines import (
    MatrixFactorization,
    NonNegativeMatrixFactorization,
    RidgeRegression,
    RowLookup,
    VowpalWabbit,
)
from baselines.factorization import Factorization
from baselines.peers.scikit_learn import BoostingOnTargetStatistics
from fm import FMRegressor
from fm.design import UNKNOWN, Block, Design, NumericBlock

BOTH = [MatrixFactorization(random_state=1), NonNegativeMatrixFactorization(random_state=1)]


def grid(n_users: int, n_items: int) -> Design:
    """Every pair once."""
    user, item = (levels.ravel() for levels in np.indices((n_users, n_items)))
    return Design((Block("user", user, n_users), Block("item", item, n_items)))


def objective(model: Factorization, X: Design, y: np.ndarray) -> float:
    """That of the module headers; l2_w on the biases that MatrixFactorization keeps in columns 0
    and 1.
    """
    loss = np.sum((y - model.predict(X)) ** 2)
    _, U, V = model.factors_
    if isinstance(model, MatrixFactorization):
        loss += (model.l2 if model.l2_w is None else model.l2_w) * (
            np.sum(U[:, 0] ** 2) + np.sum(V[:, 1] ** 2)
        )
        U, V = U[:, 2:], V[:, 2:]
    seen = [np.unique(block.levels) for block in X]
    return loss + model.l2 * (np.sum(U[seen[0]] ** 2) + np.sum(V[seen[1]] ** 2))


@pytest.mark.parametrize("l2_w", [None, 0.5])
@pytest.mark.parametrize("model", BOTH)
def test_objective_never_rises(
    model: Factorization, design: Design, y: np.ndarray, l2_w: float | None
) -> None:
    model = clone(model).set_params(l2=2.0, k=3)
    if l2_w is not None and isinstance(model, MatrixFactorization):
        model.set_params(l2_w=l2_w)
    losses = [objective(model.set_params(n_iter=n).fit(design, y), design, y) for n in range(1, 30)]
    assert (np.diff(losses) <= 1e-9 * losses[0]).all()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("model", BOTH)
def test_ends_where_the_gradient_is_zero(
    model: Factorization, design: Design, y: np.ndarray
) -> None:
    """No factor that may move lowers the objective by moving."""
    model = clone(model).set_params(k=2, l2=1.0, n_iter=4000).fit(design, y)
    best = objective(model, design, y)
    for factors in model.factors_[1:]:
        for index in np.ndindex(3, 2):
            cell = (index[0], index[1] - 2)
            for step in (1e-3, -1e-3):
                if factors[cell] + step > 0 or isinstance(model, MatrixFactorization):
                    factors[cell] += step
                    assert objective(model, design, y) > best
                    factors[cell] -= step


@pytest.mark.parametrize("model", BOTH)
def test_row_order_and_repeated_rows_are_only_data(
    model: Factorization, design: Design, y: np.ndarray
) -> None:
    order = np.random.default_rng(3).permutation(len(y))
    expected = clone(model).fit(design, y).predict(design)
    np.testing.assert_allclose(
        clone(model).fit(design[order], y[order]).predict(design), expected, atol=1e-6
    )

    twice = np.tile(np.arange(len(y)), 2)
    doubled = clone(model).set_params(l2=2 * model.l2).fit(design[twice], y[twice])
    np.testing.assert_allclose(doubled.predict(design), expected, atol=1e-6)


@pytest.mark.parametrize("model", BOTH)
def test_early_stopping_keeps_the_best_sweep(
    model: Factorization, design: Design, y: np.ndarray
) -> None:
    train, validation = slice(0, 300), (design[300:], y[300:])
    model = clone(model).set_params(l2=0.5, n_iter=200, early_stopping=3)
    model.fit(design[train], y[train], validation=validation)
    curve = model.history_["validation_mse"]
    assert model.n_iter_ == np.argmin(curve) + 1 == len(curve) - 3
    assert np.mean((model.predict(validation[0]) - validation[1]) ** 2) == curve.min()
    assert (
        np.mean((model.predict(design[train]) - y[train]) ** 2)
        == model.history_["train_mse"][model.n_iter_ - 1]
    )
    assert (np.diff(model.history_["seconds"]) > 0).all()

    refit = clone(model).set_params(**model.refit_params_).fit(design[train], y[train])
    np.testing.assert_array_equal(refit.predict(design), model.predict(design))


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize(
    ("name", "value"), [("k", 4), ("l2", 3.0), ("n_iter", 7), ("random_state", 2), ("l2_w", 3.0)]
)
def test_every_knob_bites(
    model: Factorization, design: Design, y: np.ndarray, name: str, value: float
) -> None:
    if name not in model.get_params():
        pytest.skip(f"has no {name}")
    model = clone(model).set_params(l2=1.0, k=3)
    base = model.fit(design, y).predict(design)
    assert (
        np.abs(clone(model).set_params(**{name: value}).fit(design, y).predict(design) - base).max()
        > 1e-6
    )


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize(
    ("name", "value"), [("k", 0), ("l2", -1.0), ("n_iter", 0), ("early_stopping", 0), ("l2_w", 0.0)]
)
def test_bad_hyperparameters(model: Factorization, name: str, value: float) -> None:
    if name not in model.get_params():
        pytest.skip(f"has no {name}")
    with pytest.raises(ValueError, match=f"^{name} must be"):
        clone(model).set_params(**{name: value}).check_params()


@pytest.mark.parametrize("model", BOTH)
def test_errors(model: Factorization, design: Design, y: np.ndarray) -> None:
    user, item = design
    with pytest.raises(TypeError, match=r"fm\.design\.Design"):
        model.fit(design.to_csr(), y)
    with pytest.raises(ValueError, match=r"two blocks and without side features, got user$"):
        model.fit(Design([user]), y)
    described = Block("item", item.levels, item.n_levels, side_features=np.ones((item.n_levels, 1)))
    with pytest.raises(ValueError, match=r"got user, item with side features$"):
        model.fit(Design([user, described]), y)
    with pytest.raises(ValueError, match=r"got user, item \(linear\)$"):
        model.fit(Design([user, Block("item", item.levels, item.n_levels, linear=True)]), y)
    with pytest.raises(ValueError, match="early_stopping=3 needs validation"):
        clone(model).set_params(early_stopping=3).fit(design, y)
    with pytest.raises(ValueError, match="the design's blocks"):
        clone(model).fit(design, y).predict(Design([item, user]))


def test_mf_recovers_planted_factors(rng: np.random.Generator) -> None:
    """Factors are known up to rotation only: their inner products are compared."""
    n_users, n_items, k = 60, 50, 3
    P, Q = rng.normal(size=(n_users, k)), rng.normal(size=(n_items, k))
    users, items = rng.normal(size=n_users), rng.normal(size=n_items)
    X = grid(n_users, n_items)
    u, i = (block.levels for block in X)
    interaction = P @ Q.T
    y = 3.5 + users[u] + items[i] + interaction[u, i]
    observed = rng.random(len(y)) < 0.6
    model = MatrixFactorization(k=k, l2=1e-6, n_iter=300, random_state=0).fit(
        X[observed], y[observed]
    )
    np.testing.assert_allclose(model.predict(X), y, atol=1e-3)

    def centred(matrix: np.ndarray) -> np.ndarray:
        """Without what biases can express as well."""
        return matrix - matrix.mean(0) - matrix.mean(1, keepdims=True) + matrix.mean()

    _, U, V = model.factors_
    np.testing.assert_allclose(centred(U[:-1, 2:] @ V[:-1, 2:].T), centred(interaction), atol=1e-3)


@pytest.mark.parametrize("l2_w", [None, 0.5])
def test_mf_is_the_factorization_machine_of_two_blocks(
    rng: np.random.Generator, l2_w: float | None
) -> None:
    """The same objective, minimised by code that shares nothing with this one."""
    X = grid(40, 30)
    u, i = (block.levels for block in X)
    y = 3 + rng.normal(size=40)[u] + (rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30)))[u, i]
    observed = rng.random(len(y)) < 0.5
    parameters = {"k": 2, "l2": 1.0, "l2_w": l2_w, "n_iter": 500, "random_state": 0}
    mf = MatrixFactorization(**parameters).fit(X[observed], y[observed])
    fm = FMRegressor(solver="als", **parameters).fit(X[observed], y[observed])
    np.testing.assert_allclose(mf.predict(X), fm.predict(X), atol=1e-5)


def test_mf_without_factors_is_ridge(design: Design, y: np.ndarray) -> None:
    """Factors held at zero by their penalty leave the linear model."""
    model = MatrixFactorization(k=1, l2=1e9, l2_w=3.0, n_iter=200, random_state=0).fit(design, y)
    np.testing.assert_allclose(
        model.predict(design), RidgeRegression(l2=3.0).fit(design, y).predict(design), atol=1e-6
    )


def test_mf_unknown_levels_are_the_prior_mean(design: Design, y: np.ndarray) -> None:
    """In training a row without a user teaches its item; at predict it is the item's own effect."""
    user, item = design
    hidden = np.where(np.arange(len(y)) % 4 == 0, UNKNOWN, user.levels)
    X = Design((Block("user", hidden, user.n_levels), item))
    model = MatrixFactorization(k=2, random_state=0).fit(X, y)
    w0, _, V = model.factors_
    strangers = Design(
        (Block("user", [29, UNKNOWN, UNKNOWN], 30), Block("item", [4, 4, UNKNOWN], 20))
    )
    np.testing.assert_allclose(model.predict(strangers), [w0 + V[4, 1], w0 + V[4, 1], w0])
    assert model.n_parameters_ == 1 + (29 + 19) * 3
    known = hidden >= 0
    assert (
        abs(
            MatrixFactorization(k=2, random_state=0).fit(X[known], y[known]).factors_.V[4, 1]
            - V[4, 1]
        )
        > 1e-3
    )


def test_nmf_is_non_negative_and_recovers_a_product(rng: np.random.Generator) -> None:
    P, Q = rng.uniform(size=(40, 2)), rng.uniform(size=(30, 2))
    X = grid(40, 30)
    y = (P @ Q.T)[X.blocks[0].levels, X.blocks[1].levels]
    observed = rng.random(len(y)) < 0.7
    model = NonNegativeMatrixFactorization(k=2, l2=0.0, n_iter=3000, random_state=0).fit(
        X[observed], y[observed]
    )
    np.testing.assert_allclose(model.predict(X), y, atol=0.01)
    assert all((factors >= 0).all() for factors in model.factors_[1:])


def test_nmf_unknown_levels_are_the_average_of_rows(design: Design, y: np.ndarray) -> None:
    model = NonNegativeMatrixFactorization(k=2, l2=1.0, random_state=0).fit(design, y)
    user = design.blocks[0]
    every_user = Design((user, Block("item", np.full(len(y), 4), 20)))
    strangers = Design((Block("user", [29, UNKNOWN], 30), Block("item", [4, 4], 20)))
    np.testing.assert_allclose(model.predict(strangers), model.predict(every_user).mean())
    assert model.n_parameters_ == (29 + 19) * 2


def test_nmf_needs_ratings_that_are_not_negative(design: Design, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs y >= 0"):
        NonNegativeMatrixFactorization().fit(design, y - 4)
    assert NonNegativeMatrixFactorization().fit(design, 0 * y).predict(design).max() == 0


@pytest.mark.parametrize(
    "model",
    [
        MatrixFactorization(),
        NonNegativeMatrixFactorization(),
        VowpalWabbit(),
        BoostingOnTargetStatistics(),
        RowLookup(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_fields_refuse_numbers_beside_them(model) -> None:
    blocks = Block("user", [0, 1, 1, 0], 2), Block("item", [0, 1, 0, 1], 2)
    X = Design(blocks, (NumericBlock("age", [20.0, 30.0, 30.0, 20.0]),))
    with pytest.raises(TypeError, match=r"takes fields alone: .* without numeric blocks"):
        model.fit(X, [1.0, 2.0, 1.0, 2.0])
