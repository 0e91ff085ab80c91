"""Runs the demo: see README.md. Exits with 0 only if nothing differs.

    python demo/run.py

Only the standard library is used here; the interpreter must have the package `kvstore` for
`change.py`, and `libkvstore.so` must have been built.
"""

import hashlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from subprocess import PIPE
from types import FrameType
from typing import NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RECORDS = 100_000
SYNCED = 1_000
REPORT_EVERY = 10
TIMEOUT = 300  # seconds for one program; the slowest takes a few
MEASURED = re.compile(r"measured: (.*): (\d+) records in (\d+) ns")
REPORT = re.compile(rb"(\d+) records, (\d+) ns")

# The writer is killed once this much is acknowledged. It cannot finish before the signal arrives,
# however late that is: the pipe holds 64 KiB and one read takes 4 KiB of it, which together are
# the reports on less than 30,000 records; and while the pipe is full, the writer waits.
KILL_AT = RECORDS * 6 // 10
PIPE_SIZE = 65536
PIPE_READ = 4096


class Differs(Exception):
    """Something is not as it should be; the text says what."""


def library_directory() -> Path:
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    directory = Path(os.environ.get("KVSTORE_LIB_DIR", Path(target) / "release")).resolve()
    for name in ["libkvstore.so", "libkvstore.so.0"]:
        if not (directory / name).exists():
            raise Differs(f"{directory / name} is missing: build it with `make lib`")
    return directory


def show(what: str, records: int, nanoseconds: int) -> None:
    rate = records * 1_000_000_000 // max(nanoseconds, 1)
    each = nanoseconds / max(records, 1)
    print(
        f"    {what:<38}{records:>7,} records {nanoseconds / 1e6:>8.1f} ms {rate:>11,} /s"
        f" {each:>9,.0f} ns each"
    )


def run(what: str, *command: str | Path) -> str:
    """Runs a program, shows what it said and measured, and returns that."""
    try:
        done = subprocess.run(command, stdout=PIPE, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Differs(f"{what} did not end within {TIMEOUT} s") from None
    for line in done.stdout.splitlines():
        if match := MEASURED.fullmatch(line):
            show(match[1], int(match[2]), int(match[3]))
        elif not line.startswith("recovered:"):
            print(f"    {line}")
    if done.returncode != 0:
        raise Differs(f"{what} failed with status {done.returncode}; see above")
    return done.stdout


def compile_programs(work: Path, libraries: Path) -> None:
    for compiler, standard, source, program in [
        (os.environ.get("CC", "cc"), "c11", "writer.c", "writer"),
        (os.environ.get("CXX", "c++"), "c++17", "read.cpp", "read"),
    ]:
        command = [
            *shlex.split(compiler),
            *[f"-std={standard}", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"],
            *[f"-I{ROOT}/include", "-o", f"{work}/{program}", f"{HERE}/{source}"],
            *[f"-L{libraries}", "-lkvstore", f"-Wl,-rpath,{libraries}"],
        ]
        run(f"compiling {source}", *command)


def write_and_kill(writer: Path, directory: Path) -> int:
    """How many records the writer had acknowledged when it was killed."""
    acknowledged = spent = synced = 0
    killed = False
    unread = b""
    command = [writer, directory]
    with subprocess.Popen(command, stdout=PIPE, bufsize=0, pipesize=PIPE_SIZE) as process:
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        assert process.stdout is not None
        try:
            # To the end of the pipe: what is in it when the writer dies was acknowledged too.
            while chunk := process.stdout.read(PIPE_READ):
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    match = REPORT.fullmatch(line)
                    if not match or int(match[1]) != acknowledged + REPORT_EVERY:
                        raise Differs(f"after {acknowledged} records the writer said {line!r}")
                    acknowledged, spent = int(match[1]), int(match[2])
                    if acknowledged == SYNCED:
                        synced = spent
                if acknowledged >= KILL_AT and not killed:
                    # A report wakes this process while the writer rests. Let it get on, so that
                    # the signal may hit it anywhere, also in the middle of a record.
                    time.sleep(random.uniform(0.0002, 0.002))
                    process.kill()
                    killed = True
        finally:
            watchdog.cancel()
            process.kill()
    if process.returncode != -signal.SIGKILL or not killed:
        raise Differs(
            f"the writer ended with status {process.returncode} after {acknowledged} records, "
            f"or took more than {TIMEOUT} s: it was to be killed after {KILL_AT}"
        )
    if acknowledged >= RECORDS:
        raise Differs("the writer had written everything before it was killed")
    show("set with sync durability", SYNCED, synced)
    show("set with os durability", acknowledged - SYNCED, spent - synced)
    print(f"    Killed by SIGKILL when {acknowledged:,} of {RECORDS:,} records were acknowledged.")
    return acknowledged


def contents(directory: Path) -> dict[str, str]:
    """The hash of every file, to tell whether anything has changed."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def demo(work: Path) -> None:
    directory = work / "data"
    libraries = library_directory()
    start = time.monotonic()
    compile_programs(work, libraries)
    print(f"writer.c and read.cpp were compiled in {time.monotonic() - start:.1f} s")

    print("writer.c writes with the C library, and is killed")
    acknowledged = write_and_kill(work / "writer", directory)

    print("change.py opens the directory with the Python package")
    said = run("change.py", sys.executable, HERE / "change.py", directory, str(acknowledged))
    match = re.search(r"^recovered: (\d+)$", said, re.MULTILINE)
    if not match:
        raise Differs("change.py did not say how many records were recovered")
    n = int(match[1])
    if not acknowledged <= n <= acknowledged + REPORT_EVERY:
        raise Differs(f"{acknowledged} records were acknowledged and {n} recovered")
    print(f"    All {acknowledged:,} acknowledged records are there, and {n - acknowledged} more.")
    changed = contents(directory)

    print("read.cpp reads the result with the C library")
    run("read.cpp", work / "read", directory, str(n))

    print("read_ctypes.py reads it with ctypes")
    # Isolated and without installed packages: it cannot see the package even by accident.
    isolated = [sys.executable, "-I", "-S", str(HERE / "read_ctypes.py")]
    run("read_ctypes.py", *isolated, libraries / "libkvstore.so", directory, str(n))

    if contents(directory) != changed:
        raise Differs("reading has changed a file of the store")
    print("demo passed: nothing acknowledged was lost, and all programs agree on every byte")


def stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds, so that the writer ends and the files go


def main() -> int:
    for number in [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]:
        signal.signal(number, stop)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        with tempfile.TemporaryDirectory(prefix="kvstore-demo-") as work:
            demo(Path(work))
    except (Differs, OSError) as problem:
        print(f"demo FAILED: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
