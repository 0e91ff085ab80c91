"""Other processes: locks and waiting, kills, and the end of the interpreter."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Literal

import kvstore
import pytest

Python = Callable[..., "subprocess.Popen[str]"]

HOLDER = """
import sys, kvstore
store = kvstore.open(sys.argv[1])
store[b"held"] = b"yes"
print("open", flush=True)
sys.stdin.readline()
store.close()
"""


def holding(python: Python, directory: str) -> subprocess.Popen[str]:
    holder = python(HOLDER, directory)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    return holder


def let_go(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()


def test_second_open_names_the_holder(python: Python, directory: str) -> None:
    holder = holding(python, directory)
    for flag in ("r", "w", "c", "n"):
        with pytest.raises(kvstore.LockedError) as caught:
            kvstore.open(directory, flag)
        assert caught.value.pid == holder.pid
        assert str(holder.pid) in str(caught.value)
    let_go(holder)
    assert holder.wait(10) == 0
    with kvstore.open(directory) as store:
        assert store == {b"held": b"yes"}


def test_waiting_for_the_lock_in_vain(python: Python, directory: str) -> None:
    holder = holding(python, directory)
    started = time.monotonic()
    with pytest.raises(kvstore.LockTimeout) as caught:
        kvstore.open(directory, lock_timeout=0.3)
    assert 0.25 < time.monotonic() - started < 5
    assert caught.value.pid == holder.pid
    assert isinstance(caught.value, TimeoutError)


def test_waiting_for_the_lock_with_success(python: Python, directory: str) -> None:
    holder = holding(python, directory)
    threading.Timer(0.3, let_go, [holder]).start()
    with kvstore.open(directory, lock_timeout=float("inf")) as store:
        assert store == {b"held": b"yes"}


def test_waiting_for_the_lock_lets_threads_run_and_signals_through(
    python: Python, directory: str
) -> None:
    holding(python, directory)

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        started = time.monotonic()
        with pytest.raises(Interrupted):
            kvstore.open(directory, lock_timeout=60)
        assert time.monotonic() - started < 5
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_a_killed_holder_leaves_no_lock(python: Python, directory: str) -> None:
    holder = holding(python, directory)
    holder.kill()
    holder.wait(10)
    with kvstore.open(directory, lock_timeout=5) as store:
        assert store == {b"held": b"yes"}
        assert store.recovery_report()["log_records"] == 1


WRITER = """
import sys, kvstore
directory, durability, seed = sys.argv[1:]
store = kvstore.open(directory, durability=durability)
for i in range(10_000_000):
    key = b"%d" % (i % 500)
    store[key] = b"%d:" % i + key * (i % 50)
    if i % 7 == 0:
        del store[key]
    print(i, flush=True)
"""


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_every_acknowledged_write_survives_sigkill(
    python: Python, directory: str, durability: str
) -> None:
    for kill in range(8):
        writer = python(WRITER, directory, durability, str(kill))
        assert writer.stdout is not None
        for _ in range(17 + 61 * kill):
            writer.stdout.readline()
        writer.kill()
        # A line cut short by the kill is no acknowledgement.
        acknowledged = 16 + 61 * kill + writer.stdout.read().count("\n")
        writer.wait()
        with kvstore.open(directory) as store:
            if not matches(store, acknowledged):
                # One more may have been made before the kill came.
                assert matches(store, acknowledged + 1) or half_done(store, acknowledged + 1)
            store.clear()


KILLS = 50


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_fifty_killed_writers_lose_nothing_that_was_acknowledged(
    directory: str, durability: Literal["os", "sync"], capfd: pytest.CaptureFixture[str]
) -> None:
    """As above, faster and at any moment: the writers are forked, and go on with one directory."""
    random = Random(7)
    following = torn = unreported = 0
    expected: dict[bytes, bytes] = {}
    for kill in range(KILLS):
        receiving, sending = os.pipe()
        writer = os.fork()
        if writer == 0:
            try:
                write_forever(directory, durability, following, sending)
            finally:
                os._exit(1)
        os.close(sending)
        with open(receiving, "rb") as reports:
            first = reports.read(8) if kill % 4 else b""
            time.sleep(random.uniform(0, 0.012))
            os.kill(writer, signal.SIGKILL)
            reported = first + reports.read()
        assert os.WTERMSIG(os.waitpid(writer, 0)[1]) == signal.SIGKILL
        for i in range(following, following + len(reported) // 8):
            change(expected, i)
        following += len(reported) // 8
        with kvstore.open(directory, close_checkpoint="always" if kill % 2 else "never") as store:
            report = store.recovery_report()
            assert not report["damaged"]
            torn += report["bytes_cut"] > 0
            if store != expected:
                # The kill came between the write and its report.
                change(expected, following)
                following += 1
                unreported += 1
                assert store == expected
    assert following > KILLS // 2, "the writers hardly wrote"
    with capfd.disabled():
        print(
            f"\n{KILLS} Python writers killed under {durability} durability: all of "
            f"{following - unreported} acknowledged operations are there; "
            f"{unreported} not yet acknowledged, {torn} torn tails",
        )


def write_forever(
    directory: str, durability: Literal["os", "sync"], first: int, reports: int
) -> None:
    store = kvstore.open(directory, durability=durability)
    for i in itertools.count(first):
        key = b"%d" % (i % 500)
        if i % 7 == 0:
            store.delete(key)
        else:
            store[key] = b"%d:" % i + key * (i % 50)
        os.write(reports, i.to_bytes(8, "big"))


def change(expected: dict[bytes, bytes], i: int) -> None:
    """What operation ``i`` of ``write_forever`` does."""
    key = b"%d" % (i % 500)
    if i % 7 == 0:
        expected.pop(key, None)
    else:
        expected[key] = b"%d:" % i + key * (i % 50)


def state(last: int) -> dict[bytes, bytes]:
    """What the writer's store holds once write number ``last`` is done."""
    expected: dict[bytes, bytes] = {}
    for i in range(last + 1):
        key = b"%d" % (i % 500)
        expected[key] = b"%d:" % i + key * (i % 50)
        if i % 7 == 0:
            del expected[key]
    return expected


