"""Adapters of what others wrote: what they are told, what they are given, what is made of their
answers.
"""

import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.metrics import log_loss

from baselines.external import Package, ffm_lines
from baselines.peers.ffm import FieldAware, FieldAwareClassifier
from baselines.peers.libfm import LibFM, LibFMClassifier
from baselines.peers.modern_fm import ModernFM, ModernFMClassifier
from baselines.peers.myfm import MyFMClassifier
from baselines.peers.scikit_learn import BoostingOnTargetStatistics, statistics
from baselines.peers.surprise import SVD
from fm.design import UNKNOWN, Block, Design

LIBFM = """
groups = [int(line) for line in open(option["-meta"])]
expected = {"-task": "r", "-dim": "1,1,3", "-iter": "7", "-seed": "5", "-method": "als"}
expected["-regular"] = "0,1,10"
assert {key: option[key] for key in expected} == expected, option
def rows(path):
    for line in open(path):
        assert re.fullmatch(r"-?[\\d.e+-]+( \\d+:[\\d.e+-]+)* ?\\n", line), line
        target, *cells = line.split()
        cells = [cell.split(":") for cell in cells]
        assert [int(c) for c, _ in cells] == sorted({int(c) for c, _ in cells}), line
        assert all(int(c) < len(groups) and float(v) for c, v in cells), line
        yield float(target), sum((1 + groups[int(c)]) * float(v) for c, v in cells)
learned = sum(target for target, _ in rows(option["-train"]))
test = list(rows(option["-test"]))
assert not any(target for target, _ in test)
open(option["-out"], "w").write("".join(f"{learned + weight}\\n" for _, weight in test))
"""
FFM = """
def rows(path):
    for line in open(path):
        assert re.fullmatch(r"-?[\\d.e+-]+( \\d+:\\d+:[\\d.e+-]+)*\\n", line), line
        target, *cells = line.split()
        yield float(target), [cell.split(":") for cell in cells]
if "-m" in option:
    assert "USER" in os.environ
    assert (option["-s"], option["-k"], option["-r"]) == ("5", "3", "0.1")
    open(option["-m"], "w").write(str(sum(target for target, _ in rows(words[0]))))
else:
    learned = float(open(words[1]).read())
    parts = ([100 * int(f) + int(j) * float(v) for f, j, v in cells] for _, cells in rows(words[0]))
    said = [learned + sum(part) for part in parts]
    open(option["-o"], "w").write("".join(f"{value}\\n" for value in said))
"""


