"""Failing disks: a full one loses nothing, and a failed sync is final."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kvstore
import pytest

Python = Callable[..., "subprocess.Popen[str]"]


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_a_file_size_limit_loses_nothing(python: Python, directory: str) -> None:
    source = """
import resource, sys, kvstore
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
written = {}
with kvstore.open(sys.argv[1], durability="os", close_checkpoint="never") as store:
    try:
        for i in range(10_000):
            store[b"%d" % i] = b"x" * 1000
            written[b"%d" % i] = b"x" * 1000
    except kvstore.StorageError as error:
        print(error.errno, error.filename)
    assert store == written and len(written) > 100
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    store[b"after"] = b"there is room again"
print(len(written))
"""
    first, second = finished(python(source, directory)).splitlines()
    number, filename = first.split(maxsplit=1)
    assert int(number) in (errno.EFBIG, errno.ENOSPC)
    assert filename.startswith(directory)
    with kvstore.open(directory) as store:
        assert len(store) == int(second) + 1
        assert store[b"after"] == b"there is room again"


SMALL_DISK = Path(__file__).parents[1] / "small_disk.sh"

FILL = """
import errno, os, sys, kvstore
directory, durability = sys.argv[1:]
os.chdir(directory)  # which lies under the new disk
with open("room", "wb") as file:
    file.write(bytes(4 << 20))

def fill(number):
    while True:
        key, value = b"%d" % number, b"%d " % number * (number * 7919 % 8000)
        try:
            store[key] = value
        except kvstore.StorageError as error:
            assert error.errno == errno.ENOSPC and "room" in str(error), error
            assert error.filename.startswith(directory) and key not in store
            return number
        written[key] = value
        number += 1

written = {}
store = kvstore.open("data", durability=durability)
number = fill(0)
assert store == written and number > 100, number
del store[b"0"], written[b"0"]
assert store == written
os.remove("room")
assert fill(number) > number + 20
for _ in range(2):
    assert store == written
    try:
        store.close()
    except kvstore.StorageError as error:
        assert error.errno == errno.ENOSPC and "nothing is lost" in str(error), error
    else:
        raise AssertionError("a snapshot fitted")
    assert store.closed
    store = kvstore.open("data", durability=durability, close_checkpoint="never")
    assert store.recovery_report()["bytes_cut"] == 0
    assert store == written
    store.close()
    store = kvstore.open("data", durability=durability)
assert store == written
print(f"a disk of 16 MiB filled with {len(written)} records, durability {durability}: none lost")
os._exit(0)  # closing would find no room
"""


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, durability: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A tmpfs of 16 MiB; a page that was promised and is not there would be a SIGBUS."""
    python: list[str | Path] = [sys.executable, "-X", "dev", "-u", "-c", FILL, tmp_path, durability]
    filled = subprocess.run(
        [SMALL_DISK, "16m", tmp_path, *python], capture_output=True, text=True, timeout=60
    )
    with capfd.disabled():
        print("\n" + (filled.stdout or filled.stderr).strip())
    if filled.returncode == 77:
        pytest.skip(filled.stderr.strip())
    assert filled.returncode == 0, filled.stderr
    assert "none lost" in filled.stdout


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int call(const char *name, int fd) {
    const char *broken = getenv("BROKEN_DISK");
    if (broken && access(broken, F_OK) == 0) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fdatasync(int fd) { return call("fdatasync", fd); }
int fsync(int fd) { return call("fsync", fd); }
"""


@pytest.fixture
def breakable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path: while a file exists there, every sync of a new process fails."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"],
        check=True,
    )
    broken = tmp_path / "broken"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("BROKEN_DISK", str(broken))
    return broken


def test_a_failed_sync_is_final(python: Python, directory: str, breakable: Path) -> None:
    source = """
import errno, pathlib, sys, kvstore
directory, broken = sys.argv[1], pathlib.Path(sys.argv[2])

def refused(call, exception):
    try:
        call()
    except kvstore.StorageError as error:
        assert type(error) is exception, repr(error)
        assert error.errno == errno.EIO and error.filename.startswith(directory), repr(error)
    else:
        raise AssertionError("not refused")

store = kvstore.open(directory)
store[b"before"] = b"1"
broken.touch()
refused(lambda: store.set(b"during", b"2"), kvstore.IndeterminateError)
broken.unlink()
for call in (
    lambda: store.set(b"after", b"3"),
    lambda: store.set(b"after", b"3", durability="os"),
    lambda: store.delete(b"before"),
    lambda: store.update({b"after": b"3"}),
    lambda: store.clear(),
    store.sync,
):
    refused(call, kvstore.PoisonedError)
assert store[b"before"] == b"1"
refused(store.close, kvstore.PoisonedError)
assert store.closed
store.close()
"""
    finished(python(source, directory, str(breakable)))
    with kvstore.open(directory) as store:
        assert store[b"before"] == b"1"
        assert b"after" not in store
        store[b"after"] = b"3"
