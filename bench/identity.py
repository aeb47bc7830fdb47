"""What a run is: a digest of what it computes, never of when, where or how it was started."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("fm", "baselines", "bench")


def digest(parts: Mapping[str, object]) -> str:
    """32 hexadecimal digits of the SHA-256 of `parts`, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def job_digest(config: Mapping[str, object], data: str, code: Mapping[str, str]) -> str:
    """Of a job: its resolved `config`, the `data` set's digest, the `code`'s source, modified or not.

    The commit does not enter, since most change no source; that a tree is modified does, so that what
    an experiment computed while being written is computed again by the code that was committed.
    """
    return digest({"config": config, "data": data, "code": computed_by(code)})


def computed_by(code: Mapping[str, str]) -> dict[str, str]:
    """What of `code_version` tells whether two results are of the same code; without git, the source alone."""
    return {key: code[key] for key in ("source", "modified") if key in code}


@cache
def source_digest() -> str:
    """Digest of the Python files whose change can change a result."""
    files = sorted(path for room in SOURCES for path in (ROOT / room).rglob("*.py"))
    return digest({path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files})


@cache
def code_version() -> dict[str, str]:
    """`source` digest, and where git knows this tree its `commit` and whether it is `modified`."""
    version = {"source": source_digest()}
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        changes = _git("status", "--porcelain", "--", *SOURCES, "conf")
        version |= {"commit": commit, "modified": str(bool(changes)).lower()}
    return version


def _git(*arguments: str) -> str | None:
    """Output of a git command in this project's own tree; None without git or outside one."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
