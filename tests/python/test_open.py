"""``open``: flags, options, and what closing leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kvstore
import pytest


def test_the_default_creates_directories(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with kvstore.open(path) as store:
        store[b"k"] = b"v"
    assert path.is_dir()


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_every_kind_of_path(directory: str, kind: Any) -> None:
    with kvstore.open(kind(directory)) as store:
        assert store.path == directory


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    with kvstore.open(path) as store:
        assert os.fsencode(store.path) == path
        store[b"k"] = b"v"
        assert "kvstore.Store" in repr(store)
    with kvstore.open(path, "r") as store:
        assert store[b"k"] == b"v"


def test_flag_c_keeps_what_is_there(directory: str) -> None:
    for expected in (0, 1):
        with kvstore.open(directory, "c") as store:
            assert len(store) == expected
            store[b"k"] = b"v"


def test_flag_w_needs_the_directory(directory: str) -> None:
    with pytest.raises(kvstore.StorageError):
        kvstore.open(directory, "w")
    assert not os.path.exists(directory)
    kvstore.open(directory).close()
    with kvstore.open(directory, "w") as store:
        store[b"k"] = b"v"
        assert not store.readonly


def test_flag_r_only_reads(directory: str) -> None:
    with pytest.raises(kvstore.StorageError):
        kvstore.open(directory, "r")
    assert not os.path.exists(directory)
    with kvstore.open(directory) as store:
        store[b"k"] = b"v"
    with kvstore.open(directory, "r") as store, kvstore.open(directory, "r") as second:
        assert store == second == {b"k": b"v"}
        assert store.readonly
        for write in (
            lambda: store.set(b"k", b"w"),
            lambda: store.delete(b"k"),
            lambda: store.pop(b"k"),
            lambda: store.popitem(),
            lambda: store.setdefault(b"l", b"v"),
            lambda: store.update({b"k": b"w"}),
            lambda: store.delete_many([b"k"]),
            lambda: store.clear(),
        ):
            with pytest.raises(kvstore.ReadOnlyError):
                write()
        assert store == {b"k": b"v"}


def test_flag_n_is_always_empty(directory: str) -> None:
    for _ in range(2):
        with kvstore.open(directory, "n") as store:
            assert len(store) == 0 and not store.readonly
            store.update((b"%d" % i, b"v" * 100) for i in range(100))
    with kvstore.open(directory) as store:
        assert len(store) == 100


def test_flag_n_needs_the_lock_first(directory: str) -> None:
    with kvstore.open(directory) as store:
        store[b"k"] = b"v"
        with pytest.raises(kvstore.LockedError):
            kvstore.open(directory, "n")
        assert store == {b"k": b"v"}


def test_flag_n_with_limits_below_what_is_there(directory: str) -> None:
    with kvstore.open(directory) as store:
        store[b"a long key"] = b"a long value"
    with kvstore.open(directory, "n", max_key_len=2, max_value_len=2) as store:
        assert len(store) == 0
        store[b"ok"] = b"ok"
        with pytest.raises(kvstore.TooLargeError):
            store[b"a long key"] = b""


def test_flag_n_does_not_discard_a_damaged_store(directory: str) -> None:
    with kvstore.open(directory) as store:
        store[b"k"] = b"v"
    snapshot = Path(directory, "snapshot.dat")
    damaged = snapshot.read_bytes()[:-3]
    snapshot.write_bytes(damaged)
    with pytest.raises(kvstore.CorruptionError):
        kvstore.open(directory, "n")
    assert snapshot.read_bytes() == damaged


def test_close_leaves_a_snapshot_and_an_empty_log(directory: str) -> None:
    store = kvstore.open(directory)
    store[b"k"] = b"v"
    store.close()
    store.close()
    assert Path(directory, "wal.log").stat().st_size == 0
    assert Path(directory, "snapshot.dat").read_bytes().startswith(b"KVSP")


def test_close_checkpoint_never_keeps_the_log(directory: str) -> None:
    with kvstore.open(directory, close_checkpoint="never") as store:
        store[b"k"] = b"v"
    assert Path(directory, "wal.log").stat().st_size > 0
    with kvstore.open(directory, close_checkpoint="always") as store:
        assert store == {b"k": b"v"}
        assert store.recovery_report()["log_records"] == 1
        assert not store.recovery_report()["clean"]
        store[b"l"] = b"w"
    assert Path(directory, "wal.log").stat().st_size == 0


def test_with_closes_after_an_exception(directory: str) -> None:
    with pytest.raises(ZeroDivisionError):
        with kvstore.open(directory) as store:
            store[b"k"] = b"v"
            1 / 0
    assert store.closed
    with kvstore.open(directory) as store:
        assert store == {b"k": b"v"}


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("flag", "x", ValueError, "flag must be one of 'r', 'w', 'c', 'n', not 'x'"),
        ("flag", "", ValueError, "flag must be one of"),
        ("flag", "rw", ValueError, "flag must be one of"),
        ("flag", 1, TypeError, "flag must be one of"),
        ("flag", None, TypeError, "flag must be one of"),
        ("durability", "fast", ValueError, "durability must be one of 'sync', 'os', not 'fast'"),
        ("durability", True, TypeError, "durability must be one of 'sync', 'os', not True"),
        ("durability", None, TypeError, "durability must be one of"),
        ("checkpoint_bytes", -1, ValueError, "checkpoint_bytes must be None or an int from 0"),
        ("checkpoint_bytes", "1", TypeError, "checkpoint_bytes must be None or an int from 0"),
        ("strict_recovery", 1, TypeError, "strict_recovery must be a bool, not 1"),
        ("transaction_timeout", -1, ValueError, "transaction_timeout must be a number"),
        ("transaction_timeout", "5", TypeError, "transaction_timeout must be a number"),
        ("lock_timeout", -1, ValueError, "lock_timeout must be a number of seconds, 0 or more"),
        ("lock_timeout", float("nan"), ValueError, "lock_timeout must be a number of seconds"),
        ("lock_timeout", "1", TypeError, "lock_timeout must be a number of seconds"),
        ("lock_timeout", None, TypeError, "lock_timeout must be a number of seconds"),
        ("max_key_len", -1, ValueError, "max_key_len must be None or an int from 0 to 4294967295"),
        ("max_key_len", 1 << 32, ValueError, "max_key_len must be None or an int from 0 to"),
        ("max_key_len", 1 << 70, ValueError, "max_key_len must be None or an int from 0 to"),
        ("max_key_len", "1", TypeError, "max_key_len must be None or an int from 0 to"),
        ("max_value_len", -1, ValueError, "max_value_len must be None or an int from 0 to"),
        ("max_value_len", 1.5, TypeError, "max_value_len must be None or an int from 0 to"),
        ("close_checkpoint", "x", ValueError, "must be one of 'auto', 'always', 'never', not 'x'"),
        ("close_checkpoint", 0, TypeError, "must be one of 'auto', 'always', 'never', not 0"),
        ("path", 1, TypeError, "PathLike"),
        ("path", None, TypeError, "PathLike"),
        ("path", "", ValueError, "path must name a directory"),
        ("path", "a\0b", ValueError, "null bytes"),
        ("unknown", 1, TypeError, "unknown"),
    ],
)
def test_wrong_arguments_are_refused(
    directory: str, name: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        kvstore.open(**{"path": directory, name: value})
    assert words in str(caught.value)
    assert not os.path.exists(directory)


def test_wrong_durability_of_a_write_is_refused(store: kvstore.Store) -> None:
    with pytest.raises(ValueError, match="durability must be one of 'sync', 'os', not 'fast'"):
        store.set(b"k", b"v", durability="fast")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="durability must be one of"):
        store.delete(b"k", durability=1)  # type: ignore[arg-type]
    assert len(store) == 0


def test_limits_are_inclusive(directory: str) -> None:
    with kvstore.open(directory, max_key_len=3, max_value_len=0) as store:
        store[b"abc"] = b""
        assert store == {b"abc": b""}


def test_the_longest_waits_are_accepted(tmp_path: Path) -> None:
    for seconds in (1, 1.5, 1e300, float("inf"), True):
        kvstore.open(tmp_path / "data", lock_timeout=seconds).close()


def test_strict_recovery_refuses_damage_to_synced_data_and_not_a_torn_write(directory: str) -> None:
    store = kvstore.open(directory, close_checkpoint="never")
    for number in range(3):
        store[b"key %d" % number] = b"value"
    store.close()
    log = Path(directory, "wal.log")
    whole = log.read_bytes()
    log.write_bytes(whole[:60] + b"\xff" + whole[61:])
    with pytest.raises(kvstore.CorruptionError, match="synced data is damaged") as caught:
        kvstore.open(directory, strict_recovery=True)
    assert caught.value.path == str(log) and caught.value.offset == 41
    with pytest.warns(kvstore.DamageWarning), kvstore.open(directory) as store:
        report = store.recovery_report()
        assert report["damaged"] and report["log_records"] == 0 and report["quarantine"]
    log.write_bytes(whole[: -41 - 3])  # into the last record, behind which close has left a mark
    Path(directory, "snapshot.dat").unlink(missing_ok=True)
    with kvstore.open(directory, strict_recovery=True) as store:
        report = store.recovery_report()
        assert not report["damaged"] and report["bytes_cut"] and len(store) == 2


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
exec "$2" -c '
import sys, kvstore
for flag in "wcn":
    try:
        kvstore.open(sys.argv[1], flag)
    except kvstore.StorageError as error:
        print(error)
print(dict(kvstore.open(sys.argv[1], "r")))
' "$1"
"""


def test_on_a_read_only_file_system_the_error_says_what_to_do(directory: str) -> None:
    with kvstore.open(directory) as store:
        store[b"a"] = b"1"
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare, to have mounts of its own")
    command = [unshare, "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]
    done = subprocess.run([*command, directory, sys.executable], capture_output=True, text=True)
    if done.returncode != 0 and "Traceback" not in done.stderr:
        pytest.skip(f"this user may not mount: {done.stderr}")
    *errors, content = done.stdout.splitlines()
    assert len(errors) == 3 and content == "{b'a': b'1'}", done.stderr
    for error in errors:
        assert "LOCK: Read-only file system" in error
        assert error.count("open it read-only") == 1
