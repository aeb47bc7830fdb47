"""DataFrames: what their columns become, the unseen and the missing, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from fm import Block, Design, FMClassifier, FMRegressor, load, save
from fm.design import UNKNOWN
from fm.tables import is_table, learn_columns, rows_of_table

FIELDS = pd.DataFrame({"user": ["b", "a", None, "b"], "shop": pd.Categorical([7, 9, 7, np.nan])})
MIXED = pd.DataFrame(
    {
        "user": ["b", "a", None, "b"],
        "price": [1.5, 2.0, 0.0, -1.0],
        "tags": [["x", "y"], [], None, ["y", "y"]],
    }
)


def rows(table, columns=None):
    return rows_of_table(table, learn_columns(table) if columns is None else columns)


def test_fields_become_a_design():
    user, shop = rows(FIELDS)
    assert (user.name, user.labels.tolist(), user.levels.tolist()) == (
        "user",
        ["a", "b"],
        [1, 0, UNKNOWN, 1],
    )
    assert (shop.labels.tolist(), shop.levels.tolist()) == ([7, 9], [0, 1, 0, UNKNOWN])


def test_a_mixture_becomes_a_matrix():
    assert rows(MIXED).toarray().tolist() == [
        [0, 1, 1.5, 1, 1],
        [1, 0, 2, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 1, -1, 0, 2],
    ]


def test_new_rows_by_name_and_unseen_labels():
    columns = learn_columns(MIXED)
    new = pd.DataFrame(
        {"tags": [["z", "x"]], "more": [1], "price": [3], "user": ["nobody"]}, index=[17]
    )
    assert rows(new, columns).toarray().tolist() == [[0, 0, 3, 1, 0]]
    (user, shop) = rows(pd.DataFrame({"shop": [9.0], "user": [5]}), learn_columns(FIELDS))
    assert user.levels.tolist() == [UNKNOWN] and shop.levels.tolist() == [1]


def test_what_is_a_table():
    assert is_table(FIELDS) and is_table(MIXED)
    assert not is_table(MIXED[["price"]]) and not is_table(np.eye(2))
    nullable = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "flag": [True, False]})
    assert not is_table(nullable)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pd.to_datetime(["2020-01-01"] * 4),
            "column 'user' has values of type datetime64.*make it numbers",
        ),
        ([{"a": 1}] * 4, "column 'user' has values of type dict"),
    ],
)
def test_columns_of_no_kind_are_refused(column, message):
    with pytest.raises(TypeError, match=message):
        FMRegressor(n_iter=3).fit(MIXED.assign(user=column), np.arange(4.0))


def test_errors_name_the_column():
    y = np.arange(4.0)
    with pytest.raises(ValueError, match=r"'price' has no number in row 2"):
        FMRegressor(n_iter=3).fit(MIXED.assign(price=[1, 2, np.nan, 3]), y)
    model = FMRegressor(n_iter=3).fit(MIXED, y)
    with pytest.raises(ValueError, match=r"no column 'tags', which fit had"):
        model.predict(MIXED[["user", "price"]])
    with pytest.raises(ValueError, match=r"'price' had numbers in fit"):
        model.predict(MIXED.assign(price="cheap"))
    with pytest.raises(ValueError, match=r"fit had a table, with columns \['user', 'price'"):
        model.predict(np.ones((4, 3)))
    with pytest.raises(ValueError, match="column names must differ"):
        learn_columns(pd.concat([FIELDS, FIELDS], axis=1))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 20, 500), rng.integers(0, 15, 500)
    price = rng.normal(size=500)
    y = rng.normal(size=20)[user] + rng.normal(size=15)[item] + 0.5 * price
    table = pd.DataFrame({"user": user.astype(str), "item": [f"i{i}" for i in item]})
    return table, price, y


@pytest.mark.parametrize("solver", ["sgd", "als", "gibbs"])
def test_a_table_of_fields_is_fitted_as_its_design(solver, data):
    table, _, y = data
    blocks = []
    for name in table.columns:
        labels, levels = np.unique(table[name], return_inverse=True)
        blocks.append(Block(name, levels, len(labels)))
    model = FMRegressor(k=2, solver=solver, n_iter=5, random_state=0)
    of_design = model.fit(Design(tuple(blocks)), y).predict(Design(tuple(blocks)))
    np.testing.assert_array_equal(model.fit(table, y).predict(table), of_design)
    assert np.isfinite(model.predict(table.assign(user="nobody"))).all()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "gibbs"])
def test_saved_with_names_and_labels(solver, mixed, data, tmp_path):
    table, price, y = data
    table = table.assign(price=price) if mixed else table
    model = FMClassifier(k=2, solver=solver, n_iter=5, random_state=0).fit(table, y > 0)
    save(model, tmp_path / "table.npz")
    again = load(tmp_path / "table.npz")
    np.testing.assert_array_equal(again.feature_names_in_, table.columns)
    assert again.n_features_in_ == table.shape[1]
    new = table.iloc[:5].assign(user=["3", "4", "nobody", None, "5"])
    np.testing.assert_array_equal(again.predict_proba(new), model.predict_proba(new))


def test_a_table_in_a_grid_search_and_in_epochs(data):
    table, price, y = data
    table = table.assign(price=price)
    search = GridSearchCV(
        FMRegressor(k=2, n_iter=5, random_state=0), {"solver": ["als", "gibbs"]}, cv=2
    ).fit(table, y)
    assert search.best_score_ > 0.8
    model = FMRegressor(solver="sgd", random_state=0)
    for _ in range(3):
        model.partial_fit(table, y)
    assert model.score(table, y) > 0.5 and model.n_features_in_ == 3


@pytest.mark.parametrize("declared", [False, True])
def test_epochs_over_chunks_of_a_parquet_file(declared, data, tmp_path):
    """Labels that the first chunk lacks are learned only where its categories have them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table, price, y = data
    table = table.assign(price=price, y=y).sort_values("user", kind="stable")
    table.to_parquet(tmp_path / "rows.parquet")
    users = pd.CategoricalDtype(sorted(table["user"].unique())) if declared else np.str_
    model = FMRegressor(solver="sgd", k=2, random_state=0)
    with parquet.ParquetFile(tmp_path / "rows.parquet") as file:
        for _ in range(5):
            for batch in file.iter_batches(batch_size=200):
                chunk = batch.to_pandas().astype({"user": users})
                model.partial_fit(chunk[["user", "item", "price"]], chunk["y"])
    late = table.iloc[[-1]]
    seen, unseen = model.predict(late), model.predict(late.assign(user="nobody"))
    assert (seen != unseen).all() == declared


def test_a_matrix_after_a_table(data):
    table, price, y = data
    model = FMRegressor(solver="als", n_iter=2).fit(table, y)
    model.fit(price[:, None], y)
    assert model.n_features_in_ == 1 and not hasattr(model, "feature_names_in_")
    assert model.predict(price[:, None]).shape == (500,)
