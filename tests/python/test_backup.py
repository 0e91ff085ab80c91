"""Backups, and that opening to read changes nothing."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import kvstore
import pytest

COUNT = 10_000


@pytest.fixture
def filled(store: kvstore.Store) -> kvstore.Store:
    store.update((b"key %06d" % number, b"%d" % number * 20) for number in range(COUNT))
    return store


def holds(path: str, expected: object) -> bool:
    assert sorted(os.listdir(path)) == ["snapshot.dat", "wal.log"]
    assert os.path.getsize(os.path.join(path, "wal.log")) == 0
    assert kvstore.verify(path)["sound"]
    with kvstore.open(path) as copy:
        copy[b"written"] = b""
        del copy[b"written"]
        return copy == expected


def test_a_backup_holds_what_the_store_held(filled: kvstore.Store, tmp_path: Path) -> None:
    before = dict(filled)
    told: list[kvstore.BackupProgress] = []
    filled.backup(tmp_path / "deep" / "copy", told.append)
    filled.clear()
    assert holds(str(tmp_path / "deep" / "copy"), before)
    assert len(told) >= 3 and told == sorted(told)
    assert told[-1].records_done == told[-1].records_total == COUNT
    assert told[-1].bytes_done == told[-1].bytes_total
    filled.backup(os.fsencode(tmp_path / "empty"))
    assert holds(str(tmp_path / "empty"), {})
    assert sorted(os.listdir(tmp_path)) == ["data", "deep", "empty"]


def test_an_exception_in_the_callback_stops_the_backup(
    filled: kvstore.Store, tmp_path: Path
) -> None:
    def stop(progress: kvstore.BackupProgress) -> None:
        raise LookupError(progress.records_done)

    for make in (filled.backup, filled.view().backup):
        with pytest.raises(LookupError):
            make(tmp_path / "copy", stop)
        with pytest.raises(TypeError):
            make(tmp_path / "copy", "not callable")  # type: ignore[arg-type]
        assert os.listdir(tmp_path) == ["data"]
    filled[b"goes"] = b"on"
    filled.backup(tmp_path / "copy", progress=lambda progress: False)
    assert holds(str(tmp_path / "copy"), filled)


def test_a_signal_stops_the_backup(filled: kvstore.Store, tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        filled.backup(tmp_path / "copy", interrupt)
    assert os.listdir(tmp_path) == ["data"]


def test_what_is_there_is_never_overwritten(filled: kvstore.Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        filled.backup(tmp_path / "full")
    with pytest.raises(ValueError, match="lies in the directory"):
        filled.backup(os.path.join(filled.path, "inside"))
    with pytest.raises(kvstore.StorageError):
        filled.backup(tmp_path / "full" / "file")
    with pytest.raises(ValueError):
        filled.backup("")
    assert (tmp_path / "full" / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["data", "full"]


def test_views_and_read_only_stores(filled: kvstore.Store, tmp_path: Path) -> None:
    expected, view, path = dict(filled), filled.view(), filled.path
    filled.close()
    view.backup(tmp_path / "viewed")
    assert holds(str(tmp_path / "viewed"), expected)
    with kvstore.open(path, "r") as store:
        store.backup(tmp_path / "read")
    assert holds(str(tmp_path / "read"), expected)
    with pytest.raises(kvstore.ClosedError):
        filled.backup(tmp_path / "closed")
    view.close()
    with pytest.raises(kvstore.ClosedError):
        view.backup(tmp_path / "closed")


def test_a_callback_may_use_the_store_while_others_write(
    filled: kvstore.Store, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            filled[b"first"] = b"%d" % number
            filled[b"second"] = b"%d" % number
            number += 1

    filled.update({b"first": b"0", b"second": b"0"})
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            path = tmp_path / str(number)
            filled.backup(path, lambda _: filled.set(b"from the callback", b""))
            with kvstore.open(path) as copy:
                assert int(copy[b"first"]) - int(copy[b"second"]) in (0, 1)
                assert len(copy) >= COUNT
    finally:
        stop.set()
        writer.join()


def tree(path: str) -> list[tuple[object, ...]]:
    """Everything that a change to a directory or something in it would change."""
    found: list[tuple[object, ...]] = []
    for place, directories, files in os.walk(path):
        for name in [".", *directories, *files]:
            at = os.path.join(place, name)
            stat = os.stat(at)
            content = Path(at).read_bytes() if os.path.isfile(at) else b""
            times = (stat.st_mtime_ns, stat.st_ctime_ns)
            found.append((at, stat.st_ino, stat.st_mode, stat.st_size, times, content))
    return sorted(found, key=str)


def torn(path: str) -> None:
    log = Path(path) / "wal.log"
    log.write_bytes(log.read_bytes().rstrip(b"\0")[:-3])


@pytest.mark.parametrize("make", [lambda path: None, torn], ids=["", "torn"])
@pytest.mark.parametrize("locked", [True, False])
def test_opening_to_read_changes_nothing(
    directory: str, make: Callable[[str], object], locked: bool
) -> None:
    with kvstore.open(directory, durability="os", close_checkpoint="never") as store:
        store.update((b"%04d" % number, b"value") for number in range(1000))
    make(directory)
    if not locked:
        os.remove(os.path.join(directory, "LOCK"))
    before = tree(directory)
    with kvstore.open(directory, "r") as store:
        assert len(list(store.scan())) == len(store) == len(store.view())
        with pytest.raises(kvstore.ReadOnlyError):
            store[b"k"] = b""
        store.backup(directory + "-copy")
    assert tree(directory) == before


def test_a_directory_without_a_store_is_not_opened_to_read(directory: str) -> None:
    os.makedirs(directory)
    with pytest.raises(kvstore.StorageError, match="neither a snapshot nor a log") as raised:
        kvstore.open(directory, "r")
    assert raised.value.errno == errno.ENOENT
    assert os.listdir(directory) == []
