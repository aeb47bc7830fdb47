"""MovieLens-100K: found, verified, typed; on a tiny set of the same format, and for real."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench.data
from bench.data import movielens_releases as releases
from bench.data.dataset import Dataset
from bench.data.movielens_releases import RELEASES
from bench.data.splits import published
from bench.errors import DataUnavailable, UserError
from tests.bench.conftest import Server
from tests.bench.tiny_ml100k import RATINGS, TEST_ROWS, ml100k_files, sha256_of, zip_of

REFUSED = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML100K_DIR", raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(files: dict[str, bytes], name: str = "given") -> Path:
        (tmp_path / name).mkdir(parents=True)
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
        return tmp_path / name

    return write


def load(
    path: Path | None = None, files: dict[str, bytes] | None = None, **options: object
) -> Dataset:
    md5 = options.pop("md5", None)
    release = replace(RELEASES["ml100k"], files=sha256_of(files or ml100k_files()), md5=md5)
    return releases.load(release, path, **options)


def test_ratings_as_written(write: Callable) -> None:
    data = load(write(ml100k_files()))
    assert list(data.rows.itertuples(index=False, name=None)) == RATINGS
    assert data.rows.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert (data.name, data.scale, data.simulated) == ("ml100k", (1.0, 5.0), False)


def test_users_as_written(write: Callable) -> None:
    users = load(write(ml100k_files())).tables["user"]
    assert users.loc[3].tolist() == [7, "M", "writer", "01002", "0"]
    assert users["zip_code"].tolist() == ["85711", "V3N4P", "01002"]
    assert users["zip_area"].tolist() == ["8", "other", "0"]
    described = ("age", "gender", "occupation", "zip_area")
    assert [str(users[name].dtype) for name in described] == [
        "int64",
        "category",
        "category",
        "category",
    ]


def test_items_as_written(write: Callable) -> None:
    items = load(write(ml100k_files())).tables["item"]
    assert items["title"].tolist() == ["Toy Story (1995)", '"Misérables", Les (1934)', "unknown"]
    assert items["release_date"][2] == pd.Timestamp(1934, 2, 4)
    assert items["release_date"].isna().tolist() == [False, False, True]
    assert items["year"].tolist()[:2] == [1995, 1934]
    assert items["decade"].tolist()[:2] == ["1990s", "1930s"] and items["decade"].isna()[3]
    genres = items.select_dtypes("bool")
    assert genres.shape == (3, 19)
    assert [list(genres.columns[flags]) for flags in genres.to_numpy()] == [
        ["genre1", "genre5"],
        ["genre8"],
        [],
    ]


def test_splits_as_published(write: Callable) -> None:
    data = load(write(ml100k_files()))
    assert list(data.splits) == list(TEST_ROWS)
    for name, test_rows in TEST_ROWS.items():
        train, test = data.splits[name]
        assert test.tolist() == sorted(test_rows, key=RATINGS.__getitem__)
        assert train.tolist() == sorted(set(range(6)) - set(test_rows), key=RATINGS.__getitem__)


@pytest.mark.parametrize("line", [b"1\t3\t5\t80\n", b"1\t3\t4\t81\n", b"3\t1\t4\t80\n"])
def test_split_with_another_rating(write: Callable, line: bytes) -> None:
    files = ml100k_files() | {"u4.test": b"1\t1\t5\t100\n" + line}
    data = load(write(files), files)
    with pytest.raises(UserError, match=r"u4.test, line 2: this rating is not in .*u.data"):
        data.splits["u4"]


def test_split_whose_test_part_overlaps_train(write: Callable) -> None:
    files = ml100k_files()
    files["u4.base"] += files["u4.test"]
    data = load(write(files), files)
    with pytest.raises(UserError, match="split u4: test overlaps train in 1 row"):
        published(data, "u4")


def test_missing_file(write: Callable) -> None:
    folder = write({name: content for name, content in ml100k_files().items() if name != "u2.base"})
    with pytest.raises(UserError, match=r"u2.base is missing; data.path or ML100K_DIR must be"):
        load(folder, url=REFUSED)


def test_changed_file(write: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML100K_DIR", str(write(ml100k_files() | {"u.data": b"1\t1\t5\t100\n"})))
    with pytest.raises(
        UserError, match=r"u.data differs from the published file: its sha256 is \w{64}, not \w{64}"
    ):
        load(url=REFUSED)


def test_given_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere; data.path or ML100K_DIR"):
        bench.data.ml100k_or_planted(str(tmp_path / "nowhere"))


def test_argument_goes_before_environment(write: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML100K_DIR", "/nowhere")
    assert len(load(write(ml100k_files())).rows) == 6


def test_cache_goes_before_download(write: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(ml100k_files(), "fm-bench/ml-100k")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent.parent))
    assert len(load(url=REFUSED).rows) == 6
    (folder / "u.user").write_bytes(b"")
    with pytest.raises(
        UserError, match=f"u.user differs.*; delete {folder} to have it downloaded again"
    ):
        load(url=REFUSED)


def test_download_shows_the_licence_once(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    server.content = zip_of(ml100k_files())
    options = {"url": server.folder, "md5": server.md5, "cache": tmp_path}
    first = load(**options)
    said = capsys.readouterr().err
    assert "no redistribution and no commercial use without GroupLens' permission." in said
    assert f"permission. The whole: {tmp_path}" in said
    second = load(**options)
    assert capsys.readouterr().err == ""
    assert server.n_requests == 1
    assert first.digest == second.digest


def test_digest_is_that_of_the_content(write: Callable) -> None:
    files = ml100k_files()
    other = files | {"u.user": files["u.user"].replace(b"24", b"25")}
    digests = [load(write(f, str(i)), f).digest for i, f in enumerate([files, files, other])]
    assert digests[0] == digests[1] != digests[2]


def test_unreachable_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"neither given nor cached.*refused.*set ML100K_DIR"):
        load(cache=tmp_path, url=REFUSED)


def test_simulated_ratings_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "planted", lambda: bench.data.planted(60, 50, 1300))
    data = bench.data.ml100k_or_planted(cache=str(tmp_path), url=REFUSED)
    assert data.simulated
    assert data.name == "planted"
    assert "set ML100K_DIR" in (said := capsys.readouterr().err)
    assert "SIMULATED" in said


@pytest.mark.ml100k
def test_real_data(ml100k: Dataset) -> None:
    ratings = ml100k.rows
    assert len(ratings) == 100_000
    assert ratings.iloc[0].tolist() == [196, 242, 3, 881250949]
    assert ratings["rating"].mean() == pytest.approx(3.52986)
    assert not ratings.duplicated(["user", "item"]).any()
    assert len(ml100k.tables["user"]) == 943
    assert ml100k.tables["user"]["zip_area"].value_counts()[["0", "9", "other"]].tolist() == [
        96,
        170,
        18,
    ]
    assert len(ml100k.tables["item"]) == 1682
    assert ml100k.tables["item"]["year"].isna().sum() == 1
    assert "Misérables, Les (1995)" in set(ml100k.tables["item"]["title"])


@pytest.mark.ml100k
def test_real_splits(ml100k: Dataset) -> None:
    for name, (train, test) in ml100k.splits.items():
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(100_000))
        assert len(test) == (9430 if name in ("ua", "ub") else 20_000)
        users = ml100k.rows["user"].to_numpy()
        assert (np.diff(users[train]) >= 0).all()
        if name in ("ua", "ub"):
            assert (np.bincount(users[test])[1:] == 10).all()
    folds = np.concatenate([ml100k.splits[f"u{fold}"][1] for fold in range(1, 6)])
    assert np.array_equal(np.sort(folds), np.arange(100_000))
    assert not np.intersect1d(ml100k.splits["ua"][1], ml100k.splits["ub"][1]).size
