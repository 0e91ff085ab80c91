"""An open that finds synced data damaged says so, and only then."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import kvstore
import pytest


def record(log: Path) -> int:
    """Leaves three synced records of equal length in ``log``; where the second begins."""
    with kvstore.open(log.parent, close_checkpoint="never") as store:
        ends = []
        for number in range(3):
            store[b"key %d" % number] = b"value"
            ends.append(store.stats()["log_bytes"])
    return ends[0]


@pytest.fixture
def damaged(directory: str) -> Path:
    """A log whose second record has a byte that was not written there."""
    log = Path(directory, "wal.log")
    second = record(log)
    content = bytearray(log.read_bytes())
    content[content.index(b"key 1", second)] ^= 1
    log.write_bytes(content)
    return log


def test_the_warning_says_what_where_and_what_to_do(damaged: Path) -> None:
    with pytest.warns(kvstore.DamageWarning) as caught:
        store = kvstore.open(damaged.parent)
    with store:
        report = store.recovery_report()
        assert dict(store) == {b"key 0": b"value"}
    [warning] = caught
    text = str(warning.message)
    assert warning.filename == __file__
    assert f"{report['bytes_cut']} bytes were cut" in text
    assert f"offset {report['cut_offset']} of {damaged} " in text
    assert f"kept in {report['quarantine']}" in text and report["quarantine"] is not None
    assert "strict_recovery=True" in text
    with kvstore.open(damaged.parent) as store:  # it was cut
        assert len(store) == 1


def test_a_read_only_open_cuts_nothing_and_warns_each_time(damaged: Path) -> None:
    before = damaged.read_bytes()
    for _ in range(2):
        with pytest.warns(kvstore.DamageWarning, match="bytes were left out, from") as caught:
            kvstore.open(damaged.parent, "r").close()
        assert "kept in" not in str(caught[0].message)
    assert damaged.read_bytes() == before


@pytest.mark.parametrize("flag", ["c", "w", "n"])
def test_as_an_error_it_leaves_no_store_open_and_writes_nothing(damaged: Path, flag: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", kvstore.DamageWarning)
        with pytest.raises(kvstore.DamageWarning, match="bytes were cut"):
            kvstore.open(damaged.parent, flag, close_checkpoint="always")  # type: ignore[arg-type]
    assert not (damaged.parent / "snapshot.dat").exists()
    quarantined = list((damaged.parent / "quarantine").iterdir())
    assert len(quarantined) == 1 and quarantined[0].read_bytes().count(b"value") == 2
    with kvstore.open(damaged.parent) as store:
        assert dict(store) == {b"key 0": b"value"}


def test_a_torn_tail_is_no_damage(directory: str) -> None:
    log = Path(directory, "wal.log")
    record(log)
    whole = log.read_bytes()
    end = whole.rindex(b"value")
    log.write_bytes(whole[: end + 2])
    with kvstore.open(directory) as store:  # warnings are errors here
        report = store.recovery_report()
        assert report["bytes_cut"] and not report["damaged"] and len(store) == 2


def test_strict_recovery_refuses_and_does_not_warn(damaged: Path) -> None:
    with pytest.raises(kvstore.CorruptionError):
        kvstore.open(damaged.parent, strict_recovery=True)


def test_a_path_that_is_not_text_can_be_warned_of(tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(b"\xff")
    log = directory / "wal.log"
    second = record(log)
    content = bytearray(log.read_bytes())
    content[content.index(b"key 1", second)] ^= 1
    log.write_bytes(content)
    with pytest.warns(kvstore.DamageWarning, match="bytes were cut"):
        kvstore.open(directory).close()


def test_the_category() -> None:
    assert issubclass(kvstore.DamageWarning, RuntimeWarning)
    assert kvstore.DamageWarning.__module__ == "kvstore"
