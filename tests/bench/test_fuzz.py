"""A slice of the long run: damaged files are refused or read right, never misread and never a
traceback.
"""

from pathlib import Path

import numpy as np
import pytest

from bench.errors import UserError
from tests.reliability import fuzzing

pytestmark = pytest.mark.slow


def test_no_damaged_file_is_misread_or_ends_in_a_traceback() -> None:
    assert list(fuzzing.fuzz(400, seed=1)) == []


@pytest.mark.parametrize("end", [b"", b"\xff", b"\xc3", b"\xe2\x82", "é€".encode()])
def test_text_that_is_not_utf_8_is_refused_in_a_column_that_is_not_read(
    tmp_path: Path, end: bytes
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"1,2,3,4,\n1,3,5,6," + end)
    if end in (b"", "é€".encode()):
        assert len(fuzzing.ratings_file(path, separator=",", header=False)) == 2
    else:
        with pytest.raises(UserError, match="line 2: not utf-8; give the file's encoding"):
            fuzzing.ratings_file(path, separator=",", header=False)


@pytest.mark.parametrize("line", [b"1:\x1f:2::0.1", b"1::\x1f::3", b"1::1\x1f3.5"])
def test_the_character_that_stands_for_a_long_separator_is_refused(
    tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "ratings.dat"
    path.write_bytes(b"1::1::3.5\n" + line + b"\n2::2::1\n")
    with pytest.raises(UserError, match=r"line 2: the control character '\\x1f' cannot be read"):
        fuzzing.ratings_file(path)


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
