"""Passwords in the addresses of stores are neither shown nor written."""

import json

import pytest

from bench.tracking import MLflowTracker, redacted
from tests.bench.test_tracking import EXPERIMENT, job, put, sweep

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg://u:p@s/s?#w@host/db", "postgresql+psycopg://u:***@host/db"),
        ("https://token@host", "https://***@host"),
        (
            "postgresql://host/db?user=u&password=zz&x=1",
            "postgresql://host/db?user=u&password=***&x=1",
        ),
        ("a=http://u:1@h,b=http://v:2@k/z", "a=http://u:***@h,b=http://v:***@k/z"),
        ("-m 'tracking.uri=http://u:pw@h' k=1", "-m 'tracking.uri=http://u:***@h' k=1"),
        ("http://host:5000/a@b me@x.org", "http://host:5000/a@b me@x.org"),
        ("sqlite:////tmp/a:b@c/x.db", "sqlite:////tmp/a:b@c/x.db"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_no_password_reaches_a_file(store: MLflowTracker) -> None:
    uri = "http://me:secret@127.0.0.1:9"
    server = MLflowTracker(uri, str(store.directory / "server"))
    asked = sweep("s")
    asked = type(asked)(asked.id, asked.name, f"model=dummy tracking.uri={uri}", asked.owner)
    put(server, job(), asked)
    files = [path for path in server.directory.rglob("*") if path.is_file()]
    assert files and not any(b"secret" in path.read_bytes() for path in files)
    (state,) = (path for path in files if path.name == "entry.json")
    assert state.stat().st_mode & 0o777 == 0o600
    assert json.loads(state.read_text())["store"] == "http://me:***@127.0.0.1:9"
    assert "secret" not in server.shown
    parent = store.begin_sweep(EXPERIMENT, asked)
    assert "secret" not in store.run(parent).tags["mlflow.note.content"]
