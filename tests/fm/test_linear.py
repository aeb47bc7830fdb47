"""Linear blocks: a weight per level and no factors, for every solver."""

import numpy as np
import pytest
from scipy import sparse

from fm import UNKNOWN, Block, Design, FMOrdinal, FMRegressor, load, predict_pairs, save, similar
from fm.als import als
from fm.model import Coefficients, predict
from tests.fm.data import random_coefficients
from tests.fm.slow_als import objective
from tests.oracles import fm_predict

pytestmark = pytest.mark.slow


def design(rng, n_rows=120, linear=True, side=True):
    """Users and items with factors, sessions without; some sessions unknown."""
    features = sparse.random_array((9, 2), density=0.6, rng=rng) if side else None
    return Design(
        (
            Block("user", rng.integers(0, 5, n_rows), 5, sparse.csr_array(np.eye(5, 2))),
            Block("item", rng.integers(0, 6, n_rows), 6),
            Block("session", rng.integers(-1, 9, n_rows), 9, features, linear=linear),
        )
    )


def padded(machine, n_features):
    """With a row of V for every feature."""
    V = np.zeros((n_features, machine.V.shape[1]))
    V[: len(machine.V)] = machine.V
    return machine._replace(V=V)


def effect(X, y):
    """The estimators, each fitted to X and y."""
    settings = {"als": {"l2": 1.0}, "sgd": {"l2": 1.0, "learning_rate": 0.3}, "gibbs": {}}
    for solver, given in settings.items():
        yield FMRegressor(k=2, solver=solver, n_iter=20, random_state=0, **given).fit(X, y)
    yield FMOrdinal(k=2, n_iter=20, random_state=0).fit(X, np.digitize(y, [-0.5, 0.5]))


def test_prediction_is_the_pair_sum_without_factors_of_sessions():
    rng = np.random.default_rng(0)
    X = design(rng)
    machine = random_coefficients(rng, X.shape[1], k=3)
    machine = machine._replace(V=machine.V[: X.n_interacting])
    expected = fm_predict(X.to_csr().toarray(), *padded(machine, X.shape[1])[:3])
    np.testing.assert_allclose(predict(X, machine), expected, atol=1e-12)
    np.testing.assert_allclose(predict(X.to_csr(), machine), expected, atol=1e-12)


