"""The model equation against the pair sum as it is written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from fm.model import Coefficients, Draws, predict
from tests.fm.data import random_coefficients, random_design
from tests.oracles import fm_predict

MATRICES = [np.asarray, sparse.csr_array, sparse.csc_array, sparse.csr_matrix, sparse.csc_matrix]


@pytest.mark.parametrize("as_matrix", MATRICES)
def test_golden_case(as_matrix):
    """By hand, first row: 2 + 9 * 6 + 2 * 1 + (6 * 0 + 5 * 8) * 6 * 1 = 298."""
    X = as_matrix(np.array([[6.0, 1], [2, 3], [3, 0], [6, 1], [4, 5]]))
    machine = Coefficients(2.0, np.array([9.0, 2]), np.array([[6.0, 5], [0, 8]]))
    np.testing.assert_array_equal(predict(X, machine), [298, 266, 29, 298, 848])


@given(
    X=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 6)),
        elements=st.one_of(st.just(0.0), st.floats(-1e3, 1e3, allow_subnormal=False)),
    ),
    k=st.integers(0, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_equals_pair_sum(X, k, seed):
    machine = random_coefficients(np.random.default_rng(seed), X.shape[1], k)
    expected = fm_predict(X, *machine[:3])
    scale = 1 + np.square(X).sum()
    for as_matrix in MATRICES:
        np.testing.assert_allclose(predict(as_matrix(X), machine), expected, atol=1e-12 * scale)


@pytest.mark.parametrize("seed", range(5))
def test_design_equals_its_matrix(seed):
    rng = np.random.default_rng(seed)
    X = random_design(rng)
    machine = random_coefficients(rng, X.shape[1], k=3)
    np.testing.assert_allclose(
        predict(X, machine), fm_predict(X.to_csr().toarray(), *machine[:3]), atol=1e-12
    )


def test_unknown_level_has_the_given_coefficients():
    """Level -1 with (w, v) of its own is a further level."""
    rng = np.random.default_rng(0)
    X = random_design(rng)
    machine = random_coefficients(rng, X.shape[1], k=3, n_blocks=3)
    columns = [X.to_csr().toarray()] + [(block.levels < 0)[:, None] for block in X]
    expected = fm_predict(
        np.hstack(columns),
        machine.w0,
        np.concatenate([machine.w, machine.unknown[:, 0]]),
        np.vstack([machine.V, machine.unknown[:, 1:]]),
    )
    np.testing.assert_allclose(predict(X, machine), expected, atol=1e-12)


def test_many_rows_are_the_same_as_few(monkeypatch):
    rng = np.random.default_rng(0)
    X = random_design(rng, n_rows=100)
    machine = random_coefficients(rng, X.shape[1], k=3)
    designs, matrices = predict(X, machine), predict(X.to_csr(), machine)
    monkeypatch.setattr("fm.model.CHUNK", 29)
    np.testing.assert_array_equal(predict(X, machine), designs)
    np.testing.assert_allclose(predict(X.to_csr(), machine), matrices, rtol=1e-14)


def test_averaged_is_the_mean_of_the_machines():
    rng = np.random.default_rng(0)
    X = random_design(rng)
    machines = [random_coefficients(rng, X.shape[1], k=3, n_blocks=3) for _ in range(6)]
    parts = (np.array(parts) for parts in zip(*machines, strict=True))
    one = Draws(*parts, *[np.empty(0)] * 3).averaged()
    np.testing.assert_allclose(
        predict(X, one), np.mean([predict(X, m) for m in machines], axis=0), atol=1e-12
    )


def test_wrong_number_of_features():
    with pytest.raises(ValueError, match="X has 3 features, the model 2"):
        predict(np.ones((1, 3)), random_coefficients(np.random.default_rng(0), 2, 1))
