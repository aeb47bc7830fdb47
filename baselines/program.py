"""Programs run as processes of their own, in a folder of theirs."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LOG_SHOWN = 4000
"""Characters, from its end, of what a program said that an error repeats."""


def run_program(
    command: Sequence[str],
    folder: str,
    *,
    name: str,
    shown: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, int | None]:
    """Run a program; return what it printed and its peak memory in bytes (None without /proc).

    RuntimeError with the former if the program, called `name`, failed; `shown` is the command for a
    person, `environment` this process's own by default.
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
    said = log.read_text("utf-8", errors="replace")
    if process.returncode:
        failure = (
            f"{name} failed with exit status {process.returncode}: {shown or ' '.join(command)}"
        )
        raise RuntimeError(f"{failure}\n{said[-LOG_SHOWN:]}")
    return said, peak


def peak_memory(pid: int) -> int | None:
    """Return the high-water mark of a running process.

    (`ru_maxrss`, from `os.wait4`, begins at that of the parent.)
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


def read_predictions(path: Path, n_rows: int, name: str) -> NDArray[np.float64]:
    """Read the (n_rows,) numbers that a program wrote, one a line.

    RuntimeError if they are not as many, or not finite.
    """
    written = path.read_text().split() if path.exists() else []
    prediction = np.array(written, dtype=np.float64)
    if len(prediction) != n_rows or not np.isfinite(prediction).all():
        raise RuntimeError(f"{name} gave no finite prediction for each of {n_rows} rows")
    return prediction
