"""Errors for a person: one sentence that says what was wrong, where, and what to do."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """An error that the user can put right; the program prints it and exits with `status`."""

    status = 2


class RunFailed(UserError):
    """What was asked for was tried, and failed."""

    status = 1


class DataUnavailable(UserError):
    """A data set that is not here and cannot be fetched; the message says how to provide it."""


@contextmanager
def checked() -> Iterator[None]:
    """Raise the error of a failed check (`fm.validation`) as a `UserError`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(sentence(error)) from error


def exit_status(command: Callable[[], int]) -> int:
    """Return what `command` returns; print the sentence of an error and return its status.

    That is the status of a `UserError`, 2 where a file cannot be used, 130 if interrupted.
    """
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
    except OSError as error:
        if error.filename is None:
            raise
        print(f"bench: {error.filename} cannot be used: {error.strerror}", file=sys.stderr)
        return UserError.status
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
    """Return what an error says, in one line, with no value of more than 80 characters."""
    line = " ".join(str(error).split())
    return re.sub(r"'[^']{79,}'", lambda value: f"{value[0][:77]}...", line)


def quoted(value: object, limit: int = 80) -> str:
    """Return `repr(value)` cut to `limit` characters, for an error message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
