"""Reads the same store as `read.cpp`, through the C interface and nothing but `ctypes`.

    read_ctypes.py LIBRARY DIRECTORY N

LIBRARY is the path of `libkvstore.so`; N is how many records had been recovered. README.md says
what must be there. A line that begins with `measured:` is for `run.py`.
"""

import ctypes
import struct
import sys
import time
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

OK, NOT_FOUND, DONE = 0, 1, 2
OPTION_READ_ONLY = 3
BATCH = 256


class Slice(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("len", c_size_t)]

    def bytes(self) -> bytes:
        return ctypes.string_at(self.data, self.len)


class Pair(ctypes.Structure):
    _fields_ = [("key", Slice), ("value", Slice)]


class Buffer(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("len", c_size_t), ("owner", c_void_p)]


def load(path: str) -> ctypes.CDLL:
    """The library, with the types of the functions that are used; the last is always the error."""
    library = ctypes.CDLL(path)
    handle, error = c_void_p, POINTER(c_void_p)
    # Without these, ctypes would cut pointers to 32 bits.
    for name, result, *arguments in [
        ("options_new", handle),
        ("options_set", c_int32, handle, c_uint32, c_uint64, error),
        ("options_free", None, handle),
        ("open", c_int32, c_char_p, handle, POINTER(handle), error),
        ("len", c_int32, handle, POINTER(c_uint64), error),
        ("get", c_int32, handle, c_char_p, c_size_t, POINTER(Buffer), error),
        ("buffer_free", None, POINTER(Buffer)),
        ("cursor_open", c_int32, handle, c_void_p, POINTER(handle), error),
        ("cursor_next_batch", c_int32, handle, POINTER(Pair), c_size_t, POINTER(c_size_t), error),
        ("cursor_close", None, handle),
        ("close", c_int32, handle, error),
        ("error_message", c_char_p, handle),
        ("error_free", None, handle),
    ]:
        function = getattr(library, f"kvstore_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Reader:
    def __init__(self, library: ctypes.CDLL, directory: str) -> None:
        self.library = library
        self.error = c_void_p()
        self.store = c_void_p()
        options = c_void_p(library.kvstore_options_new())
        self.call("options_set", options, OPTION_READ_ONLY, 1)
        self.call("open", directory.encode(), options, byref(self.store))
        library.kvstore_options_free(options)

    def call(self, name: str, *arguments: object) -> int:
        """Calls a function, and ends the program with its message if the status is an error."""
        status: int = getattr(self.library, f"kvstore_{name}")(*arguments, byref(self.error))
        if status < 0:
            message = self.library.kvstore_error_message(self.error).decode()
            self.library.kvstore_error_free(self.error)
            sys.exit(f"read_ctypes.py: kvstore_{name}: {status}: {message}")
        return status

    def len(self) -> int:
        count = c_uint64()
        self.call("len", self.store, byref(count))
        return count.value

    def get(self, key: bytes) -> bytes | None:
        found = Buffer()
        if self.call("get", self.store, key, len(key), byref(found)) == NOT_FOUND:
            return None
        value = ctypes.string_at(found.data, found.len)
        self.library.kvstore_buffer_free(byref(found))
        return value

    def pairs(self) -> list[tuple[bytes, bytes]]:
        cursor, batch, count = c_void_p(), (Pair * BATCH)(), c_size_t()
        result = []
        self.call("cursor_open", self.store, None, byref(cursor))
        while self.call("cursor_next_batch", cursor, batch, BATCH, byref(count)) != DONE:
            result += [(p.key.bytes(), p.value.bytes()) for p in batch[: count.value]]
        self.library.kvstore_cursor_close(cursor)
        return result

    def close(self) -> None:
        self.call("close", self.store)


def key_of(number: int) -> bytes:
    return b"record:" + struct.pack(">I", number * 2654435761 & 0xFFFFFFFF).hex().encode()


def expected_values(n: int) -> dict[bytes, bytes | None]:
    """What every key must have; None for what must not be there."""
    expected: dict[bytes, bytes | None] = {}
    for number in range(102_000):
        there = number % 7 != 0 if number < n else 100_000 <= number < 101_000
        changed = number < n and number % 10 == 0
        block = number.to_bytes(4, "big") + int(changed).to_bytes(4, "big")
        expected[key_of(number)] = (block * 24)[: 8 + number % 185] if there else None
    return expected


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: read_ctypes.py LIBRARY DIRECTORY N")
    expected = expected_values(int(sys.argv[3]))
    ordered = sorted((key, value) for key, value in expected.items() if value is not None)
    reader = Reader(load(sys.argv[1]), sys.argv[2])
    if reader.len() != len(ordered):
        sys.exit(f"read_ctypes.py: {reader.len()} records are there, not {len(ordered)}")

    start = time.perf_counter_ns()
    pairs = reader.pairs()
    elapsed = time.perf_counter_ns() - start
    print(f"measured: read in order with a cursor: {len(pairs)} records in {elapsed} ns")
    for found, wanted in zip(pairs, ordered, strict=False):
        if found != wanted:
            sys.exit(f"read_ctypes.py: the cursor gave {found}, not {wanted}")
    if len(pairs) != len(ordered):
        sys.exit(f"read_ctypes.py: the cursor gave {len(pairs)} records, not {len(ordered)}")

    start = time.perf_counter_ns()
    values = [reader.get(key) for key in expected]
    elapsed = time.perf_counter_ns() - start
    print(f"measured: got, there or not: {len(values)} records in {elapsed} ns")
    for key, value in zip(expected, values, strict=True):
        if value != expected[key]:
            sys.exit(f"read_ctypes.py: the value of {key!r} is {value!r}, not {expected[key]!r}")
    reader.close()


if __name__ == "__main__":
    main()