def test_unknown_level_has_the_given_weight():
    rng = np.random.default_rng(1)
    X = design(rng)
    w0, w, V, _ = random_coefficients(rng, X.shape[1], k=2)
    unknown = np.zeros((3, 3))
    unknown[2, 0] = 0.7
    machine = Coefficients(w0, w, V[: X.n_interacting], unknown)
    expected = predict(X, machine._replace(unknown=None)) + 0.7 * (X.block("session").levels < 0)
    np.testing.assert_allclose(predict(X, machine), expected, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_als_lowers_the_objective_to_where_its_weights_are_best(weighted):
    rng = np.random.default_rng(2)
    X, l2, l2_w = design(rng, side=False), 2.0, 0.5
    dense, y = X.to_csr().toarray(), rng.normal(size=len(X))
    weight = rng.random(len(X)) if weighted else np.ones(len(X))
    fit = als(X, y, k=2, n_iter=200, l2=l2, l2_w=l2_w, rng=rng, sample_weight=weight)
    assert np.all(np.diff(fit.history["objective"]) <= 1e-9)

    def value(w):
        machine = padded(fit.coefficients, X.shape[1])
        # of the user's features the levels' own share of the prior mean is penalized, not their sum
        return (
            objective(dense, y, weight, machine.w0, w, machine.V, 0.0, 0.0) + l2_w * w[-9:] @ w[-9:]
        )

    w, least = fit.coefficients.w, value(fit.coefficients.w)
    for j in range(len(w) - 9, len(w)):
        for step in (-1e-3, 1e-3):
            assert value(w + step * (np.arange(len(w)) == j)) > least


@pytest.mark.parametrize("side", [False, True])
def test_without_factors_every_block_is_linear(side):
    """For k = 0 the two forms of a block are one model with one optimum."""
    X, same = (
        design(np.random.default_rng(3), linear=linear, side=side) for linear in (True, False)
    )
    y = np.random.default_rng(4).normal(size=len(X))
    one, other = (
        als(x, y, k=0, n_iter=400, l2=1.0, l2_w=1.0, rng=np.random.default_rng(0))
        for x in (X, same)
    )
    np.testing.assert_allclose(one.coefficients.w, other.coefficients.w, atol=1e-8)
    np.testing.assert_allclose(one.history["objective"][-1], other.history["objective"][-1])


def test_gibbs_without_factors_has_one_posterior():
    rng = np.random.default_rng(5)
    X, same = (
        design(np.random.default_rng(6), 400, linear=linear, side=False) for linear in (True, False)
    )
    y = rng.normal(size=9)[X.block("session").levels] + 0.5 * rng.normal(size=len(X))
    one, other = (
        FMRegressor(k=0, n_iter=1000, burn_in=100, random_state=0)
        .fit(x, y)
        .predict(x, return_std=True)
        for x in (X, same)
    )
    np.testing.assert_allclose(one, other, atol=0.03)


def test_sessions_that_matter_are_found_by_every_solver():
    rng = np.random.default_rng(7)
    X = design(rng, 3000, side=False)
    sessions = rng.normal(size=10)
    sessions[UNKNOWN] = 0
    truth = sessions[X.block("session").levels] + np.sin(
        X.block("user").levels * X.block("item").levels
    )
    for model in effect(X, truth + 0.3 * rng.normal(size=len(X))):
        machine = model.coefficients_
        assert machine.V.shape[0] == X.n_interacting and machine.w.shape == (X.shape[1],)
        assert np.corrcoef(machine.w[-9:], sessions[:-1])[0, 1] > 0.98, model


def test_saved_continued_and_paired(tmp_path):
    rng = np.random.default_rng(8)
    X = design(rng)
    for model in effect(X, rng.normal(size=len(X))):
        save(model, tmp_path / "model.npz")
        np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(X), model.predict(X))
        halves = type(model)(**model.get_params() | {"n_iter": 10, "warm_start": True})
        y = np.digitize(rng.normal(size=len(X)), [-0.5, 0.5]).astype(float)
        np.testing.assert_array_equal(
            halves.fit(X, y).fit(X, y).predict(X),
            type(model)(**model.get_params()).fit(X, y).predict(X),
        )
        ((levels, table),) = predict_pairs(halves, X, "user", "item")
        every = Design(
            (
                Block("user", np.repeat(levels, 6), 5, X.blocks[0].side_features),
                Block("item", np.tile(np.arange(6), len(levels)), 6),
                Block(
                    "session",
                    np.full(table.size, UNKNOWN),
                    9,
                    X.blocks[2].side_features,
                    linear=True,
                ),
            )
        )
        np.testing.assert_allclose(table.ravel(), halves.predict(every), atol=1e-12)
        with pytest.raises(ValueError, match=r"session=3.*no factors"):
            similar(halves, "session=3", design=X)


def test_linear_blocks_come_last_and_are_not_alone():
    user, session = Block("user", [0, 1], 2), Block("session", [0, 0], 1, linear=True)
    for blocks in ((session, user), (session,)):
        with pytest.raises(ValueError, match="not linear"):
            Design(blocks)
    assert Design((user, session)).n_interacting == 2


def test_a_linear_block_is_not_taken_for_another():
    user, session = Block("user", [0, 1], 2), Block("session", [0, 0], 1)
    model = FMRegressor(k=1, n_iter=5).fit(Design((user, session)), [1.0, 2.0])
    with pytest.raises(ValueError, match="linear"):
        model.predict(Design((user, Block("session", [0, 0], 1, linear=True))))
