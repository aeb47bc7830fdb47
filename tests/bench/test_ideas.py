import numpy as np
import pytest

from bench.studies.fits import Rows
from bench.studies.ideas import (
    LATER,
    Change,
    change,
    noise_per_user,
    plain,
    section,
    sessions_with_factors,
)
from fm import Block, Design, FMRegressor


@pytest.fixture(scope="module")
def rows():
    """Every other user's ratings have ten times the noise."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, [[40], [30]], (2, 4000))
    truth = rng.normal(size=40)[user] + rng.normal(size=30)[item]
    blocks = (
        Block("user", user, 40),
        Block("item", item, 30),
        Block("session", user, 40, linear=True),
    )
    X, y = Design(blocks), truth + rng.normal(size=4000) * np.where(user % 2, 3.0, 0.3)
    return Rows(X[:1000], y[:1000], X[1000:], truth[1000:], (-100.0, 100.0))


def error(predict, rows):
    model = FMRegressor(k=1, n_iter=100, random_state=0)
    return float(np.mean((predict(model, rows) - rows.truth) ** 2))


def test_weights_by_noise_help_where_noise_differs(rows):
    assert error(noise_per_user, rows) < 0.7 * error(plain, rows)


def test_sessions_are_given_factors(rows):
    seen = []

    class Model:
        def fit(self, X, y):
            seen.append([block.linear for block in X])
            return self

        def predict(self, X):
            return np.zeros(len(X))

    sessions_with_factors(Model(), rows)
    assert seen == [[False, False, False]]


def test_change_is_clipped_and_averaged_over_seeds(rows):
    few = Rows(rows.X, rows.y, rows.held_out, np.array([1.0, 5.0]), (1.0, 5.0))
    before = np.array([[2.0, 5.0], [2.0, 9.0]]), few
    after = np.array([[1.0, 4.0], [0.0, 4.0]]), few
    found = change(before, after)
    assert found.gap[0] == pytest.approx(0.0) and found.std == (0, 0)
    assert change(before, (after[0] + 1, few)).gap[0] == pytest.approx(0.25 - 0.5)


def test_an_idea_helps_if_it_gains_more_than_chance_and_seeds_explain():
    changes = {
        "sure": Change((-0.01, -0.02, -0.005), (0.001, 0.001)),
        "within seeds": Change((-0.01, -0.02, -0.005), (0.006, 0.001)),
        "within rows": Change((-0.01, -0.02, 0.001), (0.001, 0.001)),
    }
    values = {
        "ideas": {idea: vars(of) for idea, of in (changes | {LATER: changes["sure"]}).items()}
    }
    text = section(values)[0].text
    said = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if "|" in line
    }
    assert [said[idea] for idea in changes] == ["yes", "no", "no"]
