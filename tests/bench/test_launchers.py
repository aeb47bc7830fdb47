"""Launchers other than joblib's: a real two-node Ray cluster; Slurm as far as there is no Slurm."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.identity import ROOT
from bench.sweep import plan
from tests.bench.ray_cluster import N_JOBS

ISOLATED = ["unshare", "-n", "-m", "-u", "-p", "-f", "--mount-proc", "--kill-child"]
"""Ray listens on every interface, and leaves processes behind: it gets a network and processes of
its own.
"""


def may_isolate() -> bool:
    return (
        os.name == "posix"
        and shutil.which("unshare") is not None
        and (subprocess.run([*ISOLATED, "true"], check=False, capture_output=True).returncode == 0)
    )


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra [ray] is not installed"
)
@pytest.mark.skipif(not may_isolate(), reason="no right to make namespaces (unshare)")
def test_a_ray_node_that_dies_loses_nothing_but_time(tmp_path: Path) -> None:
    script = f"ip link set lo up && exec {sys.executable} -m tests.bench.ray_cluster {tmp_path}"
    done = subprocess.run(
        [*ISOLATED, "sh", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=400,
    )
    said = done.stdout + done.stderr + (tmp_path / "log").read_text()[-4000:]
    assert done.returncode == 0, said
    assert (
        "node two has sent results, and is killed" in done.stdout and "status 0" in done.stdout
    ), said
    assert f"{N_JOBS} finished runs of {N_JOBS} jobs on 2 hosts" in done.stdout, said


@pytest.mark.parametrize(
    ("launcher", "cpus"),
    [("slurm", "cpus_per_task"), ("ray", "ray.remote.num_cpus"), ("local", None)],
)
def test_launcher_composes_with_as_many_cores_as_a_job_has_threads(
    launcher: str, cpus: str | None
) -> None:
    (cfg,) = plan([f"hydra/launcher={launcher}", "threads=2", "jobs=3"], multirun=True).jobs
    found = cfg.hydra.launcher
    assert found._target_.startswith("hydra_plugins.")
    for key in (cpus or "").split(".") if cpus else []:
        found = found[key]
    assert found == 2 if cpus else found.n_jobs == 3
