"""Pairwise ranking: its draws, its gradient, and preferences that it has to learn."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from fm import UNKNOWN, Block, Design, FMRanker, load, recommend, save
from fm.descent import AllColumns, Penalties
from fm.features import features
from fm.ranker import PairRows, Pairs
from fm.tables import rows_of_table
from tests.oracles import fm_predict, numerical_gradient


def design(users, items, n_users, n_items, side_features=None):
    return Design(
        (Block("user", users, n_users), Block("item", items, n_items, side_features=side_features))
    )


def random_rows(rng, n_rows=60, **given):
    return design(rng.integers(0, 6, n_rows), rng.integers(0, 9, n_rows), 6, 9, **given)


@pytest.fixture(scope="module")
def planted():
    """Of 80 users, the 12 of 60 items that each prefers: 8 to fit, 4 to find."""
    rng = np.random.default_rng(0)
    taste, kind = rng.normal(size=(80, 3)), rng.normal(size=(60, 3))
    f = 2 * taste @ kind.T + rng.normal(size=60) + rng.gumbel(size=(80, 60))
    best = rng.permuted(np.argsort(-f, axis=1)[:, :12], axis=1)
    X = design(np.repeat(np.arange(80), 8), best[:, :8].ravel(), 80, 60)
    return X, best[:, 8:]


@pytest.fixture(scope="module")
def fitted(planted):
    return FMRanker(random_state=0).fit(planted[0])


def test_partners_are_uniform_over_the_items_without_a_positive_row():
    X = random_rows(np.random.default_rng(0), 30)
    pairs = Pairs.of(X, "item")
    user, positive = X.block("user").levels[pairs.kept], np.zeros((6, 9), bool)
    positive[X.block("user").levels, X.block("item").levels] = True
    chosen = np.resize(np.arange(len(user)), 200_000)
    partners = pairs.partners(chosen, np.random.default_rng(1))
    counts = np.bincount(user[chosen] * 9 + partners, minlength=54).reshape(6, 9)
    assert not counts[positive].any()
    share = counts / counts.sum(axis=1, keepdims=True) * (~positive).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share[~positive], 1, atol=0.1)


def test_a_context_is_all_levels_but_the_item():
    day = Block("day", [0, 0, 1, UNKNOWN], 2)
    X = Design((Block("item", [0, 1, 0, 0], 3), Block("user", [0, 0, 0, 0], 1), day))
    pairs = Pairs.of(X, "item")
    drawn = [
        set(zip(pairs.kept, pairs.partners(slice(None), np.random.default_rng(s)), strict=True))
        for s in range(50)
    ]
    assert set().union(*drawn) == {(0, 2), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)}


@pytest.mark.parametrize("kind", ["ids", "side features", "unknown users"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_a_batch_is_that_of_the_stated_loss(kind, weighted):
    rng = np.random.default_rng(0)
    side = sparse.csr_array(rng.normal(size=(9, 2))) if kind == "side features" else None
    X = random_rows(rng, side_features=side)
    if kind == "unknown users":
        X.block("user").levels[::7] = UNKNOWN
    pairs, theta = Pairs.of(X, "item"), rng.normal(size=(X.shape[1], 3))
    n = len(pairs.kept)
    weight = np.tile(rng.random(n), 2) if weighted else None
    both = pairs.drawn(slice(None), rng)
    rows = PairRows(pairs, features(both, "float64"), weight, np.random.default_rng(3))
    shrink = Penalties(*rng.random((2, X.shape[1])))
    chosen = np.sort(rng.choice(n, 20, replace=False))
    _, slope, found = AllColumns(rows, 20).gradient(chosen, shrink, 0.0, theta)
    drawn = pairs.drawn(chosen, np.random.default_rng(3)).to_csr().toarray()
    weights = 1 if weight is None else weight[chosen]

    def objective(theta):
        f, other = np.split(fm_predict(drawn, 0.0, theta[:, 0], theta[:, 1:]), 2)
        losses = weights * np.log1p(np.exp(other - f))
        penalties = shrink.w @ theta[:, 0] ** 2 + shrink.V @ (theta[:, 1:] ** 2).sum(axis=1)
        return losses.sum() / (2 * len(f)) + penalties / 2

    gradient = np.vstack([piece for _, piece in found])
    np.testing.assert_allclose(gradient, numerical_gradient(objective, theta), atol=1e-7)
    assert slope == pytest.approx(0)


def test_planted_preferences_are_found(planted, fitted):
    X, held_out = planted
    items, _ = recommend(fitted, X, n=4, seen=X)
    found = np.mean([np.isin(of_user, held_out[u]) for u, of_user in enumerate(items)])
    popular = np.argsort(-np.bincount(X.block("item").levels, minlength=60))
    seen = [set(X.block("item").levels[8 * u : 8 * u + 8]) for u in range(80)]
    guess = [[i for i in popular if i not in seen[u]][:4] for u in range(80)]
    by_popularity = np.mean([np.isin(of_user, held_out[u]) for u, of_user in enumerate(guess)])
    assert found > by_popularity + 0.15
    assert fitted.history_["train_ranking_loss"][-1] < 0.35 < np.log(2)


def test_two_users_of_opposite_taste_are_told_apart():
    """Popularity says nothing here: each item has as many rows."""
    users, items = np.divmod(np.arange(20 * 20), 20)
    likes = users % 2 == items % 2
    fitted_rows = np.random.default_rng(0).random(400) < 0.5
    X = design(users, items, 20, 20)
    model = FMRanker(k=2, random_state=0).fit(X[likes & fitted_rows])
    f, rest = model.predict(X), ~fitted_rows
    for user in range(20):
        own = rest & (users == user)
        assert f[own & likes].min() > f[own & ~likes].max()


def test_same_seed_same_model_and_epochs_add_up(planted, fitted):
    X, _ = planted
    again = clone(fitted).fit(X)
    halves = FMRanker(random_state=0, n_iter=15, warm_start=True).fit(X).fit(X)
    for model in (again, halves):
        np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    other = clone(fitted).set_params(random_state=1).fit(X)
    assert not np.allclose(other.predict(X), fitted.predict(X))


def test_a_file_keeps_it(planted, fitted, tmp_path):
    X, _ = planted
    save(fitted, tmp_path / "ranker.npz")
    loaded = load(tmp_path / "ranker.npz")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))


def test_validation_rows_end_the_fit_and_callbacks_too(planted):
    X, held_out = planted
    more = design(np.repeat(np.arange(80), 4), held_out.ravel(), 80, 60)
    model = FMRanker(early_stopping=2, n_iter=200, learning_rate=0.5, l2=0, random_state=0)
    curve = model.fit(X, validation=(more, None)).history_["validation_ranking_loss"]
    assert model.n_iter_ == np.argmin(curve) + 1 == len(curve) - 2
    ended = FMRanker(callback=lambda epoch, _: epoch == 3).fit(X)
    assert len(ended.history_["train_ranking_loss"]) == ended.n_iter_ == 3


def test_a_weight_of_2_is_a_row_that_occurs_twice():
    """Every context lacks one item, so that partners are no chance; a step sees all rows."""
    users, items = np.divmod(np.arange(12), 3)
    kept = items != users % 3
    X, weight = design(users, items, 4, 3)[kept], 1 + np.arange(8) % 2 * np.arange(8) % 3
    model = FMRanker(k=0, l2_w=0.5, random_state=0)
    weighted = clone(model).fit(X, sample_weight=weight)
    repeated = clone(model).fit(X[np.repeat(np.arange(8), weight)])
    w = weighted.coefficients_.w
    np.testing.assert_allclose(w, repeated.coefficients_.w, atol=1e-10)
    np.testing.assert_allclose(w[:4], 0, atol=1e-12)  # users' own weights cancel
    assert np.ptp(w[4:]) > 0.1


def test_tables_and_rows_without_partner():
    """Bob has every item, and a row without an item says nothing."""
    table = pd.DataFrame(
        {"user": ["Ann", "Bob", "Bob", "Cid"], "film": ["Alien", "Alien", "Brazil", None]}
    )
    model = FMRanker(item="film", k=2, random_state=0).fit(table)
    np.testing.assert_array_equal(Pairs.of(rows_of_table(table, model.table_), "film").kept, [0])
    f = model.predict(pd.DataFrame({"user": ["Ann", "Ann"], "film": ["Alien", "Brazil"]}))
    assert f[0] > f[1]
    np.testing.assert_array_equal(
        recommend(model, table, n=2, items="film", seen=table)[0], [[1, -1], [-1, -1], [0, 1]]
    )


def test_what_cannot_be_ranked_is_refused_in_a_sentence():
    X = random_rows(np.random.default_rng(0))
    cases = [
        (FMRanker(item="film"), X, ValueError, "item must be one of user, item, got 'film'"),
        (FMRanker(item=3), X, TypeError, "item must be the name of a field"),
        (FMRanker(solver="als"), X, ValueError, "solver must be one of sgd"),
        (
            FMRanker(),
            np.eye(3),
            TypeError,
            "FMRanker needs fields alone, .* a Design, or a DataFrame",
        ),
        (FMRanker(), pd.DataFrame({"item": [1, 2]}), TypeError, "FMRanker needs fields alone"),
        (FMRanker(), Design(X.blocks[1:]), ValueError, "nothing but 'item' describes a row"),
        (FMRanker(), design([0, 0], [0, 1], 1, 2), ValueError, "no row has a partner"),
        (FMRanker(), design([0, 1], [-1, -1], 2, 2), ValueError, "no row has a partner"),
    ]
    for model, rows, error, message in cases:
        with pytest.raises(error, match=message):
            model.fit(rows)
    with pytest.raises(ValueError, match="no validation row has a level of 'item'"):
        FMRanker().fit(X, validation=(design([0], [-1], 6, 9), None))
