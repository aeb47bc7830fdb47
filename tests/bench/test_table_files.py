"""Tables of any task: roles given or inferred, several files, every format the same, every fault a
sentence.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines import RidgeRegression
from bench.data import delimited, table_file
from bench.data.splits import default
from bench.errors import UserError
from bench.features import build_design
from fm.design import UNKNOWN, Design

CLICKS = """\
click,user,device,price,tags,when
1,7,tv,1.5,a|b,2020-01-01
0,7,,2.5,,2020-01-02
0,8,phone,,b,2020-01-03
1,9,tv,0.5,c|c|a,2020-01-04
"""


def write(folder: Path, content: str, name: str = "clicks.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_roles_are_inferred_and_said(tmp_path: Path) -> None:
    data = table_file(write(tmp_path, CLICKS.replace("when", "time")), "click")
    assert (data.task, data.fields, data.numeric, data.time) == (
        "binary",
        ("user", "device", "tags"),
        ("price",),
        "time",
    )
    assert data.source.startswith("4 rows of ")
    said = "target click (binary, 50.0% are 1), fields user, device, tags; numeric price; time time"
    assert data.source.endswith(said)
    assert data.y.tolist() == [1, 0, 0, 1] and data.classes == ("0", "1")


def test_given_roles_and_every_kind_of_column(tmp_path: Path) -> None:
    data = table_file(
        write(tmp_path, CLICKS),
        "click",
        fields=["user", "device"],
        numeric=["price"],
        bags=["tags"],
        time="when",
    )
    assert data.rows["device"].tolist() == ["tv", "", "phone", "tv"]  # missing is a level
    assert np.isnan(data.rows["price"][2])
    assert data.bags["tags"].labels == ("a", "b", "c")
    assert data.bags["tags"].matrix.toarray().tolist() == [
        [1, 1, 0],
        [0, 0, 0],
        [0, 1, 0],
        [1, 0, 1],
    ]
    assert data.rows["when"].diff().dropna().tolist() == [86400.0] * 3


def test_csv_with_shuffled_columns_and_parquet_are_the_same_data(tmp_path: Path) -> None:
    frame = pd.read_csv(write(tmp_path, CLICKS), dtype={"device": "str"}).drop(
        columns=["tags", "when"]
    )
    frame["device"] = frame["device"].fillna("")
    frame[["price", "device", "click", "user"]].to_csv(tmp_path / "shuffled.csv", index=False)
    frame.to_parquet(tmp_path / "clicks.parquet")
    roles = {"fields": ["user", "device"], "numeric": ["price"]}
    one, two = (
        table_file(tmp_path / n, "click", **roles) for n in ("shuffled.csv", "clicks.parquet")
    )
    for name in ("click", "user", "device", "price"):
        assert one.rows[name].tolist() == pytest.approx(two.rows[name].tolist(), nan_ok=True)


def test_a_table_without_header_goes_by_positions(tmp_path: Path) -> None:
    data = table_file(write(tmp_path, "1\ta\t2\n0\tb\t3\n"), 0)
    assert (data.target, data.fields) == ("0", ("1", "2"))


def test_more_files_make_the_split_that_is_the_default(tmp_path: Path) -> None:
    head, *lines = CLICKS.splitlines(keepends=True)
    paths = [write(tmp_path, head + line, f"{i}.csv") for i, line in enumerate(lines)]
    data = table_file(paths[0], "click", validation_path=paths[1], test_path=paths[3])
    split = default(data)
    assert [split.train.tolist(), split.validation.tolist(), split.test.tolist()] == [[0], [1], [2]]
    broken = write(tmp_path, CLICKS.replace("0.5", "x"), "2.csv")
    with pytest.raises(UserError, match=r"2.csv, line 5: price 'x' is not a finite number"):
        table_file(paths[0], "click", fields=["user"], numeric=["price"], test_path=broken)


@pytest.mark.parametrize(
    ("values", "task", "y"),
    [
        (["no", "yes", "no"], "binary", [0, 1, 0]),
        (["-1", "1", "-1"], "binary", [0, 1, 0]),
        (["true", "false", "true"], "binary", [1, 0, 1]),
        (["1.5", "2.5", "1.5"], "regression", [1.5, 2.5, 1.5]),
        (["3", "4", "5"], "regression", [3, 4, 5]),
    ],
)
def test_the_task_follows_from_the_target(
    tmp_path: Path, values: list[str], task: str, y: list[float]
) -> None:
    text = "y,a\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values))
    data = table_file(write(tmp_path, text), "y")
    assert (data.task, data.y.tolist()) == (task, y)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (CLICKS, {"target": "clck"}, r"no column 'clck' for target \(did you mean 'click'\?\)"),
        (CLICKS, {"fields": ["user", "user"]}, "column 'user' is field and field"),
        (
            CLICKS,
            {"fields": ["user"], "numeric": ["device"]},
            "line 2: device 'tv' is not a finite",
        ),
        (
            CLICKS,
            {"task": "binary", "target": "user"},
            "user has 3 different values, a binary target",
        ),
        (CLICKS, {"task": "regresion"}, r"did you mean 'regression'\?"),
        (CLICKS, {"positive": "2"}, "click has no class '2'; there are 0, 1"),
        (CLICKS, {"weight": "device"}, "device 'tv' is not a finite number"),
        (CLICKS.replace("1.5", "-1.5"), {"weight": "price"}, "price"),
        (CLICKS, {"validation_path": "x.csv"}, "there is no file x.csv"),
        ("y\n1\n0\n", {"target": "y"}, "there is no column beside the target"),
        ("y,a,a\n1,2,3\n", {"target": "y"}, "several columns 'a'"),
        ("y,a\n", {"target": "y"}, "is empty"),
        ("y,a\n1,2\n,3\n", {"target": "y"}, "line 3: there is no y"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        table_file(write(tmp_path, content), **{"target": "click"} | options)
    assert "\n" not in str(raised.value)


cells = st.text("ab,\"' é|", max_size=3)
rows_of_a_table = st.fixed_dictionaries(
    {
        "y": st.integers(0, 1),
        "who": st.integers(-3, 3),
        "word": cells,
        "price": st.none() | st.floats(-1e6, 1e6),
        "tags": st.lists(st.sampled_from(["x", "y", "z z"]), max_size=3),
    }
)


@given(
    rows=st.lists(rows_of_a_table, min_size=2, max_size=12),
    order=st.permutations(["y", "who", "word", "price", "tags"]),
    kind=st.sampled_from(["csv", "tsv", "no header", "parquet"]),
)
@settings(max_examples=60, deadline=None)
def test_types_missing_values_and_any_order_of_columns(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], order: list[str], kind: str
) -> None:
    folder = tmp_path_factory.mktemp("table")
    frame = pd.DataFrame(rows)[order]
    path = folder / ("t.parquet" if kind == "parquet" else "t.csv")
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        text = frame.assign(tags=frame["tags"].map("|".join))
        form = {"sep": "\t" if kind == "tsv" else ",", "header": kind != "no header"}
        text.to_csv(path, index=False, **form)
    named = {name: order.index(name) if kind == "no header" else name for name in order}
    data = table_file(
        path,
        named["y"],
        task="regression",
        fields=[named["who"], named["word"]],
        numeric=[named["price"]],
        bags=[named["tags"]],
        header=False if kind == "no header" else None,
        separator=None if kind == "parquet" else form["sep"],
    )
    column = {name: str(place) for name, place in named.items()}
    assert data.y.tolist() == frame["y"].tolist()
    assert data.rows[column["who"]].tolist() == frame["who"].tolist()
    assert data.rows[column["word"]].tolist() == frame["word"].tolist()
    price = frame["price"].to_numpy(np.float64)
    np.testing.assert_array_equal(data.rows[column["price"]], price)
    bag = data.bags[column["tags"]]
    held = [{bag.labels[j] for j in np.flatnonzero(row)} for row in bag.matrix.toarray()]
    assert held == [set(row["tags"]) for row in rows]
    design = build_design(data, ["all"], np.arange(1))
    assert design.shape[0] == len(rows) and np.isfinite(design.toarray()).all()


@given(levels=st.lists(st.sampled_from("abcd"), min_size=4, max_size=12), n_train=st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_a_level_without_training_rows_carries_no_information(
    tmp_path_factory: pytest.TempPathFactory, levels: list[str], n_train: int
) -> None:
    """Whatever it is called, a model predicts the same of it as of no level at all."""
    n_train = min(n_train, len(levels) - 1)
    y = np.arange(len(levels)) % 3
    text = "y,level\n" + "".join(f"{a},{b}\n" for a, b in zip(y, levels, strict=True))
    data = table_file(write(tmp_path_factory.mktemp("table"), text), "y", task="regression")
    train, test = np.arange(n_train), np.arange(n_train, len(levels))
    X = build_design(data, ["level"], train)
    unseen = ~np.isin(levels, levels[:n_train])[test]
    unknown = replace(X.blocks[0], levels=np.full(len(test), UNKNOWN))
    model = RidgeRegression().fit(X[train], data.y[train])
    expected = model.predict(Design((unknown,)))
    np.testing.assert_array_equal(model.predict(X[test])[unseen], expected[unseen])
    rare = build_design(data, ["level"], train, min_count=2).blocks[0].levels
    counts = pd.Series(levels[:n_train]).value_counts()
    often = counts.reindex(levels, fill_value=0).to_numpy() >= 2
    assert (rare == UNKNOWN).tolist() == (~often).tolist()


def test_a_linear_block_beside_a_bag_is_refused(tmp_path: Path) -> None:
    text = "rating,user,item,tags,time\n1,a,x,p|q,5\n2,b,y,q,6\n"
    roles = {"fields": ["user", "item"], "bags": ["tags"], "time": "time"}
    data = table_file(write(tmp_path, text), "rating", scale=(1, 5), **roles)
    assert build_design(data, ["all"], np.arange(2)).shape[0] == 2
    with pytest.raises(UserError, match="second, minute, half_hour have weights without factors"):
        build_design(data, ["ids", "sessions", "tags"], np.arange(2))


@given(rows=st.lists(st.tuples(st.booleans(), cells, st.integers(-9, 9)), min_size=2, max_size=12))
@settings(max_examples=30, deadline=None)
def test_every_level_survives(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    frame = pd.DataFrame(rows, columns=["y", "word", "number"]).astype({"y": int})
    frame.to_csv(path, index=False)
    data = table_file(path, "y", task="regression", fields=["word", "number"], separator=",")
    assert data.rows["word"].tolist() == frame["word"].tolist()
    assert data.rows["number"].tolist() == frame["number"].tolist()
    design = build_design(data, ["word*number"], np.arange(len(rows)))
    assert design.shape[1] == len(set(zip(frame["word"], frame["number"], strict=True)))


def test_features_of_a_table(tmp_path: Path) -> None:
    roles = {"fields": ["user", "device"], "numeric": ["price"], "bags": ["tags"]}
    data = table_file(write(tmp_path, CLICKS), "click", **roles)
    everything = build_design(data, ["all"], np.arange(4))
    assert everything.shape == (4, 3 + 3 + 4 + 3)
    z = build_design(data, ["price:standardized"], np.arange(4)).toarray()[:, 0]
    assert z[2] == 0 and z.sum() == pytest.approx(0)
    rare = build_design(data, ["user", "device"], np.arange(4), min_count=2)
    assert rare.block("device").levels.tolist() == [2, -1, -1, 2]
    unseen = build_design(data, ["user", "device"], np.array([0, 1]), min_count=1)
    assert unseen.block("user").levels.tolist() == [0, 0, 1, 2]
    with pytest.raises(
        UserError, match=r"clicks has no feature 'devise' \(did you mean 'device'\?\)"
    ):
        build_design(data, ["devise"], np.arange(4))


@given(text=st.text(":ab", max_size=20), cuts=st.lists(st.integers(0, 20), max_size=4))
@settings(max_examples=100, deadline=None)
def test_separators_are_replaced_across_blocks(text: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(text)]
    blocks = delimited._Blocks(b"::", "the end")
    parts = [text[a:b].encode() for a, b in pairwise(bounds) if a < b]
    read = b"".join(map(blocks, [*parts, b""])).decode()
    assert read == text.replace("::", "\x1f") + "\nthe end\n"
