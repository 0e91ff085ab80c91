"""Checking a directory, and making one that opens out of one that is damaged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import kvstore
import pytest


def files(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A closed store with the records 0 to 29."""
    with kvstore.open(tmp_path / "closed", durability="os") as store:
        store.update((b"%02d" % number, b"value") for number in range(30))
    return tmp_path / "closed"


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_sound_directory(closed: Path) -> None:
    before = files(closed)
    found = kvstore.verify(closed)
    assert files(closed) == before
    assert found["condition"] == "sound" and found["sound"] and not found["refuses_to_open"]
    assert found["directory"] == os.path.realpath(closed)
    assert found["snapshot"] is not None and found["snapshot"]["count"] == 30
    assert found["findings"] == [] and found["quarantine"] == []
    assert found["report"].endswith("what to do: nothing.")
    assert kvstore.verify(os.fsencode(closed)) == kvstore.verify(str(closed)) == found


@pytest.mark.parametrize("name", ["clean", "crash", "wal-only", "empty"])
def test_the_directories_of_the_go_store_are_sound(name: str) -> None:
    golden = Path(__file__).parents[1] / "fixtures" / "golden" / name
    assert kvstore.verify(golden)["condition"] == "sound"


def test_a_damaged_snapshot(closed: Path, tmp_path: Path) -> None:
    entry = 12 + 2 + 5
    flip(closed / "snapshot.dat", 20 + 10 * entry + 5)
    before = files(closed)
    with pytest.raises(kvstore.CorruptionError):
        kvstore.open(closed, "r")
    found = kvstore.verify(closed)
    assert found["condition"] == "damaged" and found["refuses_to_open"]
    [finding] = found["findings"]
    assert (finding["offset"], finding["len"]) == (20 + 10 * entry, entry)
    assert finding["path"].endswith("/snapshot.dat") and "checksum" in finding["what"]

    repaired = kvstore.repair(closed, tmp_path / "repaired")
    assert repaired["records"] == 10 and repaired["complete_up_to"] == b"09"
    assert not repaired["complete"] and not repaired["is_prefix"]
    assert repaired["left_out"][0]["entries"] == 19
    assert repaired["source"] == found
    with kvstore.open(tmp_path / "repaired") as store:
        assert list(store) == [b"%02d" % number for number in range(10)]

    salvaged = kvstore.salvage(closed, tmp_path / "salvaged")
    assert salvaged["records"] == 29 and salvaged["applied_behind"] == 19
    assert salvaged["report"] + "\n" == (tmp_path / "salvaged" / "SALVAGED.txt").read_text()
    with kvstore.open(tmp_path / "salvaged") as store:
        assert b"10" not in store and len(store) == 29
    assert files(closed) == before


def test_a_damaged_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with kvstore.open(data, close_checkpoint="never") as store:
        for number in range(3):
            store[b"%d" % number] = b"value"
    flip(data / "wal.log", 50)
    found = kvstore.verify(data)
    assert found["condition"] == "damaged" and not found["refuses_to_open"]
    [log] = found["logs"]
    assert (log["sets"], log["entries_behind"], log["log_use"]) == (0, 2, "replayed")
    repaired = kvstore.repair(data, tmp_path / "repaired")
    assert repaired["is_prefix"] and not repaired["complete"]
    assert kvstore.salvage(data, tmp_path / "salvaged")["records"] == 2


def test_errors(closed: Path, tmp_path: Path) -> None:
    with kvstore.open(closed):
        with pytest.raises(kvstore.LockedError) as locked:
            kvstore.verify(closed)
        assert locked.value.pid == os.getpid()
        with pytest.raises(kvstore.LockedError):
            kvstore.salvage(closed, tmp_path / "new")
    with kvstore.open(closed, "r"):
        assert kvstore.verify(closed)["sound"]
    with pytest.raises(kvstore.StorageError):
        kvstore.verify(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no store"):
        kvstore.verify(tmp_path)
    with pytest.raises(ValueError, match="is not empty"):
        kvstore.repair(closed, tmp_path)
    with pytest.raises(ValueError, match="lies in the directory"):
        kvstore.repair(closed, closed / "new")
    with pytest.raises(TypeError):
        kvstore.verify(5)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("make", [kvstore.repair, kvstore.salvage])
def test_a_signal_leaves_nothing_of_what_was_begun(
    tmp_path: Path, make: Callable[[Path, Path], object]
) -> None:
    """Whenever it comes: where the handler's exception is seen, the new directory is not."""
    with kvstore.open(tmp_path / "data", durability="os", close_checkpoint="never") as store:
        store.set_many((b"%06d" % number, b"value" * 20) for number in range(100_000))

    def interrupt(*_: object) -> None:
        raise InterruptedError

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in (0.0001, 0.001, 0.003, 0.01):
            with pytest.raises(InterruptedError):
                signal.setitimer(signal.ITIMER_REAL, delay)
                make(tmp_path / "data", tmp_path / "new")
            assert os.listdir(tmp_path) == ["data"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    make(tmp_path / "data", tmp_path / "new")
    with kvstore.open(tmp_path / "new", "r") as store:
        assert len(store) == 100_000
