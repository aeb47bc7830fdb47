"""General features: what only products of two tell, a linear model misses and an FM does not."""

import numpy as np
import pytest
from scipy import sparse

from bench.studies import general
from bench.studies.general import Problem, measure, section, through_text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "SEEDS", range(2))
    monkeypatch.setattr(general, "N_ITER", 30)
    monkeypatch.setattr(general, "STRENGTHS", (0.1, 1.0))
    monkeypatch.setattr(general, "FACTORS", {"k": (2,)})
    monkeypatch.setattr(general, "TREES", {"max_leaf_nodes": (7,)})


@pytest.fixture
def products(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Six features, and the product of the first two."""
    X = rng.choice([-1.0, 0.0, 1.0], p=[0.4, 0.2, 0.4], size=(400, 6))
    return X, X[:, 0] * X[:, 1] + 0.1 * rng.standard_normal(400)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_fm_classifies_what_a_line_cannot(products: tuple) -> None:
    X, y = products
    models = measure(Problem(sparse.csr_array(X), (y > 0.5).astype(float)))
    fm, logistic = models["`FMClassifier`, gibbs"], models["logistic regression"]
    assert np.mean(fm["loss"]) < 0.5 * np.mean(logistic["loss"])
    np.testing.assert_allclose(fm["gap"][0], np.mean(fm["loss"]) - np.mean(logistic["loss"]))
    assert np.mean(fm["missed"]) < 0.05 and np.mean(logistic["missed"]) > 0.2


def test_fm_regresses_on_products_and_a_table_says_so(products: tuple) -> None:
    problem = through_text(*products)
    np.testing.assert_array_equal(problem.X.toarray(), products[0])
    models = measure(problem)
    assert np.mean(models["`FMRegressor`, gibbs"]["loss"]) < 0.02
    assert np.mean(models["ridge regression"]["loss"]) > 0.5
    name = next(iter(general.PROBLEMS))
    found = {"classes": False, "shape": [400, 6, 1920], "models": models}
    (table,) = section({name: found})
    assert "400 rows, 6 features, 80% of the cells" in table.text
    assert "MSE − ridge regression [95 %]" in table.text
