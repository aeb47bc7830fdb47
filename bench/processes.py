"""Processes that end when they should: with their parent, or when their time is up."""

import os
import platform
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from bench.errors import first_line

POLL_SECONDS = 0.5
KIB = 1024
RING_AGAIN = 1.0
"""Seconds between two alarms of a time limit."""


def this_process() -> str:
    """Return the name of this process, which no other is ever given: host, id, and its start."""
    return f"{platform.node()} {os.getpid()} {_began(os.getpid())}"


def _began(pid: int) -> str:
    """Return when a process began, in clock ticks (proc_pid_stat(5), field 22); else "-"."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "-"


@cache
def worker_initializer() -> Callable[[], None]:
    """Return what a worker does first: it ends when this process does, which starts it."""
    return partial(begin_worker, os.getpid())


def begin_worker(parent: int) -> None:
    """Begin a worker that `parent` has started: it, and the programs it starts, end soon after it.

    Workers outlive a sweep that is killed, and go on taking jobs. Ctrl-C is the parent's affair.
    """
    if os.getppid() != parent:  # which was killed meanwhile
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    os._exit(1)


def workers_at_most(threads: int) -> tuple[int, str]:
    """Return how many workers of so many threads this machine bears, two at least, and why.

    Each is taken to need as much memory as this process has by now, with the data, and a fit's as
    much again.
    """
    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    cores = len(affinity(0))
    most, why = cores // threads, f"there are {cores} cores, and threads={threads}"
    memory = memory_available()
    needed = 2 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    if memory is not None and memory // needed < most:
        most = memory // needed
        why = f"{memory / 2**30:.1f} GiB of memory are free, and each needs {needed / 2**30:.1f}"
    return max(2, most), why


def memory_available() -> int | None:
    """Return the bytes that new processes may use; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((KIB * int(x.split()[1]) for x in lines if x.startswith("MemAvailable")), None)


class TimeUp(Exception):
    """A job took longer than it may."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeUp` in the body after so many seconds, if not None; in the main thread only."""
    if seconds is None:
        yield
        return
    late = f"stopped after {seconds:.3g} s, the time it was given"
    rung = False

    def ring(*_: object) -> None:
        nonlocal rung
        rung = True
        raise TimeUp(late)

    before = signal.signal(signal.SIGALRM, ring)
    # Python drops an exception that is raised in a finalizer or in a callback of the garbage
    # collector: the alarm rings again, and a body that ends in spite of it is late as well.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), RING_AGAIN)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # the alarm may ring in the line above
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if rung:
        raise TimeUp(late)


def in_new_process(call: Callable[..., object], *arguments: object, limit: float | None = None):
    """Return `call(*arguments)` by a process of its own, or why there is nothing to return."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_within, limit, call, *arguments).result()
        except BrokenProcessPool:
            return "its process was killed (out of memory?)"
        except Exception as error:
            return first_line(error)


def _within(seconds: float | None, call: Callable[..., object], *arguments: object) -> object:
    with time_limit(seconds):
        return call(*arguments)
