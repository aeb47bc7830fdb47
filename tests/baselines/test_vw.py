"""Vowpal Wabbit as a program: what it is told, what it is given, what is made of its answer."""

import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest

from baselines import RidgeRegression, VowpalWabbit, external, vw
from baselines.external import namespaces, vw_lines
from fm.design import UNKNOWN, Block, Design

pytestmark = pytest.mark.slow

RANK = {"q": "ui", "rank": 3, "l2": 0.001, "learning_rate": 0.015, "decay_learning_rate": 0.97}
RANK |= {"power_t": 0}
LRQ = {"lrq": "ui2", "lrqdropout": True}


@pytest.fixture(autouse=True)
def no_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.iterdir())


def fitted(
    X: Design, y: np.ndarray, arguments: dict | None = None, **parameters: object
) -> VowpalWabbit:
    return VowpalWabbit(arguments or {}, **{"random_state": 0, **parameters}).fit(X, y)


def test_lines_are_those_of_the_published_runs() -> None:
    user = Block("user", [0, 1, 0, UNKNOWN], 2, labels=np.array([196, 22]))
    item = Block("item", [1, 1, UNKNOWN, UNKNOWN], 2, labels=np.array([242, 377]))
    X = Design((user, item))
    lines = "5 |u 196 |i 377\n3.5 |u 22 |i 377\n-1 |u 196 |i\n0.333333333 |u |i\n"
    assert "".join(vw_lines(X, np.array([5, 3.5, -1, 1 / 3]))) == lines
    assert list(vw_lines(X[:1])) == [" |u 196 |i 377\n"]


def test_lines_come_in_pieces(
    design: Design, y: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(vw_lines(design, y))
    monkeypatch.setattr(external, "ROWS", 150)
    pieces = list(vw_lines(design, y))
    assert [piece.count("\n") for piece in pieces] == [150, 150, 100]
    assert ["".join(pieces)] == whole


def test_every_block_has_a_letter_of_its_own() -> None:
    names = ["user", "item", "item_age", "day", "second", "half_hour", "hour"]
    X = Design([Block(name, [0], 1, linear=name in names[4:]) for name in names])
    assert namespaces(X) == list("uitdsho")
    assert list(vw_lines(X)) == [" |u 0 |i 0 |t 0 |d 0 |s 0 |h 0 |o 0\n"]
    for names, letters in ((("user", "é"), "ua"), (("ab", "ba", "aab"), "abc")):
        assert namespaces(Design([Block(name, [0], 1) for name in names])) == list(letters)
    many = Design([Block(f"field_{n}", [0], 1) for n in range(63)])
    assert len(set(namespaces(Design(many.blocks[:62])))) == 62
    with pytest.raises(ValueError, match="there are 62 for 63 blocks"):
        namespaces(many)


def test_names_keep_apart_what_differs() -> None:
    """Blanks, colons, bars, an empty name, and a side feature called like a level."""
    labels = np.array(["a b", "a%20b", "a:2", "a|b", "", "%", "é"])
    side = np.vstack([[1.0, 0.25], np.zeros((6, 2))])
    block = Block(
        "user",
        np.arange(7),
        7,
        side_features=side,
        labels=labels,
        side_feature_names=("a%20b", "age:18 to 24"),
    )
    lines = "".join(vw_lines(Design([block]))).splitlines()
    assert lines[0] == " |u a%20b @a%2520b:1 @age%3A18%20to%2024:0.25"
    names = [name for line in lines for name in line.removeprefix(" |u ").split(" ")]
    assert len(set(names)) == 9 and all(name.isascii() and "|" not in name for name in names)


def test_learns_the_rows_in_their_order(design: Design, y: np.ndarray) -> None:
    """One pass of online learning depends on the order; y = f(user) is learned by many."""
    forward = fitted(design, y).predict(design)
    assert np.abs(fitted(design[::-1], y[::-1]).predict(design) - forward).max() > 1e-3
    y = 1.0 + design.blocks[0].levels % 5
    model = fitted(design, y, passes=60)
    np.testing.assert_allclose(model.predict(design), y, atol=0.05)
    np.testing.assert_allclose(model.predict(design[::-1]), model.predict(design)[::-1])


def test_finds_the_least_squares_solution(rng: np.random.Generator) -> None:
    """An independent solver of the same linear model."""
    X = Design(
        (Block("user", rng.integers(6, size=600), 6), Block("item", rng.integers(5, size=600), 5))
    )
    y = (
        rng.normal(3, 0.5, size=6)[X.blocks[0].levels]
        + rng.normal(size=5)[X.blocks[1].levels]
        + rng.normal(size=600)
    )
    y += 1 - y.min()
    expected = RidgeRegression(l2=1e-6).fit(X, y).predict(X)
    np.testing.assert_allclose(fitted(X, y, passes=100).predict(X), expected, atol=0.1)


def test_side_features_reach_vw(rng: np.random.Generator) -> None:
    side = rng.uniform(size=(200, 1))
    X = Design([Block("user", np.arange(200), 200, side_features=side)])
    y = 1 + 3 * side[:, 0]
    model = fitted(X[:150], y[:150], passes=50)
    assert np.mean((model.predict(X[150:]) - y[150:]) ** 2) < 0.2 * np.var(y)


@pytest.mark.parametrize("arguments", [{}, {"q": "ui"}, RANK, LRQ | {"hash": "all"}])
def test_same_seed_same_predictions_also_pickled(
    design: Design, y: np.ndarray, arguments: dict
) -> None:
    model = fitted(design, y, arguments, passes=3)
    expected = model.predict(design)
    np.testing.assert_array_equal(fitted(design, y, arguments, passes=3).predict(design), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(design), expected)
    strangers = Design((Block("user", [29, UNKNOWN], 30), Block("item", [UNKNOWN, UNKNOWN], 20)))
    assert np.isfinite(model.predict(strangers)).all()
    with pytest.raises(ValueError, match="no rows"):
        model.predict(design[:0])


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": {"q": "ui"}},
        {"passes": 2},
        {"passes": 5, "holdout": True},
        {"bits": 2},
        {"random_state": 1},
    ],
)
def test_every_knob_bites(design: Design, y: np.ndarray, changed: dict) -> None:
    base = {"arguments": LRQ, "passes": 5, "random_state": 0}
    expected = VowpalWabbit(**base).fit(design, y).predict(design)
    assert not np.array_equal(
        VowpalWabbit(**base | changed).fit(design, y).predict(design), expected
    )


