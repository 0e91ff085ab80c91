"""Opens what the killed writer left, says what was recovered, checks it, changes some, closes.

    change.py DIRECTORY ACKNOWLEDGED

Needs the package `kvstore`. README.md says what a record is and what is changed. A line that begins
with `measured:` or `recovered:` is for `run.py`.
"""

import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import kvstore

WRITTEN = 100_000
ADDED = range(100_000, 101_000)


def key_of(number: int) -> bytes:
    return b"record:%08x" % (number * 2654435761 % 2**32)


def value_of(number: int, version: int) -> bytes:
    length = 8 + number % 185
    return (struct.pack(">II", number, version) * 24)[:length]


def pairs(numbers: Iterable[int], version: int) -> list[tuple[bytes, bytes]]:
    return [(key_of(number), value_of(number, version)) for number in numbers]


@contextmanager
def measured(what: str, records: int) -> Iterator[None]:
    start = time.perf_counter_ns()
    yield
    print(f"measured: {what}: {records} records in {time.perf_counter_ns() - start} ns")


def say_what_was_recovered(store: kvstore.Store) -> None:
    report = store.recovery_report()
    if report["clean"]:
        print("The store had been closed cleanly.")
        return
    print(
        f"It had not been closed: {report['snapshot_records']:,} records came from a snapshot, "
        f"{report['log_records']:,} from the log."
    )
    if report["quarantine"] is None:
        print("The log ends with a whole record; nothing was cut off.")
    else:
        print(
            f"The log ended inside a record: {report['bytes_cut']} bytes at offset "
            f"{report['cut_offset']} were cut off, and are kept in\n{report['quarantine']}."
        )


def check_prefix(store: kvstore.Store, acknowledged: int) -> int:
    """The number n of recovered records, which must be records 0 to n - 1."""
    n = len(store)
    if n < acknowledged:
        sys.exit(f"change.py: {acknowledged} records were acknowledged, only {n} are there")
    if n >= WRITTEN:
        sys.exit("change.py: every record is there: the writer was not killed in the middle")
    # There are n keys, and each of these n is one of them: so there is no other.
    keys = [key_of(number) for number in range(n)]
    with measured("got and compared, all at once", n):
        for number, value in enumerate(store.get_many(keys)):
            if value != value_of(number, 0):
                sys.exit(f"change.py: record {number} of {n} is {value!r} after the recovery")
    report = store.recovery_report()
    if report["clean"] or report["snapshot_records"] + report["log_records"] != n:
        sys.exit(f"change.py: {n} records are there, which the report does not explain: {report}")
    return n


def change(store: kvstore.Store, n: int) -> None:
    gone = [key_of(number) for number in range(0, n, 7)]
    other = pairs((number for number in range(0, n, 10) if number % 7 != 0), 1)
    new = pairs(ADDED, 0)

    # Durability is "sync", the default: each of the three ends with one sync.
    with measured("changed, synced once", len(other)):
        store.update(other)
    with measured("deleted, synced once", len(gone)):
        deleted = store.delete_many(gone)
    if deleted != len(gone):
        sys.exit(f"change.py: of {len(gone)} records to delete {deleted} were there")
    with measured("added, synced once", len(new)):
        store.update(new)

    left = n - len(gone) + len(new)
    if len(store) != left:
        sys.exit(f"change.py: {len(store)} records are there after the changes, not {left}")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: change.py DIRECTORY ACKNOWLEDGED")
    directory, acknowledged = sys.argv[1], int(sys.argv[2])

    start = time.perf_counter_ns()
    store = kvstore.open(directory, "w")
    elapsed = time.perf_counter_ns() - start
    with store:
        print(f"measured: opened and recovered: {len(store)} records in {elapsed} ns")
        say_what_was_recovered(store)
        n = check_prefix(store, acknowledged)
        print(f"recovered: {n}")
        change(store, n)
        with measured("closed, with a snapshot", len(store)):
            store.close()


if __name__ == "__main__":
    main()
