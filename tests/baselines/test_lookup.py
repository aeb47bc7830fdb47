"""The look-up of rows against rates counted by hand."""

import numpy as np
import pytest

from baselines import RowLookup
from fm.design import UNKNOWN, Block, Design


def design(a: list[int], b: list[int]) -> Design:
    return Design((Block("a", a, 3), Block("b", b, 2)))


X = design([0, 0, 0, 1, 2, 2], [0, 0, 1, 1, 0, 0])
Y = np.array([1, 1, 0, 1, 0, 0])


def test_rates_leave_each_row_itself_out() -> None:
    model = RowLookup().fit(X, Y)
    # (0, 0) is positive in two rows, each seen by the other; (1, 1) is seen by itself alone.
    assert np.allclose(model.rates_, [(1 + 0.5) / (4 + 1), (2 + 0.5) / (2 + 1)])
    new = design([0, 1, 2, 0, UNKNOWN], [0, 1, 0, 1, 0])
    seen = np.array([1, 1, 0, 0, 0])
    assert np.allclose(model.predict_proba(new)[:, 1], model.rates_[seen])
    assert model.n_parameters_ == 4


def test_without_a_repeated_pair_it_is_the_base_rate() -> None:
    model = RowLookup().fit(design([0, 1, 2], [0, 1, 0]), [1, 0, 0])
    assert np.allclose(model.rates_, 1 / 3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TypeError, match="Design"):
        RowLookup().fit(X.to_csr(), Y)
    with pytest.raises(ValueError, match="two classes"):
        RowLookup().fit(X, np.ones(6))
    with pytest.raises(ValueError, match="the design's blocks"):
        RowLookup().fit(X, Y).predict(Design((Block("a", [0], 3),)))
    with pytest.raises(ValueError, match="fewer blocks"):
        RowLookup().fit(Design(tuple(Block(f"f{i}", [0, 1], 2**13) for i in range(5))), [0, 1])
