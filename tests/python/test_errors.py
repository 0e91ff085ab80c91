"""Bad input: each a specific exception that says where and what to do, and nothing is lost."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import struct
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import kvstore
import pytest


def test_missing_directory(directory: str) -> None:
    for flag in ("r", "w"):
        with pytest.raises(kvstore.StorageError) as caught:
            kvstore.open(directory, flag)
        assert caught.value.errno == errno.ENOENT
        assert caught.value.filename is not None
        assert caught.value.filename.startswith(directory)
        assert directory in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("flag", ["r", "w", "c", "n"])
def test_a_file_where_a_directory_should_be(tmp_path: Path, flag: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    with pytest.raises(kvstore.StorageError) as caught:
        kvstore.open(path, flag)  # type: ignore[arg-type]
    assert isinstance(caught.value, (NotADirectoryError, FileExistsError))
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"precious"


def as_nobody(work: Callable[[], None]) -> None:
    """Runs ``work`` in a child that is not root, whom permissions do not stop."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("mode", "flags"),
    [
        (0o000, ["r", "w", "c", "n"]),  # neither look nor write
        (0o555, ["w", "c", "n"]),  # look, not write
    ],
)
def test_no_permission(mode: int, flags: list[str]) -> None:
    # Not pytest's directory, through which only its owner may pass.
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        path = os.path.join(parent, "data")
        os.mkdir(path)
        os.chmod(path, mode)

        def refused() -> None:
            for flag in flags:
                with pytest.raises(PermissionError) as caught:
                    kvstore.open(path, flag)  # type: ignore[arg-type]
                assert isinstance(caught.value, kvstore.StorageError)
                assert caught.value.errno == errno.EACCES, caught.value
                assert caught.value.filename.startswith(path)
                assert path in str(caught.value)

        try:
            as_nobody(refused)
        finally:
            os.chmod(path, 0o755)


def test_no_permission_to_create() -> None:
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o555)

        def refused() -> None:
            with pytest.raises(kvstore.StorageError) as caught:
                kvstore.open(os.path.join(parent, "data"))
            assert caught.value.errno == errno.EACCES

        try:
            as_nobody(refused)
        finally:
            os.chmod(parent, 0o755)


def test_too_long_key_and_value(directory: str) -> None:
    with kvstore.open(directory, max_key_len=4, max_value_len=8) as store:
        store[b"k" * 4] = b"v" * 8
        for key, value in ((b"k" * 5, b""), (b"", b"v" * 9)):
            with pytest.raises(kvstore.TooLargeError) as caught:
                store[key] = value
            assert isinstance(caught.value, ValueError)
            assert str(max(len(key), len(value))) in str(caught.value)
        assert store == {b"k" * 4: b"v" * 8}
        assert store.get(b"k" * 5) is None and b"k" * 5 not in store