def matches(store: kvstore.Store, last: int) -> bool:
    return store == state(last)


def half_done(store: kvstore.Store, last: int) -> bool:
    """Set, and not yet deleted."""
    key = b"%d" % (last % 500)
    return store == state(last - 1) | {key: b"%d:" % last + key * (last % 50)}


def test_a_torn_tail_is_reported(python: Python, directory: str) -> None:
    holder = holding(python, directory)
    holder.kill()
    holder.wait(10)
    log = Path(directory, "wal.log")
    content = log.read_bytes().rstrip(b"\0")
    log.write_bytes(content + b"KVLG torn")
    with kvstore.open(directory, lock_timeout=5) as store:
        assert store == {b"held": b"yes"}
        report = store.recovery_report()
        assert report["bytes_cut"] == 9 and report["cut_offset"] == len(content)
        assert not report["clean"]
        assert report["quarantine"] is not None
        assert Path(report["quarantine"]).read_bytes() == b"KVLG torn"
        store[b"more"] = b"after the cut"
    with kvstore.open(directory) as store:
        assert store == {b"held": b"yes", b"more": b"after the cut"}


@pytest.mark.parametrize(
    "source",
    [
        "store = kvstore.open(path); store[b'k'] = b'v'",
        "store = kvstore.open(path); store[b'k'] = b'v'; keys = iter(store); cycle = [keys]; "
        "cycle.append(cycle)",
        "store = kvstore.open(path); store[b'k'] = b'v'; view = store.get_view(b'k')",
        "store = kvstore.open(path); store[b'k'] = b'v'; import builtins; builtins.keep = store",
        "store = kvstore.open(path); store[b'k'] = b'v'; import atexit; "
        "atexit.register(store.set, b'l', b'w')",
        "store = kvstore.open(path); store[b'k'] = b'v'; import os; os._exit(0)",
        "store = kvstore.open(path); store[b'k'] = b'v'; raise SystemExit(0)",
    ],
)
def test_the_interpreter_may_end_with_open_stores(
    python: Python, directory: str, source: str
) -> None:
    ended = python(f"import sys, kvstore; path = sys.argv[1]; {source}", directory)
    _, errors = ended.communicate(timeout=30)
    assert ended.returncode == 0, errors
    assert "Traceback" not in errors and "panicked" not in errors
    with kvstore.open(directory, lock_timeout=5) as store:
        assert store[b"k"] == b"v"


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_the_interpreter_may_end_beside_daemon_threads(
    python: Python, directory: str, durability: str
) -> None:
    source = f"""
import sys, threading, time, kvstore
store = kvstore.open(sys.argv[1], durability={durability!r})
def write(n):
    while True:
        store[b"%d" % n] = b"x" * 1000
        list(store)
for n in range(4):
    threading.Thread(target=write, args=(n,), daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(3):
        ended = python(source, directory)
        _, errors = ended.communicate(timeout=30)
        assert ended.returncode == 0, errors
        assert "panicked" not in errors
    with kvstore.open(directory, lock_timeout=5) as store:
        assert len(store) == 4


def test_an_unclosed_store_warns_and_loses_nothing(directory: str) -> None:
    store = kvstore.open(directory)
    store[b"k"] = b"v"
    with pytest.warns(ResourceWarning, match="unclosed kvstore.Store"):
        del store
    with kvstore.open(directory) as store:
        assert store == {b"k": b"v"}


def test_an_unclosed_store_does_not_disturb_an_exception(directory: str) -> None:
    def fail() -> None:
        store = kvstore.open(directory)
        store[b"k"] = b"v"
        raise LookupError("the real one")

    with pytest.warns(ResourceWarning):
        try:
            fail()
        except LookupError as error:
            assert error.args == ("the real one",)


def test_eight_processes_race_to_open(python: Python, directory: str) -> None:
    kvstore.open(directory).close()
    source = """
import sys, kvstore
sys.stdin.readline()
for _ in range(20):
    try:
        with kvstore.open(sys.argv[1], durability="os") as store:
            count = int(store.get(b"count", b"0"))
            store[b"count"] = b"%d" % (count + 1)
            print("won", flush=True)
    except kvstore.LockedError as error:
        assert error.pid != 0
"""
    racers = [python(source, directory) for _ in range(8)]
    for racer in racers:
        let_go(racer)
    won = 0
    for racer in racers:
        output, errors = racer.communicate(timeout=60)
        assert racer.returncode == 0, errors
        won += output.count("won")
    assert won > 0
    with kvstore.open(directory) as store:
        assert store[b"count"] == b"%d" % won