@pytest.fixture
def program(tmp_path: Path):
    """Writes a program that keeps to what the real one reads and writes, and whose answers are
    known.
    """

    def program(name: str, body: str) -> str:
        path = tmp_path / name
        reads = (
            "words = sys.argv[1:]\n"
            "option = {a: b for a, b in zip(words, words[1:]) if a[0] == '-'}\n"
        )
        path.write_text(f"#!{sys.executable}\nimport os, re, sys\n{reads}{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return program


@pytest.fixture
def described() -> Design:
    """Two blocks, the second with two side features; rows without a user, an item, or either."""
    side = sparse.csr_array([[0.5, 0.0], [0.0, 2.0], [0.0, 0.0]])
    return Design(
        (
            Block("user", [0, 1, UNKNOWN, UNKNOWN], 2),
            Block("item", [1, UNKNOWN, 0, UNKNOWN], 3, side_features=side),
        )
    )


RATINGS = np.array([5.0, 3.5, 1.0, 4.0])


def test_libfm_is_given_its_format_and_its_answer_is_taken(described: Design, program) -> None:
    """The stand-in answers the sum of the ratings it learned from, and of each feature's value
    times its group's
    number; columns are users 0 and 1, items 2 to 4, side features 5 and 6.
    """
    path = program("libFM", LIBFM)
    model = LibFM(path, arguments="-method als -regular '0,1,10'", k=3, n_iter=7, random_state=5)
    prediction = model.fit(described, RATINGS).predict(described)
    groups = [1, 1, 2, 2, 2, 3, 3]
    np.testing.assert_allclose(prediction, 13.5 + described.to_csr() @ groups)
    assert model.n_parameters_ == 1 + 4 * 7


def test_ffm_lines_name_a_field_for_levels_and_one_for_what_describes_them(
    described: Design,
) -> None:
    lines = "5 0:0:1 1:3:1 2:6:2\n3.5 0:1:1\n1 1:2:1 2:5:0.5\n4\n"
    assert "".join(ffm_lines(described, RATINGS)) == lines


def test_field_aware_program_learns_by_one_command_and_predicts_by_another(
    described: Design, program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in answers the sum of the ratings it learned from, and of field and feature of each
    cell. Of the last
    row nothing is known, so that it is neither learned from nor asked for.
    """
    monkeypatch.delenv("USER", raising=False)
    programs = program("xlearn_train", FFM), program("xlearn_predict", FFM)
    model = FieldAware(*programs, k=3, learning_rate=0.1).fit(described, RATINGS)
    expected = [9.5 + 0 + 103 + 212, 9.5 + 1, 9.5 + 102 + 202.5, RATINGS.mean()]
    np.testing.assert_allclose(model.predict(described), expected)
    np.testing.assert_allclose(model.predict(described[3:]), RATINGS.mean())
    with pytest.raises(ValueError, match="the design's blocks"):
        model.predict(Design((Block("user", [0], 2),)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('no memory'); sys.exit(3)", r"(?s)libFM failed with exit status 3: .*no memory"),
        (
            "open(option['-out'], 'w').write('nan\\n')",
            "libFM gave no finite prediction for each of 1 rows",
        ),
        ("", "libFM gave no finite prediction for each of 1 rows"),
    ],
)
def test_a_program_that_fails_says_why(described: Design, program, body: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        LibFM(program("libFM", body)).fit(described, RATINGS)


def test_what_is_not_there_is_named(described: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = LibFM("/nowhere/libFM")
    reason = "libFM is not installed: there is no program /nowhere/libFM, give its path"
    assert absent.unavailable() == reason
    with pytest.raises(FileNotFoundError, match=reason):
        absent.fit(described, RATINGS)
    monkeypatch.setattr(Package, "package", "no_such_package", raising=False)
    monkeypatch.setattr(Package, "title", "Nothing", raising=False)
    with pytest.raises(ImportError, match=r"Nothing is not installed, see the extra \[peers\]"):
        Package.module()


def test_libfm_refuses_what_it_cannot_do(program) -> None:
    path = program("libFM", LIBFM)
    linear = Design((Block("user", [0], 1), Block("session", [0], 1, linear=True)))
    with pytest.raises(ValueError, match=r"gives every feature factors; blocks \['session'\]"):
        LibFM(path).fit(linear, [1.0])
    with pytest.raises(ValueError, match="arguments must do without -train"):
        LibFM(path, arguments="-train mine").check_params()


def test_statistics_leave_out_the_row_and_its_fold() -> None:
    """By hand: rows of level 0 in folds 0, 0, 1; of level 1 in fold 1; one of no level."""
    side = sparse.csr_array([[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    block = Block("user", [0, 0, 0, 1, UNKNOWN], 3, side_features=side)
    residual, fold = np.array([1.0, 2.0, 4.0, -3.0, 100.0]), np.array([0, 0, 1, 1, 0])
    table = statistics(block, residual, fold, n_folds=2, smoothing=2.0)
    assert table.shape == (4, 3, 3)
    np.testing.assert_allclose(
        table[:, :, 0], [[4 / 3, 3 / 4, 7 / 5], [-1, 0, -1], [0, 0, 0], [0, 0, 0]]
    )
    np.testing.assert_allclose(
        np.expm1(table[:, :, 1]), [[1, 2, 3], [1, 0, 1], [0, 0, 0], [0, 0, 0]]
    )
    # The first side feature is of level 0 alone; the second of both, where level 1 counts twice.
    of_side = [7 / 5, (7 - 6) / (3 + 2 + 2)]
    np.testing.assert_allclose(table[:, 2, 2], [np.mean(of_side), of_side[1], 0, 0])


def test_a_rating_does_not_enter_its_own_statistics(rng: np.random.Generator) -> None:
    """Of noise there is nothing to learn: with statistics that knew their own row, users of one
    rating would be
    predicted perfectly.
    """
    X = Design((Block("user", np.arange(600), 600), Block("item", rng.integers(5, size=600), 5)))
    y = rng.standard_normal(600)
    prediction = BoostingOnTargetStatistics(n_leaves=4, smoothing=0.1).fit(X, y).predict(X)
    assert np.corrcoef(prediction, y)[0, 1] < 0.5


def test_surprise_counts_what_it_keeps_and_knows_the_unknown(design: Design, y: np.ndarray) -> None:
    pytest.importorskip("surprise")
    model = SVD(k=3).fit(design, y)
    users, items = (len(np.unique(block.levels)) for block in design)
    assert model.n_parameters_ == 1 + 4 * (users + items)
    inner = model.model_
    user, item = design.blocks[0].levels[7], design.blocks[1].levels[7]
    u, i = inner.trainset.to_inner_uid(user), inner.trainset.to_inner_iid(item)
    expected = y.mean() + inner.bu[u] + inner.bi[i] + inner.pu[u] @ inner.qi[i]
    np.testing.assert_allclose(model.predict(design[7:8]), expected)
    stranger = Design((Block("user", [UNKNOWN], 30), Block("item", [item], 20)))
    np.testing.assert_allclose(model.predict(stranger), y.mean() + inner.bi[i])


def test_rows_of_an_unknown_user_teach_surprise_nothing(design: Design, y: np.ndarray) -> None:
    pytest.importorskip("surprise")
    users, items = design
    levels = users.levels.copy()
    levels[:50] = UNKNOWN
    partly = Design((Block("user", levels, 30), items))
    expected = SVD(k=2, n_iter=2).fit(partly[50:], y[50:]).predict(design)
    np.testing.assert_array_equal(SVD(k=2, n_iter=2).fit(partly, y).predict(design), expected)


@pytest.fixture
def clicks(rng: np.random.Generator) -> tuple[Design, np.ndarray]:
    """Two fields with side features of the second, and classes that follow from their levels."""
    user, item = rng.integers(12, size=3000), rng.integers(9, size=3000)
    score = 1.5 * rng.standard_normal(12)[user] + 1.5 * rng.standard_normal(9)[item]
    side = sparse.csr_array(rng.random((9, 2)).round(2))
    X = Design((Block("user", user, 12), Block("item", item, 9, side_features=side)))
    return X, np.where(rng.random(3000) < expit(score), 5, 2)


@pytest.mark.parametrize(
    "model",
    [
        MyFMClassifier(k=3, n_iter=40),
        LibFMClassifier(k=3, n_iter=40),
        FieldAwareClassifier(k=4, n_iter=20),
        *(ModernFMClassifier(kind, k=3, n_iter=5) for kind in ("fm", "ffm", "fwfm")),
    ],
    ids=str,
)
def test_classifiers_of_others_learn_what_follows_from_the_levels(
    model: MyFMClassifier | LibFMClassifier | ModernFMClassifier, clicks: tuple
) -> None:
    """Half of the way at least from the base rate to the rows' own log loss of the truth."""
    if reason := model.unavailable():
        pytest.skip(reason)
    X, y = clicks
    p = model.fit(X[:2000], y[:2000]).predict_proba(X[2000:])
    assert model.classes_.tolist() == [2, 5]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    one = y[2000:] == 5
    assert log_loss(one, p[:, 1]) < log_loss(one, np.full(1000, one.mean())) - 0.1
    predicted = model.predict(X[2000:])
    assert set(predicted) == {2, 5} and np.mean(predicted == y[2000:]) > 0.65


def test_xlearn_learns_what_follows_from_the_levels(clicks: tuple) -> None:
    model = FieldAware(k=2, n_iter=20)
    if reason := model.unavailable():
        pytest.skip(reason)
    X, labels = clicks
    y = (labels == 5) * 1.0
    prediction = model.fit(X[:2000], y[:2000]).predict(X[2000:])
    assert np.mean((prediction - y[2000:]) ** 2) < 0.9 * y[2000:].var()


@pytest.mark.parametrize("kind", ["fm", "ffm"])
def test_modern_fm_is_given_the_fields_of_the_columns(kind: str, clicks: tuple) -> None:
    """Its predictions are those of its tables, by the formula at the head of the adapter's file."""
    if reason := ModernFM.unavailable():
        pytest.skip(reason)
    X, labels = clicks
    model = ModernFM(kind, k=3, n_iter=2).fit(X, (labels == 5) * 1.0)
    inner, rows = model.model_, X[:20].to_csr().toarray()
    field = np.repeat([0, 1, 2], [12, 9, 2])
    V = inner.V_ if kind == "ffm" else np.repeat(inner.V_[:, None], 3, axis=1)
    pairs = np.einsum("ijk,jik->ij", V[:, field], V[:, field])
    expected = (
        model.mean_
        + inner.w0_
        + rows @ inner.w_
        + np.einsum("ni,nj,ij->n", rows, rows, np.triu(pairs, 1))
    )
    np.testing.assert_allclose(model.predict(X[:20]), expected, atol=1e-4)
    assert model.n_parameters_ == 1 + inner.w_.size + inner.V_.size
    with pytest.raises(ValueError, match="kind=fwfm for two classes only"):
        ModernFM("fwfm").fit(X, labels)


def test_what_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_peer.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Package, "package", "broken_peer", raising=False)
    monkeypatch.setattr(Package, "title", "Broken", raising=False)
    assert "Broken is installed, but cannot be imported: No module" in Package.unavailable()