def test_low_rank_pairs_of_all_fields_are_named_to_vw(rng: np.random.Generator) -> None:
    X = Design(Block(name, rng.integers(0, 4, 60), 4) for name in ("user", "item", "day"))
    y = rng.integers(1, 6, 60).astype(np.float64)
    named = {"hash": "all", "lrq": ["ui2", "ud2", "id2"]}
    expected = fitted(X, y, named, passes=3).predict(X)
    got = fitted(X, y, {"hash": "all", "lrq": "::2"}, passes=3).predict(X)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("arguments", [{"q": "ux"}, {"lrq": "xi4"}, {"q": "::", "cubic": "uix"}])
def test_a_namespace_that_no_row_has_is_refused(
    design: Design, y: np.ndarray, arguments: dict
) -> None:
    with pytest.raises(ValueError, match="cross the namespace x, but the rows have u, i"):
        fitted(design, y, arguments)


def test_random_state_none_and_generator(design: Design, y: np.ndarray) -> None:
    def predict(random_state: np.random.Generator | None) -> np.ndarray:
        return VowpalWabbit(LRQ, random_state=random_state).fit(design, y).predict(design)

    np.testing.assert_array_equal(
        predict(np.random.default_rng(5)), predict(np.random.default_rng(5))
    )
    assert not np.array_equal(predict(None), predict(None))


def test_arguments_become_words() -> None:
    named = {"q": ["ui", "uu"], "l2": 1e-3, "sgd": True, "rank": None, "bfgs": False}
    words = "-q ui -q uu --l2 0.001 --sgd"
    assert vw.command_line(named, ["u", "i"]) == words.split()


def test_history_has_an_entry_a_pass(design: Design, y: np.ndarray) -> None:
    model = fitted(design, y, passes=4)
    assert list(model.history_) == ["train_mse"] and len(model.history_["train_mse"]) == 4
    assert (np.diff(model.history_["train_mse"]) < 0).all()
    withheld = fitted(design, y, passes=4, holdout=True).history_
    assert list(withheld) == ["withheld_mse"] and 1 <= len(withheld["withheld_mse"]) <= 3


