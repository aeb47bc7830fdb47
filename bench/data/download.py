"""Archives from the network: verified, and put in place whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import re
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tqdm import tqdm

from bench.errors import DataUnavailable, UserError

TIMEOUT = 5.0
"""Seconds of silence after which a connection counts as broken."""
ATTEMPTS = 3
PAUSE = 0.5
"""Seconds before the second attempt; twice that before the third."""
MAX_BYTES = 4 * 2**30
"""Of an archive when extracted; the largest MovieLens has 1.2 GB."""


def install(url: str, md5: str | None, sha256: Mapping[str, str | None], folder: Path) -> None:
    """Download a zip archive and put its directory `folder.name` at `folder`.

    A process that asks for a folder another one is installing waits for it. `md5` is that of the
    archive (None: what the file `url`.md5 says), `sha256` has those of files in the directory
    (None: any content).
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return
            with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
                archive = Path(aside, "archive.zip")
                _download(url, md5 or _published_md5(url), archive)
                extract(archive, Path(aside))
                verify(Path(aside, folder.name), sha256)
                Path(aside, folder.name).rename(folder)
    except (OSError, UserError, http.client.HTTPException, zipfile.BadZipFile) as error:
        raise DataUnavailable(f"{url} cannot be fetched: {error}") from error


def verify(folder: Path, sha256: Mapping[str, str | None]) -> None:
    """Check that every named file is in `folder`, and is as its checksum, if any, says."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    for name, published in sha256.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing")
        if published is not None and (digest := _digest(path, "sha256")) != published:
            raise UserError(
                f"{path} differs from the published file: its sha256 is {digest}, not {published}"
            )


def extract(archive: Path, folder: Path) -> None:
    """Extract a zip archive, none of whose members may lie outside `folder`."""
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise UserError(f"its member {name!r} lies outside the folder it is extracted to")
        size = sum(member.file_size for member in members.infolist())
        if size > MAX_BYTES:
            raise UserError(f"extracted it has {size:,} bytes, more than the {MAX_BYTES:,} allowed")
        members.extractall(folder)


def _published_md5(url: str) -> str:
    """Read `MD5 (ml-latest-small.zip) = 0123...`, beside the archive."""
    with urlopen(f"{url}.md5", timeout=TIMEOUT) as response:
        text = response.read(2**16).decode("latin-1")
    checksum = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if checksum is None:
        raise UserError(f"{url}.md5 names no checksum: {text[:80]!r}")
    return checksum[0].lower()


def _download(url: str, md5: str, archive: Path) -> None:
    """Write `archive`; after a broken connection or an error of the server, try again."""
    print(f"Downloading {url}", file=sys.stderr, flush=True)
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * attempt)
        try:
            _transfer(url, archive)
            break
        except (OSError, http.client.HTTPException) as error:
            # What is refused, or not to be reached at all, would be so in another second.
            refused = error.code < 500 if isinstance(error, HTTPError) else type(error) is URLError
            if refused or attempt == ATTEMPTS - 1:
                raise
    if (digest := _digest(archive, "md5")) != md5:
        raise UserError(f"its md5 is {digest}, not {md5}")


def _transfer(url: str, archive: Path) -> None:
    with urlopen(url, timeout=TIMEOUT) as response, archive.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0))
        with tqdm.wrapattr(file, "write", total=total, disable=None) as counted:
            shutil.copyfileobj(response, counted)
    if (size := archive.stat().st_size) < total:
        raise ConnectionError(f"cut off after {size} of {total} bytes")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
