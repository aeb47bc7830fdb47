"""Every model of the registry with every choice of `conf/features`: it makes use of them, or says
that it cannot.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

import bench.data
from bench.data.splits import random
from bench.features import build_design
from fm.design import Design
from tests.test_conformance import REGISTRY, predicted, quick, target

pytestmark = pytest.mark.slow

FEATURES = {
    path.stem: tuple(yaml.safe_load(path.read_text("utf-8"))["names"])
    for path in sorted((Path(__file__).parent.parent / "conf" / "features").glob("*.yaml"))
}
PAIRS = [
    pytest.param(model, name, marks=[] if name == "all" else pytest.mark.slow)
    for model in REGISTRY
    for name in FEATURES
    # Vowpal Wabbit reads the same text for each of its models.
    if not model.startswith("vw_") or model == "vw_lrq"
]
OF_TWO_SIDES = ("mf", "nmf")
"""Models of a matrix, which has no place for a third thing."""

Encoded = Callable[[str], tuple[Design, np.ndarray, Design, np.ndarray]]


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    """Choice of features -> train and test rows of the same small data."""
    dataset = bench.data.planted(n_users=20, n_items=42, n_ratings=410, seed=1)
    split = random(dataset, test=0.1, validation=0.0, seed=0)
    y = dataset.rows["rating"].to_numpy()

    @cache
    def encoded(features: str) -> tuple[Design, np.ndarray, Design, np.ndarray]:
        X = build_design(dataset, FEATURES[features], split.train)
        return X[split.train], y[split.train], X[split.test], y[split.test]

    return encoded


@pytest.fixture(scope="module")
def of_ids(encoded: Encoded) -> Callable[[str], np.ndarray]:
    """Model -> its predictions from ids alone."""
    X, y, X_test, _ = encoded("ids")

    @cache
    def predictions(name: str) -> np.ndarray:
        model = quick(name)
        return predicted(model.fit(X, target(model, y)), X_test)

    return predictions


@pytest.mark.parametrize(("name", "features"), PAIRS)
def test_every_model_with_every_feature(
    name: str, features: str, encoded: Encoded, of_ids: Callable[[str], np.ndarray]
) -> None:
    X, y, X_test, _ = encoded(features)
    model = quick(name)
    y = target(model, y)
    if (name in OF_TWO_SIDES or name.startswith("peer_surprise")) and features != "ids":
        with pytest.raises(
            ValueError, match=r"^a matrix factorization needs X with two blocks .* got user[^\n]*$"
        ):
            model.fit(X, y)
        return
    if name.startswith(("peer_myfm", "peer_modern")) and any(block.linear for block in X):
        with pytest.raises(ValueError, match="gives every feature factors"):
            model.fit(X, y)
        return
    prediction = predicted(model.fit(X, y), X_test)
    assert np.isfinite(prediction).all()
    if features != "ids" and name not in ("base_rate", "lookup"):  # no user sees an item twice
        assert not np.array_equal(prediction, of_ids(name))