def test_parameters_and_memory(design: Design, y: np.ndarray) -> None:
    n_pairs = len(np.unique(design.blocks[0].levels * 20 + design.blocks[1].levels))
    assert fitted(design, y, bits=24).n_parameters_ == 29 + 19 + 1
    assert fitted(design, y, {"q": "ui"}, bits=24).n_parameters_ == 29 + 19 + 1 + n_pairs
    assert fitted(design, y, RANK).n_parameters_ == (29 + 19) * (1 + 3) + 1
    with_day = Design([*design, Block("day", np.arange(400) % 7, 7)])
    assert fitted(with_day, y, RANK).n_parameters_ == (29 + 19) * (1 + 3) + 7 + 1
    small, large = (fitted(design, y, arguments).peak_memory_ for arguments in ({}, RANK))
    if small is not None:
        assert 2**20 < small < small + 3 * 2**20 < large < 2**30


def test_memory_is_that_of_vw_not_of_its_parent(design: Design, y: np.ndarray) -> None:
    ballast = np.ones(2**27 // 8)
    memory = fitted(design, y).peak_memory_
    assert memory is None or memory < ballast.nbytes


def test_interrupted_fit_leaves_no_process(
    design: Design, y: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def interrupt(pid: int) -> None:
        started.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(external, "peak_memory", interrupt)
    with pytest.raises(KeyboardInterrupt):
        VowpalWabbit(passes=100_000).fit(design, y)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_failure_shows_what_vw_said(design: Design, y: np.ndarray) -> None:
    with pytest.raises(
        RuntimeError, match=r"(?s)failed with exit status.*unrecognised option '--no_such_option'"
    ):
        VowpalWabbit({"no_such_option": True}).fit(design, y)


def test_rows_that_vw_skips_are_noticed(design: Design, y: np.ndarray) -> None:
    with pytest.raises(RuntimeError, match="did not see the 400 rows"):
        VowpalWabbit({"examples": 100}).fit(design, y)


def test_only_regression(design: Design, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"(?s)predict something other than a number.*MULTICLASS"):
        VowpalWabbit({"oaa": 5}).fit(design, y)


def test_divergence_is_an_error(design: Design, y: np.ndarray) -> None:
    """VW puts 0 for a prediction that is not a number, and ends as if all were well."""
    with pytest.raises(RuntimeError, match=r"diverged .*NAN prediction in example"):
        fitted(design, y, {"sgd": True, "learning_rate": 1e30, "l2": 1e30}, passes=2)


@pytest.mark.parametrize("answer", ["1.0\n" * 399, "1.0\n" * 399 + "nan\n"])
def test_every_row_needs_a_finite_prediction(
    design: Design, y: np.ndarray, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    def run(arguments: list[str], folder: str) -> tuple[str, None]:
        Path(folder, "predictions").write_text(answer)
        return "number of examples = 400\n", None

    model = fitted(design, y)
    monkeypatch.setattr(vw, "_run", run)
    with pytest.raises(RuntimeError, match="no finite prediction for each of 400 rows"):
        model.predict(design)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"passes": 0}, ValueError, "passes must be at least 1, got 0"),
        ({"bits": 18.5}, TypeError, "bits must be a whole number"),
        ({"holdout": 1}, TypeError, "holdout must be True or False, got 1"),
        ({"random_state": -1}, ValueError, "random_state must be at least 0"),
        ({"arguments": {"q": "ui", "passes": 3}}, ValueError, "without passes: set passes"),
        ({"arguments": {"cache_file": "x"}}, ValueError, "without cache_file"),
        ({"arguments": {"b": 18}}, ValueError, "without b: set bits"),
        ({"arguments": "-q ui"}, TypeError, "arguments must be names and values, got '-q ui'"),
    ],
)
def test_bad_hyperparameters(parameters: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        VowpalWabbit(**parameters).check_params()


def test_bad_input(design: Design, y: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"fm\.design\.Design"):
        VowpalWabbit().fit(design.to_csr(), y)
    with pytest.raises(ValueError, match="the design's blocks"):
        fitted(design, y).predict(Design(design.blocks[:1]))
