"""Views: a mapping of one instant, valid whatever happens to the store."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import kvstore
import pytest


@pytest.fixture
def letters(store: kvstore.Store) -> kvstore.Store:
    store.update({letter.encode(): letter.upper().encode() for letter in "dacbe"})
    return store


def test_a_view_is_of_one_instant(letters: kvstore.Store) -> None:
    before = dict(letters)
    view = letters.view()
    letters[b"a"] = b"changed"
    letters[b"new"] = b"1"
    del letters[b"b"]
    assert dict(view) == before and len(view) == 5
    assert view[b"a"] == b"A" and b"b" in view and b"new" not in view
    assert letters.view()[b"a"] == b"changed" and b"b" not in letters.view()


def test_a_view_is_a_mapping_that_nothing_changes(letters: kvstore.Store) -> None:
    view = letters.view()
    assert isinstance(view, Mapping) and not isinstance(view, MutableMapping)
    expected = {letter.encode(): letter.upper().encode() for letter in "abcde"}
    assert view == expected and expected == view and view == letters and letters == view
    assert view != {**expected, b"f": b""} and view != {**expected, b"a": b"?"} and view != 3
    assert list(view) == list(expected) and list(reversed(view)) == list(expected)[::-1]
    assert list(view.keys()) == list(expected) and list(view.values()) == [*expected.values()]
    assert list(view.items()) == [*expected.items()] == list(view.scan())
    assert view.keys() & {b"a", b"z"} == {b"a"} and (b"a", b"A") in view.items()
    assert list(reversed(view.values())) == [*expected.values()][::-1]
    with pytest.raises(TypeError):
        view[b"a"] = b"1"  # type: ignore[index]
    with pytest.raises(TypeError):
        hash(view)
    match view:
        case {b"a": value}:
            assert value == b"A"
        case _:
            pytest.fail("not a mapping to a match statement")


def test_gets(letters: kvstore.Store) -> None:
    view = letters.view()
    assert view.get(b"a") == b"A" and view.get(b"z") is None and view.get(b"z", 7) == 7
    assert view.get(bytearray(b"a")) == view[memoryview(b"a")] == b"A"
    assert view.get_many([b"b", b"z", b"a"]) == [b"B", None, b"A"]
    assert view.get_many(iter([b"z"]), b"") == [b""] and view.get_many([]) == []
    with pytest.raises(KeyError) as missing:
        view[b"z"]
    assert missing.value.args == (b"z",)
    for call in (view.get, view.__getitem__, view.__contains__, view.get_view):
        with pytest.raises(TypeError, match=r"key\.encode\(\)"):
            call("a")
    with pytest.raises(TypeError):
        view.get_many(["a"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="limit"):
        view.scan(limit=-1)


def test_a_view_outlives_the_store(directory: str) -> None:
    with kvstore.open(directory, durability="os") as store:
        store.update((b"%04d" % number, b"v%d" % number) for number in range(3000))
        view = store.view()
        store.clear()
    del store
    gc.collect()
    with kvstore.open(directory) as again:  # another snapshot is in force by now
        assert len(again) == 0
        again[b"x"] = b"y"
    assert len(view) == 3000 and view[b"0007"] == b"v7"
    assert [value for _, value in view.scan(b"0001", b"0003")] == [b"v1", b"v2"]


def test_closing_is_idempotent_and_leaves_what_was_made(letters: kvstore.Store) -> None:
    view = letters.view()
    iterator, image = view.scan(), view.get_view(b"a")
    first = next(iterator)
    assert not view.closed
    with view as entered:
        assert entered is view
    view.close()
    assert view.closed and "closed" in repr(view)
    assert image is not None and bytes(image) == b"A"
    assert [first, *iterator] == list(letters.scan())


@pytest.mark.parametrize(
    "use",
    [
        len,
        iter,
        reversed,
        dict,
        lambda view: view[b"a"],
        lambda view: b"a" in view,
        lambda view: view == {},
        lambda view: view.get(b"a"),
        lambda view: view.get_many([b"a"]),
        lambda view: view.get_view(b"a"),
        lambda view: view.scan(),
        lambda view: view.scan_keys(),
        lambda view: view.keys(),
        lambda view: view.values(),
        lambda view: view.items(),
        lambda view: view.__enter__(),
    ],
)
def test_a_closed_view_says_so(letters: kvstore.Store, use: Callable[[Any], Any]) -> None:
    view = letters.view()
    view.close()
    with pytest.raises(kvstore.ClosedError, match="the view is closed"):
        use(view)


def test_a_closed_store_gives_no_view(letters: kvstore.Store) -> None:
    letters.close()
    with pytest.raises(kvstore.ClosedError):
        letters.view()


def test_a_view_is_closed_after_an_exception(letters: kvstore.Store) -> None:
    with pytest.raises(ZeroDivisionError), letters.view() as view:
        1 / 0
    assert view.closed


def test_a_view_cannot_be_copied(letters: kvstore.Store) -> None:
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            make(letters.view())


def test_threads_share_a_view(store: kvstore.Store) -> None:
    pairs = {b"%04d" % number: b"%d" % number for number in range(2000)}
    store.update(pairs)
    view = store.view()
    wrong: list[object] = []

    def read() -> None:
        for _ in range(5):
            if view != pairs or [view[key] for key in pairs] != [*pairs.values()]:
                wrong.append(view)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for key in pairs:
        store[key] = b"changed"
    store.close()
    for reader in readers:
        reader.join()
    assert not wrong


def test_a_view_in_a_forked_child_is_the_parents(letters: kvstore.Store) -> None:
    view = letters.view()
    child = os.fork()
    if child == 0:
        os._exit(0 if view[b"a"] == b"A" and len(list(view.scan())) == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
