"""General features: what only products of two tell, a linear model misses and an FM does not."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from bench.studies import general
from bench.studies.general import Problem, main, measure, through_text
from fm.svmlight import write_svmlight


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
    outcomes = measure(Problem("xor", "", sparse.csr_array(X), (y > 0.5).astype(float)))
    assert (
        outcomes["`FMClassifier`, gibbs"].loss.mean()
        < 0.5 * outcomes["logistic regression"].loss.mean()
    )
    for outcome in outcomes.values():
        assert len(outcome.loss) == 2 and len(outcome.losses) == len(outcome.rows) == 160
        np.testing.assert_allclose(outcome.loss.mean(), outcome.losses.mean())
    assert outcomes["`FMClassifier`, gibbs"].missed.mean() < 0.05
    assert outcomes["logistic regression"].missed.mean() > 0.2


def test_fm_regresses_on_products_and_a_table_says_so(products: tuple) -> None:
    problem = Problem("products", "", *through_text(*products))
    np.testing.assert_array_equal(problem.X.toarray(), products[0])
    outcomes = measure(problem)
    assert outcomes["`FMRegressor`, gibbs"].loss.mean() < 0.02
    assert outcomes["ridge regression"].loss.mean() > 0.5
    assert np.isnan(outcomes["ridge regression"].missed).all()


def test_a_file_of_ones_own_is_reported_on_standard_output(
    products: tuple, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    X, y = products
    write_svmlight(tmp_path / "rows.svm", X, np.where(y > 0, 7, -1))
    assert main([str(tmp_path / "rows.svm")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("## rows.svm\n") and "400 rows, 6 features, 80% of the cells" in said
    assert "`FMClassifier`, gibbs" in said and "log loss − logistic regression [95 %]" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file"),
        ("1 0:1 0\n", "is no libSVM text"),
        ("1 0:1\n1 0:2\n", "every row has the same y"),
    ],
)
def test_bad_files_are_named(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "rows.svm"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
