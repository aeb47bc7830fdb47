"""Downloads from a server on this machine, good and bad."""

import socket
import threading
from pathlib import Path

import pytest

from bench.data import download
from bench.errors import DataUnavailable
from tests.bench.conftest import Server
from tests.bench.tiny_ml100k import ml100k_files, sha256_of, zip_of

FILES = ml100k_files()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ml-100k"


def install(server: Server, folder: Path, **changes: object) -> None:
    arguments = {"url": server.url, "md5": server.md5, "sha256": sha256_of(FILES)}
    download.install(folder=folder, **(arguments | changes))


def assert_installed(folder: Path) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert_nothing_else(folder, "ml-100k")


def assert_nothing_else(folder: Path, *names: str) -> None:
    assert {path.name for path in folder.parent.iterdir()} == {".ml-100k.lock", *names}


def test_download(server: Server, folder: Path, capsys: pytest.CaptureFixture) -> None:
    server.content = zip_of(FILES)
    install(server, folder)
    assert_installed(folder)
    assert capsys.readouterr() == ("", f"Downloading {server.url}\n")


def test_progress_is_shown_on_a_terminal(
    server: Server, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = zip_of(FILES)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    install(server, folder)
    assert "100%" in capsys.readouterr().err


def test_cut_off_download_is_tried_again(server: Server, folder: Path) -> None:
    server.content, server.faults = zip_of(FILES), ["cut", "cut"]
    install(server, folder)
    assert_installed(folder)


def test_a_download_that_is_always_cut_off_is_given_up(server: Server, folder: Path) -> None:
    server.content, server.faults = zip_of(FILES), ["cut", "cut", "cut"]
    with pytest.raises(DataUnavailable, match=rf"cut off after \d+ of {len(server.content)} bytes"):
        install(server, folder)
    assert server.n_requests == 3
    assert_nothing_else(folder)


def test_wrong_archive_checksum(server: Server, folder: Path) -> None:
    server.content = zip_of(FILES)
    with pytest.raises(DataUnavailable, match=f"its md5 is {server.md5}, not 0123"):
        install(server, folder, md5="0123")
    assert server.n_requests == 1
    assert_nothing_else(folder)


def test_checksum_that_is_not_known_is_read_beside_the_archive(
    server: Server, folder: Path
) -> None:
    server.content = zip_of(FILES)
    install(server, folder, md5=None, sha256=dict.fromkeys(FILES))
    assert_installed(folder)


def test_nothing_is_installed_without_a_checksum(server: Server, folder: Path) -> None:
    server.content, server.checksum = zip_of(FILES), False
    with pytest.raises(DataUnavailable, match=r"zip.md5 names no checksum: 'no'"):
        install(server, folder, md5=None)
    assert server.n_requests == 1
    assert_nothing_else(folder)


def test_wrong_file_checksum(server: Server, folder: Path) -> None:
    server.content = zip_of(FILES | {"u.user": b"1|25|M|technician|85711\n"})
    with pytest.raises(DataUnavailable, match=r"u.user differs from the published file"):
        install(server, folder)
    assert_nothing_else(folder)


def test_archive_without_a_file(server: Server, folder: Path) -> None:
    server.content = zip_of({name: content for name, content in FILES.items() if name != "ua.test"})
    with pytest.raises(DataUnavailable, match=r"ua.test is missing"):
        install(server, folder)
    assert_nothing_else(folder)


def test_truncated_archive(server: Server, folder: Path) -> None:
    server.content = zip_of(FILES)[:-100]
    with pytest.raises(DataUnavailable, match="not a zip file"):
        install(server, folder)
    assert_nothing_else(folder)


@pytest.mark.parametrize("member", ["../evil", "ml-100k/../../evil", "/evil"])
def test_no_member_leaves_the_folder(server: Server, folder: Path, member: str) -> None:
    server.content = zip_of(
        {f"ml-100k/{name}": content for name, content in FILES.items()} | {member: b"!"}, ""
    )
    with pytest.raises(DataUnavailable, match=f"its member '{member}' lies outside"):
        install(server, folder)
    assert_nothing_else(folder)
    assert not list(folder.parent.parent.rglob("evil"))


def test_silent_server_is_given_up(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    server.content, server.faults = zip_of(FILES), ["hang"] * 3
    with pytest.raises(DataUnavailable, match="timed out"):
        install(server, folder)
    assert server.n_requests == 3


def test_refused_connection_fails_at_once(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE", 1e6)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/ml-100k.zip"
    with pytest.raises(DataUnavailable, match="refused"):
        install(server, folder, url=url)


def test_missing_archive_is_not_asked_for_again(server: Server, folder: Path) -> None:
    server.faults = [404]
    with pytest.raises(DataUnavailable, match="404"):
        install(server, folder)
    assert server.n_requests == 1


def test_troubled_server_is_asked_again(server: Server, folder: Path) -> None:
    server.content, server.faults = zip_of(FILES), [503]
    install(server, folder)
    assert_installed(folder)


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match="cache"):
        install(server, tmp_path / "cache" / "ml-100k")


def test_concurrent_calls_download_once(server: Server, folder: Path) -> None:
    server.content = zip_of(FILES)
    threads = [threading.Thread(target=install, args=(server, folder)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_installed(folder)
    assert server.n_requests == 1


def test_an_archive_that_would_fill_the_disk_is_refused(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 100)
    server.content = zip_of({"ml-100k/big": b"0" * 101}, "")
    with pytest.raises(DataUnavailable, match="extracted it has 101 bytes, more than the 100"):
        install(server, folder)
    assert_nothing_else(folder)
