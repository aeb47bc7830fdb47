"""Errors for a person: one sentence that says what was wrong, where, and what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the person who asked can put right. The program prints it and exits with `status`."""

    status = 2


class RunFailed(UserError):
    """What was asked for was tried, and failed."""

    status = 1


class DataUnavailable(UserError):
    """A data set that was neither found nor could be fetched; the message says how to provide it."""


@contextmanager
def checked() -> Iterator[None]:
    """Turns the sentence of a failed check (`fm.validation`) into a `UserError`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def exit_status(command: Callable[[], int]) -> int:
    """What `command` returns; where it raises a `UserError` or is interrupted, its status or 130, and the sentence."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(
            "bench: stopped; what is finished is kept, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130


def first_line(error: BaseException) -> str:
    """Kind of error and the first line of what it says, for a tag or a table."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:400]


def sentence(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


def quoted(value: object, limit: int = 80) -> str:
    """Return `repr(value)` cut to `limit` characters, for an error message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
