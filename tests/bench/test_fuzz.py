"""A slice of the long run: damaged files are refused or read right, never misread and never a
traceback.
"""

import numpy as np
import pytest

from bench.data import fuzzing


def test_no_damaged_file_is_misread_or_ends_in_a_traceback() -> None:
    assert list(fuzzing.fuzz(400, seed=1)) == []


def test_a_loader_that_misreads_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    read = fuzzing.ratings_file

    def wrong(path: object, **options: object) -> object:
        data = read(path, **options)
        data.rows["rating"] = np.floor(data.rows["rating"])
        return data

    monkeypatch.setattr(fuzzing, "ratings_file", wrong)
    assert {finding.kind for finding in fuzzing.fuzz(30, seed=1)} == {"misread"}


def test_no_damaged_model_is_misread_or_ends_in_a_traceback() -> None:
    assert list(fuzzing.fuzz_models(300, seed=1)) == []


def test_a_loader_of_models_that_misreads_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "load", lambda path: 1 / 0)
    assert {finding.kind for finding in fuzzing.fuzz_models(2)} == {"traceback"}
