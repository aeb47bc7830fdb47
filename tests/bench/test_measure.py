"""What a fit cost: wall and CPU seconds, and memory."""

import subprocess
import sys
import time

import numpy as np

from bench.measure import Measured


def test_sleep_costs_no_cpu_and_a_program_that_was_waited_for_does() -> None:
    with Measured(threads=1) as asleep:
        time.sleep(0.5)
    assert asleep.seconds >= 0.5 and asleep.cpu_seconds < 0.25
    with Measured(threads=1) as waiting:
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert waiting.cpu_seconds > 0.05


def test_memory_is_the_peak_above_what_was_there() -> None:
    with Measured(threads=1) as cost:
        np.ones(2**23)
    assert cost.peak_memory is None or 2**25 < cost.peak_memory < 2**27
