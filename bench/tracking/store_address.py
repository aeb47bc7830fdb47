"""The address of a store: how it is built, taken apart, compared and shown."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"
_MISREAD = re.compile(r"[?]|%(?=[0-9A-Fa-f]{2})")
"""What SQLAlchemy takes for options, or for an escape."""
_URI = re.compile(r"""([A-Za-z][\w+.-]*://)([^\s'"]+?)(?=,[\w.]+=|[\s'"]|$)""")
_SECRET_OPTION = re.compile(
    r"([?&][^=&]*(?:pass|secret|token|key|sig|credential)[^=&]*=)[^&]+", re.IGNORECASE
)


def sqlite_uri(path: Path) -> str:
    """Return the SQLAlchemy URI of an SQLite file, whatever characters its absolute path has.

    Examples
    --------
    >>> sqlite_uri(Path("/data/50% #1?/mlflow.db"))
    'sqlite:////data/50% #1%3F/mlflow.db'
    """
    return SQLITE + _MISREAD.sub(lambda match: quote(match[0]), str(path))


def sqlite_path(uri: str) -> Path:
    """Return the file of an SQLite URI, absolute.

    Examples
    --------
    >>> sqlite_path("sqlite:////data/50% #1%3F/mlflow.db")
    PosixPath('/data/50% #1?/mlflow.db')
    """
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])).resolve()


def store_name(uri: str, directory: Path) -> str:
    """Return the name by which files in `directory` refer to the store at `uri`.

    A database inside the directory is named relative to it, so that the folder can be moved. The
    name holds no password: the store stays the same when its password changes.

    Examples
    --------
    >>> store_name("sqlite:////data/results/mlflow.db", Path("/data/results"))
    'sqlite:mlflow.db'
    >>> store_name("postgresql://me:secret@host/runs", Path("/data/results"))
    'postgresql://me:***@host/runs'
    """
    if not uri.startswith("sqlite:"):
        return redacted(uri)
    path = sqlite_path(uri)
    if path.is_relative_to(directory):
        path = path.relative_to(directory)
    return f"sqlite:{path}"


def redacted(text: str) -> str:
    """Return `text` without the passwords of the URIs in it.

    Examples
    --------
    >>> redacted("no answer from http://me:secret@host:5000/x")
    'no answer from http://me:***@host:5000/x'
    >>> redacted("https://token@host?api_key=1234")
    'https://***@host?api_key=***'
    """
    return _URI.sub(lambda match: match[1] + _without_secrets(match[2]), text)


def _without_secrets(address: str) -> str:
    """Return what stands after `scheme://`, with *** for its password and secret options."""
    authority = re.split("[/?#]", address, maxsplit=1)[0]
    if re.fullmatch(r"[^:]*:(\d*\D.*)", authority):
        authority = address  # a password, not a port; it may have / ? # in it, unescaped
    user_info, at, _ = authority.rpartition("@")
    user, colon, _ = user_info.partition(":")
    shown = f"{user}:***@" if colon else "***@" if at else ""
    return shown + _SECRET_OPTION.sub(r"\1***", address[len(user_info) + len(at) :])
