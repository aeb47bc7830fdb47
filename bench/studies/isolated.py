"""Calls in a process of their own, within a time limit.

Nothing is imported here that a new process would wait for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection


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
        if not receiver.poll(limit):
            return f"not within {limit:,} s"
        result = receiver.recv()
    except EOFError:
        process.join()
        status = process.exitcode or 0
        if status >= 0:
            return f"ended with status {status}"
        return f"killed by {signal.Signals(-status).name} (out of memory?)"
    finally:
        if process.is_alive():
            if process.pid and process.pid == _group(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()  # before it has a group of its own
        process.join()
    return result


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _send(sender: Connection, call: Callable[[], object]) -> None:
    os.setsid()
    try:
        result = call()
    except Exception as error:
        result = f"{type(error).__name__}: {error}".splitlines()[0]
    sender.send(result)
