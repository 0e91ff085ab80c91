"""Failing disks: a full one loses nothing, and a failed sync is final."""

from __future__ import annotations

import errno
import shutil
import subprocess
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
