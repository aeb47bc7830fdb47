"""Errors for a person: one sentence that says what was wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the person who asked can put right. The program prints it and exits with status 2."""


class DataUnavailable(UserError):
    """A data set that was neither found nor could be fetched; the message says how to provide it."""


@contextmanager
def checked() -> Iterator[None]:
    """Turns the sentence of a failed check (`fm.params`) into a `UserError`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
