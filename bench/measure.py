"""What is timed and weighed: the body of `with Measured(threads) as cost`, and nothing else."""

from __future__ import annotations

import os
import platform
import re
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from threadpoolctl import threadpool_info, threadpool_limits

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
PACKAGES = ("numpy", "scipy", "scikit-learn", "vowpalwabbit", "myfm", "scikit-surprise")
"""Packages whose versions are recorded, where they are installed."""


class Measured:
    """Seconds (wall and CPU) and additional resident memory (`peak_memory`, bytes) of a block.

    `cpu_seconds` are of this process and of those it waited for, on however many cores.
    BLAS and OpenMP run with `threads` threads inside it. Memory is the process's peak within the
    block over its size before it, from Linux's own accounting; None where there is none.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int | None

    def __init__(self, threads: int) -> None:
        self._limits = threadpool_limits(limits=threads)

    def __enter__(self) -> Self:
        self._before = _reset_peak()
        self._start_cpu = sum(os.times()[:4])
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.cpu_seconds = sum(os.times()[:4]) - self._start_cpu
        self._limits.restore_original_limits()
        self.peak_memory = None
        if self._before is not None:
            self.peak_memory = max(0, _resident("VmHWM") - self._before)


def _reset_peak() -> int | None:
    """Reset the peak to the present size (proc_pid_clear_refs(5), value 5); return that size."""
    try:
        CLEAR_REFS.write_text("5")
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(field: str) -> int:
    """Return the bytes of a field of /proc/self/status, which counts in KiB."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())[0])


@cache
def environment() -> dict[str, str]:
    """Return machine and versions, for the tags of a run and the foot of a table."""
    blas = {
        f"{b['internal_api']} {b['version']} {b.get('architecture', '')}" for b in threadpool_info()
    }
    versions = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "host": platform.node(),
        "platform": platform.platform(terse=True),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "blas": ", ".join(sorted(blas)),
        "python": platform.python_version(),
        **versions,
    }


def _cpu() -> str:
    with suppress(OSError):
        if name := re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()):
            return name[1]
    return platform.processor() or platform.machine()
