"""What a store costs beside a ``dict``, in nanoseconds.

    python bindings/python/bench.py [--records N] [--rounds N] [--json]

Every figure is the median of several rounds, and the rounds of what is compared alternate, so that
whatever else the machine does falls on both; a ratio is the median of the rounds' ratios. Keys and
values are random bytes; keys are looked up in one random order, the same for ``dict`` and store.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import kvstore

KEY, VALUE = 16, 100


def by_item(mapping: Mapping[bytes, bytes], keys: Sequence[bytes]) -> None:
    for key in keys:
        mapping[key]


def by_get(mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes]) -> None:
    get = mapping.get
    for key in keys:
        get(key)


def by_in(mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes]) -> None:
    for key in keys:
        key in mapping  # noqa: B015


def into_list(mapping: dict[bytes, bytes], keys: Sequence[bytes]) -> list[bytes]:
    return [mapping[key] for key in keys]


def by_assignment(
    mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes], value: bytes
) -> None:
    for key in keys:
        mapping[key] = value


def timed(work: Callable[[], object], count: int) -> float:
    started = time.perf_counter_ns()
    result = work()
    elapsed = time.perf_counter_ns() - started
    del result  # freeing what was made is not counted
    return elapsed / count


class Figures:
    """Nanoseconds for each operation, by name: one sample a round."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.samples: dict[str, list[float]] = {}

    def take(self, what: str, count: int, works: dict[str, Callable[[], object]]) -> None:
        """Measures works of ``count`` operations each, which take turns."""
        for _ in range(self.rounds):
            for kind, work in works.items():
                self.samples.setdefault(f"{what}, {kind}", []).append(timed(work, count))

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(samples) for name, samples in self.samples.items()}

    def ratio(self, name: str, other: str) -> float:
        pairs = zip(self.samples[name], self.samples[other], strict=True)
        return statistics.median(one / two for one, two in pairs)


def take_scans(figures: Figures, where: str, store: kvstore.Store, records: int) -> None:
    """A full scan, of records that lie in a log as they were written, or in order in a snapshot.

    Into a list, most of the time goes into memory for three new objects a record; the limit is what
    ``struct`` needs to make the same list out of one block of bytes.
    """
    block = random.randbytes((KEY + VALUE) * records)
    layout = struct.Struct(f"{KEY}s{VALUE}s")
    next(store.scan())  # puts the keys in order
    figures.take(
        f"list(scan()), {where}",
        records,
        {
            "struct.iter_unpack": lambda: list(layout.iter_unpack(block)),
            "store": lambda: list(store.scan()),
        },
    )
    figures.take(
        f"for pair in scan(), {where}",
        records,
        {
            "struct.iter_unpack": lambda: sum(1 for _ in layout.iter_unpack(block)),
            "store": lambda: sum(1 for _ in store.scan()),
        },
    )
    figures.take(f"for key in s, {where}", records, {"store": lambda: sum(1 for _ in store)})


def measure(directory: str, records: int, rounds: int) -> Figures:
    keys = [random.randbytes(KEY) for _ in range(records)]
    table = {key: random.randbytes(VALUE) for key in keys}
    order = random.sample(keys, records)
    chunks = [order[i : i + 64] for i in range(0, records, 64)]
    some = order[: records // 10]
    few = order[:500]
    absent = [random.randbytes(KEY) for _ in some]
    value = random.randbytes(VALUE)
    figures = Figures(rounds)

    with kvstore.open(directory, "n", durability="os", close_checkpoint="never") as store:
        store.update(table)
        assert store == table
        for what, work, looked_up in (
            ("s[k]", by_item, order),
            ("s.get(k)", by_get, order),
            ("k in s", by_in, order),
            ("k in s, absent", by_in, absent),
        ):
            figures.take(
                what,
                len(looked_up),
                {
                    "dict": lambda: work(table, looked_up),
                    "store": lambda: work(store, looked_up),
                },
            )
        figures.take(
            "all at once",
            records,
            {
                "[d[k] for k in keys]": lambda: into_list(table, order),
                "get_many(keys)": lambda: store.get_many(order),
            },
        )
        figures.take(
            "64 at a time",
            records,
            {
                "[d[k] for k in keys]": lambda: [into_list(table, chunk) for chunk in chunks],
                "get_many(keys)": lambda: [store.get_many(chunk) for chunk in chunks],
            },
        )
        take_scans(figures, "log", store, records)
        with store.view() as view:
            figures.take(
                "view[k]",
                len(some),
                {"store": lambda: by_item(store, some), "view": lambda: by_item(view, some)},
            )
        figures.take(
            'set, "os"',
            len(some),
            {
                "dict": lambda: by_assignment(table, some, value),
                "store": lambda: by_assignment(store, some, value),
            },
        )
    with kvstore.open(directory) as store:
        store.sync()  # closing writes a snapshot, in which the records lie in order
    with kvstore.open(directory) as store:
        take_scans(figures, "snapshot", store, records)
    with kvstore.open(os.path.join(directory, "synced")) as store:
        figures.take('set, "sync"', len(few), {"store": lambda: by_assignment(store, few, value)})
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="A store beside a dict.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", help="where to make the store; a temporary one if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        figures = measure(directory, arguments.records, arguments.rounds)
    ratios = {
        "s[k], store / dict": figures.ratio("s[k], store", "s[k], dict"),
        "list(scan()) of a log / limit": figures.ratio(
            "list(scan()), log, store", "list(scan()), log, struct.iter_unpack"
        ),
        "get_many / dict loop": figures.ratio(
            "all at once, get_many(keys)", "all at once, [d[k] for k in keys]"
        ),
    }
    if arguments.json:
        summary = {"records": arguments.records, "ns": figures.medians(), "ratios": ratios}
        print(json.dumps(summary))
        return
    print(f"{arguments.records:,} records, keys of {KEY} bytes, values of {VALUE}")
    print(f"{'':44}{'ns each':>10}")
    for name, figure in figures.medians().items():
        print(f"{name:44}{figure:10.0f}")
    print(f"{'':44}{'ratio':>10}")
    for name, ratio in ratios.items():
        print(f"{name:44}{ratio:10.2f}")


if __name__ == "__main__":
    main()
