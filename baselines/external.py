"""What others wrote: whether it is installed, and programs run as processes of their own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

LOG_SHOWN = 4000
"""Characters of a program's output, from its end, that an error repeats."""


class Package:
    """Mixin of models that need a Python package, `package`, of the extra [peers]."""

    package: str
    title: str

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why the model cannot be fitted here; None if it can."""
        if importlib.util.find_spec(cls.package) is None:
            return f"{cls.title} is not installed, see the extra [peers]"
        try:
            importlib.import_module(cls.package)
        except ImportError as error:  # of what it needs: myFM's `pkg_resources`, of setuptools < 81
            return f"{cls.title} is installed, but cannot be imported: {error}"
        return None

    @classmethod
    def module(cls) -> ModuleType:
        """Import the package; ImportError where it is not installed."""
        if reason := cls.unavailable():
            raise ImportError(reason)
        return importlib.import_module(cls.package)


class Program:
    """Mixin of models that are programs, named by path or as a shell finds them."""

    title: str

    def programs(self) -> Sequence[str]:
        raise NotImplementedError

    def unavailable(self) -> str | None:
        """Return why the model cannot be fitted here; None if it can."""
        try:
            self.located()
        except FileNotFoundError as error:
            return str(error)
        return None

    def located(self) -> list[str]:
        """Return the programs' paths; FileNotFoundError if one is not there."""
        paths = {program: shutil.which(program) for program in self.programs()}
        for program, path in paths.items():
            if path is None:
                raise FileNotFoundError(
                    f"{self.title} is not installed: there is no program {program}, give its path"
                )
        return [os.path.abspath(path) for path in paths.values() if path is not None]


def run_program(
    command: Sequence[str],
    folder: str,
    *,
    name: str,
    shown: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, int | None]:
    """Run a program; return what it printed and its peak memory in bytes (None without /proc).

    Raise RuntimeError with the end of what it printed if it failed; errors call it `name`, and its
    command `shown`.
    """
    log = Path(folder, "log")
    peak = None
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            while process.poll() is None:
                peak = peak_memory(process.pid) or peak
                time.sleep(0.005)
        except BaseException:
            process.kill()
            raise
    printed = log.read_text("utf-8", errors="replace")
    if process.returncode:
        shown = shown or " ".join(command)
        failure = f"{name} failed with exit status {process.returncode}: {shown}"
        raise RuntimeError(f"{failure}\n{printed[-LOG_SHOWN:]}")
    return printed, peak


def peak_memory(pid: int) -> int | None:
    """Return the high-water mark of a running process (`ru_maxrss` begins at the parent's)."""
    try:
        mark = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return 1024 * int(mark[1]) if mark else None


def write_rows(path: Path, lines: Iterable[str]) -> None:
    """Write the lines that a program is to read."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(lines)


def read_predictions(path: Path, n_rows: int, name: str) -> NDArray[np.float64]:
    """Read the n_rows finite numbers that a program wrote, one a line; RuntimeError for others."""
    written = path.read_text().split() if path.exists() else []
    prediction = np.array(written, dtype=np.float64)
    if len(prediction) != n_rows or not np.isfinite(prediction).all():
        raise RuntimeError(f"{name} gave no finite prediction for each of {n_rows} rows")
    return prediction
