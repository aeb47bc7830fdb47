import numpy as np
import pytest
from scipy import sparse

from baselines import RidgeRegression
from fm.design import UNKNOWN, Block, Design


def normal_equations(X: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
    """Weights, then the free intercept."""
    X = np.column_stack([X, np.ones(len(X))])
    penalty = l2 * np.diag([1.0] * (X.shape[1] - 1) + [0.0])
    return np.linalg.solve(X.T @ X + penalty, X.T @ y)


@pytest.mark.parametrize("l2", [0.01, 4.0, 1e4])
def test_solves_the_normal_equations(design: Design, y: np.ndarray, l2: float) -> None:
    model = RidgeRegression(l2=l2).fit(design, y)
    expected = normal_equations(design.to_csr().toarray(), y, l2)
    np.testing.assert_allclose([*model.coef_, model.intercept_], expected, atol=1e-7)


def test_dense_sparse_and_design_are_one(design: Design, y: np.ndarray) -> None:
    X = design.to_csr()
    expected = RidgeRegression().fit(design, y).predict(design)
    for matrix in (X, X.toarray(), sparse.csc_matrix(X)):
        np.testing.assert_array_equal(RidgeRegression().fit(matrix, y).predict(matrix), expected)


def test_columns_of_any_size(rng: np.random.Generator) -> None:
    X = rng.normal(size=(60, 8)) * np.logspace(-3, 3, 8) + 5
    y = rng.normal(size=60)
    model = RidgeRegression(l2=0.1).fit(X, y)
    np.testing.assert_allclose(
        [*model.coef_, model.intercept_], normal_equations(X, y, 0.1), rtol=1e-5
    )


def test_side_features_are_columns(rng: np.random.Generator) -> None:
    side = rng.normal(size=(10, 2))
    X = Design([Block("user", rng.integers(9, size=200), 10, side_features=side)])
    y = 3 + side[X.blocks[0].levels, 0] + rng.normal(size=200)
    model = RidgeRegression(l2=1.0).fit(X, y)
    expected = normal_equations(X.to_csr().toarray(), y, 1.0)
    np.testing.assert_allclose([*model.coef_, model.intercept_], expected, atol=1e-7)
    newcomer = Design([Block("user", [9], 10, side_features=side)])
    np.testing.assert_allclose(
        model.predict(newcomer), model.intercept_ + side[9] @ model.coef_[-2:]
    )


def test_nothing_known_is_the_intercept(design: Design, y: np.ndarray) -> None:
    model = RidgeRegression().fit(design, y)
    stranger = Design((Block("user", [29, UNKNOWN], 30), Block("item", [UNKNOWN, 19], 20)))
    np.testing.assert_array_equal(model.predict(stranger), model.intercept_)
    assert model.n_parameters_ == 29 + 19 + 1


def test_no_penalty_reaches_least_squares(design: Design, y: np.ndarray) -> None:
    X = np.column_stack([design.to_csr().toarray(), np.ones(len(y))])
    expected = X @ np.linalg.lstsq(X, y)[0]
    np.testing.assert_allclose(
        RidgeRegression(l2=0).fit(design, y).predict(design), expected, atol=1e-6
    )


def test_errors(design: Design, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match="l2 must be at least 0, got -1"):
        RidgeRegression(l2=-1).fit(design, y)
    with pytest.raises(ValueError, match="NaN"):
        RidgeRegression().fit(design, np.where(y == 3, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent"):
        RidgeRegression().fit(design, y[:-1])
    with pytest.raises(ValueError, match="X has 3 features, but RidgeRegression is expecting 50"):
        RidgeRegression().fit(design, y).predict(np.ones((2, 3)))
