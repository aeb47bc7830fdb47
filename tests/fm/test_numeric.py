"""Designs with numeric columns and bags beside their fields."""

from functools import partial

import numpy as np
import pytest
from scipy import sparse

from fm import (
    Block,
    Design,
    FMClassifier,
    FMRanker,
    FMRegressor,
    NumericBlock,
    base,
    load,
    recommend,
    save,
)


def example(n=60):
    """Two fields, a price and a bag of tags: (X, y)."""
    rng = np.random.default_rng(0)
    tags = sparse.random_array((n, 5), density=0.4, rng=rng)
    X = Design(
        [Block("user", rng.integers(0, 6, n), 6), Block("item", rng.integers(-1, 4, n), 4)],
        [NumericBlock("price", rng.normal(50, 9, n)), NumericBlock("tag", tags, list("abcde"))],
    )
    return X, rng.normal(size=n)


def test_it_is_the_matrix_of_all_its_blocks():
    X, _ = example()
    fields = Design(X.blocks).to_csr().toarray()
    numbers = [block.values.toarray() for block in X.numeric]
    np.testing.assert_array_equal(X.to_csr().toarray(), np.hstack([fields, *numbers]))
    np.testing.assert_array_equal(X[10:20].to_csr().toarray(), X.to_csr().toarray()[10:20])
    assert X.shape == (60, 16)
    assert X.n_interacting == 16
    assert X.feature_names()[-7:] == ["item=3", "price", *(f"tag={t}" for t in "abcde")]


@pytest.mark.parametrize("solver", ["gibbs", "als", "sgd"])
def test_every_solver_fits_it_as_the_matrix(solver, monkeypatch):
    """In groups of its blocks where a solver has groups, and predicts the same of either."""
    X, y = example()
    model = FMRegressor(k=2, solver=solver, n_iter=4, random_state=0)
    ours = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(ours, model.predict(X.to_csr()))
    groups = np.repeat([0, 1, 2, 3], [6, 4, 1, 5])
    if solver != "sgd":
        monkeypatch.setattr(base, solver, partial(getattr(base, solver), groups=groups))
    matrix = model.fit(X.to_csr(), y)
    np.testing.assert_allclose(matrix.predict(X.to_csr()), ours, atol=1e-10)


@pytest.mark.parametrize("solver", ["gibbs", "als"])
def test_it_survives_a_file(tmp_path, solver):
    X, y = example()
    model = FMClassifier(k=2, solver=solver, n_iter=4, random_state=0).fit(X, y > 0)
    save(model, tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match=r"blocks .* are .* those of fit were .*price"):
        loaded.predict(Design(X.blocks, X.numeric[1:]))


def test_what_it_cannot_be_or_do():
    X, y = example()
    users, price = X.blocks[0], X.numeric[0]
    for blocks, numeric, message in (
        ([users], [price, price], "names must differ"),
        ([users], [NumericBlock("age", np.ones(3))], "differ in their number of rows"),
        ([users, Block("day", users.levels, 6, linear=True)], [price], "has no linear blocks"),
    ):
        with pytest.raises(ValueError, match=message):
            Design(blocks, numeric)
    with pytest.raises(ValueError, match="2 labels, expected 1"):
        NumericBlock("age", np.ones(3), labels=["a", "b"])
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        FMRegressor().fit(Design([users], [NumericBlock("age", np.full(60, np.nan))]), y)
    with pytest.raises(TypeError, match="of fields alone"):
        FMRegressor(noise_by="user").fit(X, y)
    with pytest.raises(ValueError, match="with fields alone"):
        recommend(FMRegressor(n_iter=2).fit(X, y), X)
    with pytest.raises(TypeError, match="FMRanker needs fields alone"):
        FMRanker().fit(X)