def test_a_closed_store_refuses_everything(directory: str) -> None:
    store = kvstore.open(directory)
    store[b"k"] = b"v"
    views = (store.keys(), store.values(), store.items())
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store[b"k"],
        lambda: store.__setitem__(b"k", b"v"),
        lambda: store.__delitem__(b"k"),
        lambda: b"k" in store,
        lambda: len(store),
        lambda: bool(store),
        lambda: iter(store),
        lambda: reversed(store),
        lambda: store == {},
        lambda: store.__enter__(),
        lambda: store.get(b"k"),
        lambda: store.set(b"k", b"v"),
        lambda: store.delete(b"k"),
        lambda: store.get_many([b"k"]),
        lambda: store.get_many([]),
        lambda: store.delete_many([b"k"]),
        lambda: store.get_view(b"k"),
        lambda: store.scan(),
        lambda: store.keys(),
        lambda: store.values(),
        lambda: store.items(),
        lambda: store.pop(b"k"),
        lambda: store.pop(b"k", None),
        lambda: store.popitem(),
        lambda: store.setdefault(b"k", b"v"),
        lambda: store.update({b"k": b"v"}),
        lambda: store.update(),
        lambda: store.clear(),
        lambda: store.sync(),
        lambda: store.stats(),
        lambda: store.recovery_report(),
        *(lambda view=view: len(view) for view in views),
        *(lambda view=view: list(view) for view in views),
    ]
    for call in calls:
        with pytest.raises(kvstore.ClosedError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert "closed" in str(caught.value)
    assert store == store and store != 1
    assert store.closed and store.path == directory and not store.readonly
    store.close()


def test_second_open_in_this_process(directory: str) -> None:
    with kvstore.open(directory) as store:
        store[b"k"] = b"v"
        for flag in ("r", "w", "c", "n"):
            with pytest.raises(kvstore.LockedError) as caught:
                kvstore.open(directory, flag)
            assert caught.value.pid == os.getpid()
            assert not isinstance(caught.value, TimeoutError)
            assert directory in str(caught.value) and str(os.getpid()) in str(caught.value)
        assert store[b"k"] == b"v"
    kvstore.open(directory).close()


def test_a_reader_keeps_writers_out(directory: str) -> None:
    kvstore.open(directory).close()
    with kvstore.open(directory, "r"):
        with pytest.raises(kvstore.LockedError):
            kvstore.open(directory, "w")
    kvstore.open(directory, "w").close()


def test_a_truncated_snapshot(directory: str) -> None:
    with kvstore.open(directory) as store:
        store.update((b"%04d" % i, b"v" * 50) for i in range(100))
    path = Path(directory, "snapshot.dat")
    whole = path.read_bytes()
    for size in (0, 3, 19, 20, 21, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        for flag in ("r", "w", "c", "n"):
            with pytest.raises(kvstore.CorruptionError) as caught:
                kvstore.open(directory, flag)
            assert caught.value.path == str(path)
            assert caught.value.offset is not None and 0 <= caught.value.offset <= size
            assert str(path) in str(caught.value) and "offset" in str(caught.value)
        assert path.read_bytes() == whole[:size]
    path.write_bytes(whole)
    with kvstore.open(directory) as store:
        assert len(store) == 100


def header(count: int) -> bytes:
    start = struct.pack(">IqI", 0x4B565350, 1, count)
    return start + struct.pack(">I", zlib.crc32(start))


@pytest.mark.parametrize(
    "foreign",
    [
        b"hello, I am a text file\n" * 10,
        b"\x00" * 1000,
        os.urandom(1000),
        header(1) + struct.pack(">I", 0xFFFFFFFF) + b"x" * 100,
        header(0xFFFFFFFF),
        header(2) + header(2),
    ],
    ids=["text", "zeros", "random", "huge key", "huge count", "garbage"],
)
def test_a_foreign_snapshot(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "snapshot.dat"
    path.write_bytes(foreign)
    with pytest.raises(kvstore.CorruptionError) as caught:
        kvstore.open(tmp_path)
    assert caught.value.path == str(path)
    assert caught.value.offset is not None
    assert path.read_bytes() == foreign


def test_a_flipped_bit_in_a_snapshot(directory: str) -> None:
    with kvstore.open(directory) as store:
        store.update((b"%04d" % i, b"v" * 20) for i in range(10))
    path = Path(directory, "snapshot.dat")
    whole = path.read_bytes()
    for offset in range(0, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 4]) + whole[offset + 1 :])
        with pytest.raises(kvstore.CorruptionError):
            kvstore.open(directory)


def test_a_foreign_log_is_cut_and_kept(tmp_path: Path) -> None:
    (tmp_path / "wal.log").write_bytes(b"this is no log")
    with kvstore.open(tmp_path) as store:
        report = store.recovery_report()
        assert len(store) == 0 and not report["clean"]
        assert report["bytes_cut"] == 14 and report["cut_offset"] == 0
        assert report["cut_log"] == str(tmp_path / "wal.log") and report["cut_reason"]
        assert report["sealed_logs"] == 0
        assert report["quarantine"] is not None
        assert Path(report["quarantine"]).read_bytes() == b"this is no log"


def test_an_unknown_operation_is_unsupported(tmp_path: Path) -> None:
    entry = struct.pack(">IBqII", 0x4B564C47, 0x7F, 1, 0, 0)
    entry += struct.pack(">I", zlib.crc32(entry))
    (tmp_path / "wal.log").write_bytes(entry)
    with pytest.raises(kvstore.UnsupportedError, match="127|0x7f|0x7F"):
        kvstore.open(tmp_path)
    assert (tmp_path / "wal.log").read_bytes() == entry


ALSO: dict[int, type[OSError]] = {
    errno.ENOENT: FileNotFoundError,
    errno.EACCES: PermissionError,
    errno.EPERM: PermissionError,
    errno.ENOTDIR: NotADirectoryError,
    errno.EEXIST: FileExistsError,
    errno.ENOTEMPTY: FileExistsError,
}


def test_the_hierarchy() -> None:
    bases = {
        kvstore.ClosedError: (kvstore.Error, ValueError),
        kvstore.LockedError: (kvstore.Error, OSError),
        kvstore.LockTimeout: (kvstore.LockedError, TimeoutError),
        kvstore.StorageError: (kvstore.Error, OSError),
        kvstore.ReadOnlyError: (kvstore.StorageError,),
        kvstore.CorruptionError: (kvstore.Error,),
        kvstore.PoisonedError: (kvstore.StorageError,),
        kvstore.IndeterminateError: (kvstore.StorageError,),
        kvstore.ForkedError: (kvstore.Error, RuntimeError),
        kvstore.TooLargeError: (kvstore.Error, ValueError),
        kvstore.UnsupportedError: (kvstore.Error,),
    }
    for exception, expected in bases.items():
        assert issubclass(exception, expected)
        assert exception.__module__ == "kvstore"
        assert getattr(kvstore, exception.__name__) is exception
    assert issubclass(kvstore.Error, Exception)
    assert not issubclass(kvstore.CorruptionError, OSError)


def test_every_exception_can_be_pickled_and_copied() -> None:
    locked = kvstore.LockedError(errno.EWOULDBLOCK, "message", "/path")
    locked.pid = 42
    exceptions: list[kvstore.Error] = [
        kvstore.Error("message"),
        kvstore.ClosedError("message"),
        kvstore.ForkedError("message"),
        kvstore.TooLargeError("message"),
        kvstore.UnsupportedError("message"),
        kvstore.CorruptionError("message", "/path", 7),
        kvstore.CorruptionError("message"),
        locked,
        kvstore.LockTimeout(errno.ETIMEDOUT, "message", "/path"),
        kvstore.StorageError(errno.EIO, "message", "/path"),
        kvstore.StorageError(errno.EIO, "message"),
        *(kvstore.StorageError(number, "message", "/path") for number in ALSO),
        kvstore.ReadOnlyError(errno.EROFS, "message", "/path"),
        kvstore.PoisonedError(errno.EIO, "message", "/path"),
        kvstore.IndeterminateError(errno.EIO, "message", "/path"),
    ]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for original in exceptions:
            for other in (pickle.loads(pickle.dumps(original, protocol)), copy.copy(original)):
                assert type(other) is type(original)
                assert other.args == original.args and vars(other) == vars(original)
                assert str(other) == str(original) == "message"
                for name in ("errno", "strerror", "filename", "path", "offset", "pid"):
                    assert getattr(other, name, None) == getattr(original, name, None)


def test_errors_of_the_file_system_are_those_of_python_too() -> None:
    for number, expected in ALSO.items():
        error = kvstore.StorageError(number, "message", "/path")
        assert isinstance(error, expected) and isinstance(error, kvstore.StorageError)
        assert (error.errno, error.strerror, error.filename) == (number, "message", "/path")
        [line] = traceback.format_exception_only(error)
        assert line == "kvstore.StorageError: message\n"
        assert repr(error) == f"StorageError({number}, 'message')"
        assert b"_errors" not in pickle.dumps(error)
    for other in (
        kvstore.StorageError(errno.EIO, "message"),
        kvstore.StorageError("message"),
        kvstore.StorageError(),
        kvstore.ReadOnlyError(errno.EACCES, "message"),
        kvstore.PoisonedError(errno.ENOENT, "message"),
    ):
        assert not isinstance(other, tuple(ALSO.values()))
        assert type(pickle.loads(pickle.dumps(other))) is type(other)


def test_raised_exceptions_can_be_pickled(directory: str) -> None:
    with kvstore.open(directory):
        with pytest.raises(kvstore.LockedError) as caught:
            kvstore.open(directory)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.pid == os.getpid() and again.errno == caught.value.errno
    assert str(again) == str(caught.value)
