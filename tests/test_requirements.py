"""The versions with hashes are those that `make install` installs."""

import re
from pathlib import Path

CI = Path(__file__).parent.parent / ".ci"


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", (CI / name).read_text("utf-8"), re.M)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_hashed_versions_are_the_pinned_ones() -> None:
    pinned, hashed = pins("constraints.txt"), pins("requirements.txt")
    assert len(hashed) > 100
    assert {package: pinned.get(package) for package in hashed} == hashed


def test_every_file_has_a_hash() -> None:
    text = (CI / "requirements.txt").read_text("utf-8")
    packages = re.split(r"^(?=[\w.-]+==)", text, flags=re.M)[1:]
    assert packages and all("--hash=sha256:" in package for package in packages)
