"""What is accepted as a key or a value, and what is refused with which words."""

from __future__ import annotations

import array
import mmap
import re
from collections.abc import Callable
from typing import Any

import kvstore
import pytest


class Bytes(bytes):
    """A subclass that lies about its content to whoever asks Python."""

    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return b"?"


def test_every_bytes_like_object_is_accepted(store: kvstore.Store) -> None:
    anonymous = mmap.mmap(-1, 4)
    anonymous[:] = b"abcd"
    for key in (
        b"abcd",
        bytearray(b"abcd"),
        memoryview(b"abcd"),
        memoryview(bytearray(b"abcd")).toreadonly(),
        memoryview(b"xabcdx")[1:5],
        memoryview(b"abcd").cast("I"),
        memoryview(b"abcd").cast("B", (2, 2)),
        array.array("b", b"abcd"),
        Bytes(b"abcd"),
        anonymous,
    ):
        store[key] = key
        assert dict(store) == {b"abcd": b"abcd"}
        assert store[key] == b"abcd" and key in store
        assert store.get(key) == b"abcd" and store.get_many([key]) == [b"abcd"]
        assert list(store.scan(key)) == [(b"abcd", b"abcd")]
        assert store.delete(key)
    anonymous.close()


def test_results_are_exactly_bytes(store: kvstore.Store) -> None:
    store[bytearray(b"k")] = bytearray(b"v")
    assert type(store[b"k"]) is bytes
    assert [type(part) for pair in store.items() for part in pair] == [bytes, bytes]


def test_empty_buffers_are_empty_bytes(store: kvstore.Store) -> None:
    for empty in (b"", bytearray(), memoryview(b""), array.array("q")):
        store[empty] = empty
        assert list(store.items()) == [(b"", b"")]


def test_a_value_is_copied_before_set_returns(store: kvstore.Store) -> None:
    value = bytearray(b"before")
    store[b"k"] = value
    value[:] = b"after!"
    assert store[b"k"] == b"before"


@pytest.mark.parametrize("wrong", ["text", 1, 1.5, None, [1, 2], (b"a",), {}, object()])
def test_other_types_are_refused(store: kvstore.Store, wrong: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store[wrong],
        lambda: store.__setitem__(wrong, b""),
        lambda: store.__setitem__(b"", wrong),
        lambda: store.__delitem__(wrong),
        lambda: wrong in store,
        lambda: store.get(wrong),
        lambda: store.set(wrong, b""),
        lambda: store.set(b"", wrong),
        lambda: store.delete(wrong),
        lambda: store.get_many([wrong]),
        lambda: store.delete_many([wrong]),
        lambda: store.get_view(wrong),
        lambda: store.pop(wrong, None),
        lambda: store.setdefault(wrong, b""),
        lambda: store.setdefault(b"", wrong),
        lambda: store.update([(wrong, b"")]),
    ]
    if wrong is not None:
        calls += [lambda: store.scan(wrong), lambda: store.scan(prefix=wrong)]
    name = type(wrong).__name__
    words = r"use \w+\.encode\(\)" if name == "str" else rf"must be bytes-like .*, not {name}"
    for call in calls:
        with pytest.raises(TypeError, match=words):
            call()
    assert len(store) == 0


def test_str_is_refused_by_the_name_of_the_argument(store: kvstore.Store) -> None:
    for argument, call in (
        ("key", lambda: store["a"]),  # type: ignore[index]
        ("value", lambda: store.set(b"a", "b")),  # type: ignore[arg-type]
        ("prefix", lambda: store.scan(prefix="a")),  # type: ignore[arg-type]
    ):
        message = f"{argument} must be bytes-like, not str: use {argument}.encode()"
        with pytest.raises(TypeError, match=re.escape(message)):
            call()


def test_scattered_buffers_are_refused(store: kvstore.Store) -> None:
    with pytest.raises(BufferError, match=r"use bytes\(key\)"):
        store[memoryview(b"abcd")[::2]] = b""


def test_a_released_buffer_is_refused(store: kvstore.Store) -> None:
    view = memoryview(b"abcd")
    view.release()
    with pytest.raises(ValueError, match="released"):
        store[view]


def test_large_values(store: kvstore.Store) -> None:
    for size in (255 << 10, 257 << 10, (1 << 20) - 1, 1 << 20, 9 << 20):
        value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        store[b"large"] = value
        assert store[b"large"] == value
        assert store.get_many([b"large"]) == [value]
        assert list(store.values()) == [value]
