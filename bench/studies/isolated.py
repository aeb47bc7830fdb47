"""Calls in a process of their own, within a time limit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.errors import first_line


def in_new_process(call: Callable[..., object], *arguments: object, limit: float | None = None):
    """Return `call(*arguments)` by a process of its own, or why there is nothing to return.

    It and the programs that it started are killed after `limit` seconds.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, partial(call, *arguments)))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(limit) else f"not within {limit:,} s"
    except EOFError:
        process.join()
        status = process.exitcode or 0
        if status >= 0:
            return f"ended with status {status}"
        return f"killed by {signal.Signals(-status).name} (out of memory?)"
    finally:
        if process.pid is not None:
            with suppress(ProcessLookupError):  # it has ended, or has no group of its own yet
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _send(sender: Connection, call: Callable[[], object]) -> None:
    os.setsid()
    try:
        result = call()
    except Exception as error:
        result = first_line(error)
    sender.send(result)
