"""Directories that the Go store wrote open to exactly what their ``.json`` says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import kvstore
import pytest

GOLDEN = Path(__file__).parent.parent / "fixtures" / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def expected(name: str) -> dict[str, str]:
    content: dict[str, str] = json.loads((GOLDEN / f"{name}.json").read_text())
    return content


def content(store: kvstore.Store) -> dict[str, str]:
    return {key.hex(): value.hex() for key, value in store.items()}


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copied = tmp_path / str(request.param)
    shutil.copytree(GOLDEN / request.param, copied)
    for path in (copied, *copied.iterdir()):
        path.chmod(0o755)
    return copied


def test_there_are_some() -> None:
    assert {"clean", "crash", "empty", "wal-only"} <= set(NAMES)


@pytest.mark.parametrize("flag", ["r", "w", "c"])
def test_opens_to_its_json(golden: Path, flag: str) -> None:
    with kvstore.open(golden, flag) as store:  # type: ignore[arg-type]
        assert content(store) == expected(golden.name)
        assert len(store) == len(expected(golden.name))
        for key, value in expected(golden.name).items():
            assert store[bytes.fromhex(key)].hex() == value


def test_reading_changes_nothing(golden: Path) -> None:
    before = {path.name: path.read_bytes() for path in golden.iterdir()}
    with kvstore.open(golden, "r") as store:
        assert content(store) == expected(golden.name)
    after = {path.name: path.read_bytes() for path in golden.iterdir() if path.name != "LOCK"}
    assert after == before


def test_can_be_written_and_opened_again(golden: Path) -> None:
    wanted = expected(golden.name) | {b"ours".hex(): b"new".hex()}
    with kvstore.open(golden) as store:
        store[b"ours"] = b"new"
    assert (golden / "wal.log").read_bytes() == b""
    with kvstore.open(golden) as store:
        assert content(store) == wanted
        assert store.recovery_report()["clean"]


def test_is_emptied_by_flag_n(golden: Path) -> None:
    unknown = golden / "notes.txt"
    unknown.write_text("not the store's")
    with kvstore.open(golden, "n") as store:
        assert len(store) == 0 and list(store) == []
        store[b"a"] = b"1"
    with kvstore.open(golden) as store:
        assert store == {b"a": b"1"}
    assert unknown.read_text() == "not the store's"
