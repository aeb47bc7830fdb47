"""Frappe, Douban and MovieLens 1M without time, from folders that the user names."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.data import douban, frappe, ml1m_without_time
from bench.data.dataset import Dataset
from bench.data.splits import default, kfold
from bench.errors import DataUnavailable
from bench.features import build_design

TABLES = {
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n3::M::25::15::55117\n",
    "movies.dat": "1::Toy Story (1995)::Animation|Comedy\n2::Jumanji (1995)::Fantasy\n",
}
PAIRS = [(1, 2, 5), (1, 1, 3), (2, 1, 4), (3, 2, 1)]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def csv(rows: list[tuple[int, int, int]]) -> str:
    return "user,item,rating\n" + "".join(f"{u},{i},{r}\n" for u, i, r in rows)


@pytest.mark.parametrize(
    ("load", "variable", "first"),
    [
        (frappe, "FRAPPE_DIR", "frappe.train.libfm"),
        (douban, "DOUBAN_DIR", "douban.train.csv"),
        (ml1m_without_time, "ML1M_DIR", "users.dat"),
    ],
)
def test_a_missing_folder_or_file_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: Callable[..., Dataset],
    variable: str,
    first: str,
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DataUnavailable, match=f"set data.path or {variable}"):
        load()
    with pytest.raises(DataUnavailable, match=f"no file .*{first}.*{variable}"):
        load(tmp_path)
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(DataUnavailable, match=f"no file .*{first}"):
        load()


def test_frappe_has_ten_fields_and_its_split(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        row = " ".join(f"{2 * f + (part == 'test')}:1" for f in range(10))
        other = " ".join(f"{2 * f}:1" for f in range(10))
        write(tmp_path, {f"frappe.{part}.libfm": f"1 {row}\n-1 {other}\n"})
    data = frappe(tmp_path)
    assert data.fields[:2] == ("user", "item") and len(data.fields) == 10
    split = default(data)
    assert [len(split.train), len(split.validation), len(split.test)] == [2] * 3
    assert len(build_design(data, ["ids"], np.arange(6)).blocks) == 10


def test_redrawn_negatives_of_frappe_are_apps_that_the_user_never_opened(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        f"{label} " + " ".join(f"{c}:1" for c in (user, 5 + app, *range(20, 28)))
        for label, user, app in zip(
            *(
                x.tolist()
                for x in (rng.choice([-1, 1], 90), *rng.integers([[5], [8]], size=(2, 90)))
            ),
            strict=True,
        )
    ]
    names = [f"frappe.{part}.libfm" for part in ("train", "validation", "test")]
    write(tmp_path, {name: "\n".join(lines[i::3]) + "\n" for i, name in enumerate(names)})
    before, one, other, again = (frappe(tmp_path, redraw=seed) for seed in (None, 0, 1, 0))
    negative = np.flatnonzero(before.y[:30] == 0)
    others = np.setdiff1d(np.arange(90), negative)
    assert one.digest == again.digest != other.digest
    assert one.rows.iloc[others].equals(before.rows.iloc[others])
    assert one.rows.drop(columns="item").equals(before.rows.drop(columns="item"))
    pairs = [list(zip(d.rows["user"], d.rows["item"], strict=True)) for d in (before, one)]
    opened = {pair for pair, y in zip(pairs[0], before.y, strict=True) if y == 1}
    assert opened.isdisjoint(pairs[1][i] for i in negative)


def test_douban_has_its_split_and_its_scale(tmp_path: Path) -> None:
    write(tmp_path, {"douban.train.csv": csv(PAIRS[:3]), "douban.test.csv": csv(PAIRS[3:])})
    data = douban(tmp_path)
    assert (data.task, data.scale, data.y.tolist()) == ("rating", (1, 5), [5, 3, 4, 1])
    split = default(data, validation=0.0)
    assert (split.development.tolist(), split.test.tolist()) == ([0, 1, 2], [3])


def test_implicit_feedback_of_douban_is_of_training_rows(tmp_path: Path) -> None:
    write(tmp_path, {"douban.train.csv": csv(PAIRS[:3]), "douban.test.csv": csv(PAIRS[3:])})
    data = douban(tmp_path)
    users, items = build_design(data, ["ids", "implicit", "implicit_items"], np.arange(3)).blocks
    root = 0.5**0.5
    assert np.allclose(users.side_features.toarray(), [[root, root], [1, 0], [0, 0]])
    assert np.allclose(items.side_features.toarray(), [[root, root, 0], [1, 0, 0]])


def test_ml1m_without_time_is_the_same_from_either_file(tmp_path: Path) -> None:
    write(tmp_path, TABLES | {"ratings.dat": "".join(f"{u}::{i}::{r}::97\n" for u, i, r in PAIRS)})
    published = ml1m_without_time(tmp_path)
    write(tmp_path, {"ratings.csv": csv(PAIRS)})
    data = ml1m_without_time(tmp_path)
    assert data.digest == published.digest and data.time is None and data.scale == (1, 5)
    assert data.tables["user"].loc[2, "gender"] == "M" and data.tables["item"].loc[2, "Fantasy"]
    tested = np.concatenate([kfold(data, fold=fold, n_folds=4).test for fold in range(4)])
    assert sorted(tested) == [0, 1, 2, 3]


@pytest.mark.skipif("FRAPPE_DIR" not in os.environ, reason="FRAPPE_DIR names no copy of Frappe")
def test_the_real_frappe() -> None:
    data = frappe()
    assert (len(data), round(float(data.y.mean()), 4)) == (288_609, 0.3333)
    levels = [data.rows[name].nunique() for name in data.fields]
    assert levels == [957, 4082, 7, 7, 2, 3, 2, 9, 80, 233]


@pytest.mark.skipif("DOUBAN_DIR" not in os.environ, reason="DOUBAN_DIR names no copy of Douban")
def test_the_real_douban() -> None:
    data = douban()
    assert [len(rows) for rows in data.splits["given"]] == [123_202, 13_689]
    assert (data.rows["user"].nunique(), data.rows["item"].nunique()) == (2999, 3000)
