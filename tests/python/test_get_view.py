"""``get_view``: no copy, read-only, and valid whatever happens to the store."""

from __future__ import annotations

import gc

import kvstore
import pytest


def test_a_view_is_the_value(store: kvstore.Store) -> None:
    store[b"k"] = b"value"
    view = store.get_view(b"k")
    assert isinstance(view, memoryview)
    assert bytes(view) == b"value" and view.tobytes() == b"value"
    assert (view.format, view.itemsize, view.shape, view.nbytes) == ("B", 1, (5,), 5)
    assert view.readonly and view.c_contiguous
    assert hash(view) == hash(b"value")
    assert bytes(view[1:3]) == b"al"
    assert store.get_view(b"missing") is None


def test_an_empty_value_has_a_view(store: kvstore.Store) -> None:
    store[b""] = b""
    view = store.get_view(b"")
    assert view is not None and view.nbytes == 0 and bytes(view) == b""


def test_a_view_cannot_be_written_to(store: kvstore.Store) -> None:
    store[b"k"] = b"value"
    view = store.get_view(b"k")
    assert view is not None
    with pytest.raises(TypeError):
        view[0] = 0
    with pytest.raises(TypeError):
        memoryview(view).cast("b")[0] = 0


def test_a_view_outlives_everything(directory: str) -> None:
    value = bytes(range(256)) * 1000
    store = kvstore.open(directory, durability="os", close_checkpoint="always")
    store[b"k"] = value
    view = store.get_view(b"k")
    assert view is not None
    part = view[256:512]
    store[b"k"] = b"another"
    assert view == value
    del store[b"k"]
    store.clear()
    store.close()
    del store
    gc.collect()
    with kvstore.open(directory, durability="os") as again:
        again.update((b"%d" % i, value) for i in range(100))
        assert view == value
    del view
    assert part == bytes(range(256))


def test_a_view_of_what_a_snapshot_holds(directory: str) -> None:
    with kvstore.open(directory, close_checkpoint="always") as store:
        store[b"k"] = b"in the snapshot"
    with kvstore.open(directory, close_checkpoint="always") as store:
        view = store.get_view(b"k")
        store[b"k"] = b"in the log"
    with kvstore.open(directory) as store:
        assert store[b"k"] == b"in the log"
    assert view is not None and bytes(view) == b"in the snapshot"


def test_a_view_can_be_a_value_and_a_key(store: kvstore.Store) -> None:
    store[b"k"] = b"value"
    view = store.get_view(b"k")
    assert view is not None
    store[view] = view
    assert store[b"value"] == b"value"
