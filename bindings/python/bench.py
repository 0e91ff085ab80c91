"""What a store costs beside a ``dict``, in nanoseconds.

    python bindings/python/bench.py [--records N] [--rounds N] [--json]

Every figure is the median of several rounds, and the rounds of what is compared alternate, so that
whatever else the machine does falls on both. Keys and values are random bytes; keys are looked up
in one random order, the same for the ``dict`` and the store.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import kvstore

KEY, VALUE = 16, 100


def by_item(mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes]) -> None:
    for key in keys:
        mapping[key]


def by_get(mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes]) -> None:
    get = mapping.get
    for key in keys:
        get(key)


def by_in(mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes]) -> None:
    for key in keys:
        key in mapping  # noqa: B015


def into_list(mapping: dict[bytes, bytes], keys: Sequence[bytes]) -> None:
    [mapping[key] for key in keys]


def by_assignment(
    mapping: dict[bytes, bytes] | kvstore.Store, keys: Sequence[bytes], value: bytes
) -> None:
    for key in keys:
        mapping[key] = value


def timed(work: Callable[[], object], count: int) -> float:
    started = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - started) / count


def medians(works: dict[str, Callable[[], object]], count: int, rounds: int) -> dict[str, float]:
    """Nanoseconds for each of ``count`` operations, the works taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            samples[name].append(timed(work, count))
    return {name: statistics.median(values) for name, values in samples.items()}


def measure(directory: str, records: int, rounds: int) -> dict[str, float]:
    keys = [random.randbytes(KEY) for _ in range(records)]
    table = {key: random.randbytes(VALUE) for key in keys}
    order = random.sample(keys, records)
    some = order[: records // 10]
    absent = [random.randbytes(KEY) for _ in some]
    value = random.randbytes(VALUE)
    figures: dict[str, float] = {}

    with kvstore.open(directory, "n", durability="os", close_checkpoint="never") as store:
        filled = timed(lambda: store.update(table), records)
        assert store == table

        def both(name: str, works: dict[str, Callable[[], object]], count: int) -> None:
            for kind, figure in medians(works, count, rounds).items():
                figures[f"{name}, {kind}"] = figure

        both(
            "s[k]",
            {"dict": lambda: by_item(table, order), "store": lambda: by_item(store, order)},
            records,
        )
        both(
            "s.get(k)",
            {"dict": lambda: by_get(table, order), "store": lambda: by_get(store, order)},
            records,
        )
        both(
            "k in s",
            {"dict": lambda: by_in(table, order), "store": lambda: by_in(store, order)},
            records,
        )
        both(
            "k in s, absent",
            {"dict": lambda: by_in(table, absent), "store": lambda: by_in(store, absent)},
            len(absent),
        )
        both(
            "many",
            {
                "[d[k] for k in keys]": lambda: into_list(table, order),
                "get_many(keys)": lambda: store.get_many(order),
            },
            records,
        )
        both(
            "many, 64 at a time",
            {
                "[d[k] for k in keys]": lambda: [
                    into_list(table, order[i : i + 64]) for i in range(0, len(order), 64)
                ],
                "get_many(keys)": lambda: [
                    store.get_many(order[i : i + 64]) for i in range(0, len(order), 64)
                ],
            },
            records,
        )
        both("scan", {"store": lambda: sum(1 for _ in store.scan())}, records)
        both("keys", {"store": lambda: sum(1 for _ in store)}, records)
        both(
            'set, "os"',
            {
                "dict": lambda: by_assignment(table, some, value),
                "store": lambda: by_assignment(store, some, value),
            },
            len(some),
        )
        figures['first fill by update, "os", store'] = filled

    with kvstore.open(os.path.join(directory, "synced")) as store:
        both(
            'set, "sync"',
            {"store": lambda: by_assignment(store, some[:500], value)},
            len(some[:500]),
        )
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
        "s[k], store / dict": figures["s[k], store"] / figures["s[k], dict"],
        "get_many / dict loop": figures["many, get_many(keys)"]
        / figures["many, [d[k] for k in keys]"],
    }
    if arguments.json:
        print(json.dumps({"records": arguments.records, "ns": figures, "ratios": ratios}))
        return
    print(f"{arguments.records:,} records, keys of {KEY} bytes, values of {VALUE}")
    print(f"{'':44}{'ns each':>10}")
    for name, figure in figures.items():
        print(f"{name:44}{figure:10.0f}")
    print(f"{'':44}{'ratio':>10}")
    for name, ratio in ratios.items():
        print(f"{name:44}{ratio:10.2f}")


if __name__ == "__main__":
    main()
