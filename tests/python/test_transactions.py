"""Transactions: what is read and written in one, and what the others see of it."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
import warnings

import kvstore
import pytest


def test_a_transaction_sees_its_writes_and_others_see_them_at_the_end(
    store: kvstore.Store,
) -> None:
    store.update({b"a": b"1", b"b": b"2", b"c": b"3"})
    with store.transaction() as transaction:
        assert transaction[b"a"] == b"1"
        transaction[b"a"] = b"10"
        transaction.set(bytearray(b"d"), memoryview(b"4"))
        del transaction[b"b"]
        assert transaction.delete(b"c") is True
        assert transaction.delete(b"c") is False
        assert (transaction[b"a"], transaction.get(b"b"), transaction.get(b"b", b"-")) == (
            b"10",
            None,
            b"-",
        )
        assert b"d" in transaction and b"b" not in transaction
        assert len(transaction) == 2 and len(store) == 3
        assert list(transaction) == [b"a", b"d"] and list(reversed(transaction)) == [b"d", b"a"]
        assert list(transaction.scan()) == [(b"a", b"10"), (b"d", b"4")]
        assert list(transaction.scan(b"b", reverse=True, limit=5)) == [(b"d", b"4")]
        assert list(transaction.scan_keys(prefix=b"a")) == [b"a"]
        assert dict(store) == {b"a": b"1", b"b": b"2", b"c": b"3"}
        iterator = transaction.scan()
    assert dict(store) == {b"a": b"10", b"d": b"4"}
    store.clear()
    assert list(iterator) == [(b"a", b"10"), (b"d", b"4")]


def test_its_keys_values_and_items_have_its_own_writes(store: kvstore.Store) -> None:
    store.update({b"b": b"2", b"c": b"3", b"d": b"4"})
    with store.transaction() as transaction:
        transaction[b"a"] = b"1"
        transaction[b"d"] = b"40"
        del transaction[b"b"]
        expected = {b"a": b"1", b"c": b"3", b"d": b"40"}
        assert dict(transaction) == expected
        keys, values, items = transaction.keys(), transaction.values(), transaction.items()
        assert list(keys) == [b"a", b"c", b"d"] and keys == expected.keys()
        assert list(values) == [b"1", b"3", b"40"] and b"2" not in values
        assert list(items) == list(expected.items()) and items == expected.items()
        assert list(reversed(items)) == list(reversed(expected.items()))
        del transaction[b"a"]
        assert len(keys) == 2 and (b"a", b"1") not in items and b"a" not in keys
    for call in (transaction.keys, transaction.values, transaction.items, lambda: list(keys)):
        with pytest.raises(kvstore.ClosedError, match="ended"):
            call()


def test_an_exception_aborts(store: kvstore.Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        transaction[b"a"] = b"1"
        _ = 1 // 0
    assert transaction.closed and len(store) == 0
    store[b"b"] = b"2"


def test_after_its_end_everything_is_refused(store: kvstore.Store) -> None:
    ended = []
    with store.transaction() as transaction:
        transaction[b"a"] = b"1"
        assert not transaction.closed
        transaction.commit()
        ended.append(transaction)
    with store.transaction() as transaction:
        transaction[b"a"] = b"2"
        transaction.abort()
        transaction.abort()
        ended.append(transaction)
    assert store[b"a"] == b"1"
    for transaction in ended:
        assert transaction.closed and "ended" in repr(transaction)
        for call in (
            lambda t: t[b"a"],
            lambda t: t.set(b"a", b"3"),
            lambda t: t.delete(b"a"),
            lambda t: b"a" in t,
            len,
            iter,
            lambda t: t.scan(),
            lambda t: t.__enter__(),
            lambda t: t.commit(),
        ):
            with pytest.raises(kvstore.ClosedError, match="ended"):
                call(transaction)


def test_one_that_is_dropped_is_aborted(store: kvstore.Store) -> None:
    transaction = store.transaction()
    transaction[b"a"] = b"1"
    del transaction
    gc.collect()
    store[b"b"] = b"2"
    assert dict(store) == {b"b": b"2"}


def test_the_thread_that_has_one_open_is_not_left_waiting(store: kvstore.Store) -> None:
    with store.transaction() as transaction:
        transaction[b"a"] = b"1"
        for call in (
            lambda: store.set(b"b", b"2"),
            lambda: store.delete(b"a"),
            lambda: store.set_many({b"b": b"2"}),
            lambda: store.increment(b"n"),
            lambda: store.compare_and_set(b"b", None, b"2"),
            store.transaction,
            store.close,
        ):
            with pytest.raises(ValueError, match="transaction"):
                call()
    assert dict(store) == {b"a": b"1"}


def test_what_is_wrong_is_refused_and_the_transaction_stays(store: kvstore.Store) -> None:
    with store.transaction() as transaction:
        with pytest.raises(TypeError, match=r"not str: use key.encode\(\)"):
            transaction["a"] = b"1"  # type: ignore[index]
        with pytest.raises(TypeError, match="value must be bytes-like"):
            transaction[b"a"] = 1  # type: ignore[assignment]
        with pytest.raises(TypeError, match="key must be bytes-like"):
            _ = "a" in transaction
        with pytest.raises(KeyError):
            _ = transaction[b"missing"]
        with pytest.raises(KeyError):
            del transaction[b"missing"]
        with pytest.raises(ValueError, match="limit"):
            transaction.scan(limit=-1)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(transaction)
        transaction[b"a"] = b"1"
    assert dict(store) == {b"a": b"1"}
    with pytest.raises(ValueError, match="durability"):
        store.transaction(durability="never")  # type: ignore[arg-type]


def test_a_commit_that_fails_ends_it(directory: str) -> None:
    with kvstore.open(directory, durability="os", max_value_len=4) as store:
        transaction = store.transaction()
        transaction[b"a"] = b"1"
        transaction[b"b"] = b"too long"
        with pytest.raises(kvstore.TooLargeError):
            transaction.commit()
        assert transaction.closed
        store[b"c"] = b"3"
        assert dict(store) == {b"c": b"3"}


def test_others_wait_and_the_interpreter_goes_on(directory: str) -> None:
    """A writer that waits must not keep the interpreter from the transaction's own thread."""
    with kvstore.open(directory, durability="os", transaction_timeout=60) as store:
        began = threading.Event()
        order: list[str] = []

        def write() -> None:
            began.wait()
            store[b"a"] = b"from outside"
            order.append("written")

        other = threading.Thread(target=write)
        other.start()
        with store.transaction(durability="sync") as transaction:
            began.set()
            for _ in range(20):
                time.sleep(0.005)
                transaction[b"a"] = b"from inside"
            order.append("committed")
        other.join(30)
        assert order == ["committed", "written"]
        assert store[b"a"] == b"from outside"


def test_who_waits_too_long_is_told(directory: str) -> None:
    with kvstore.open(directory, durability="os", transaction_timeout=0.05) as store:
        caught: list[BaseException] = []

        def write() -> None:
            for call in (
                lambda: store.set(b"a", b"1"),
                store.transaction,
                lambda: store.set(b"a", b"1", durability="sync"),
            ):
                try:
                    call()
                except kvstore.LockTimeout as error:
                    caught.append(error)

        with store.transaction() as transaction:
            transaction[b"b"] = b"2"
            other = threading.Thread(target=write)
            other.start()
            other.join(30)
        assert len(caught) == 3
        assert all("transaction" in str(error) for error in caught)
        assert dict(store) == {b"b": b"2"}


def test_it_can_be_ended_on_another_thread(store: kvstore.Store) -> None:
    transaction = store.transaction()
    transaction[b"a"] = b"1"
    other = threading.Thread(target=transaction.commit)
    other.start()
    other.join(30)
    store[b"b"] = b"2"
    assert dict(store) == {b"a": b"1", b"b": b"2"}


def test_transfers_between_threads_keep_the_sum(store: kvstore.Store) -> None:
    accounts = [b"account %d" % number for number in range(4)]
    store.set_many((account, b"100") for account in accounts)

    def transfer(step: int) -> None:
        for number in range(100):
            source = accounts[(number * step) % 4]
            target = accounts[(number + step) % 4]
            if source == target:
                continue
            with store.transaction() as transaction:
                transaction[source] = b"%d" % (int(transaction[source]) - 1)
                transaction[target] = b"%d" % (int(transaction[target]) + 1)

    threads = [threading.Thread(target=transfer, args=(step,)) for step in (1, 2, 3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert sum(int(value) for value in store.get_many(accounts, b"")) == 400
    for thread in threads:
        thread.join()
    assert sum(int(value) for value in store.values()) == 400


def test_of_a_store_that_is_closed_or_read_only(directory: str) -> None:
    store = kvstore.open(directory)
    store.close()
    with pytest.raises(kvstore.ClosedError):
        store.transaction()
    with kvstore.open(directory, "r") as reader, pytest.raises(kvstore.ReadOnlyError):
        reader.transaction()


def test_a_forked_child_is_refused_and_harms_nothing(store: kvstore.Store) -> None:
    with store.transaction() as transaction:
        transaction[b"a"] = b"1"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                with pytest.raises(kvstore.ForkedError):
                    transaction.get(b"missing")
                with pytest.raises(kvstore.ForkedError):
                    transaction.commit()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert dict(store) == {b"a": b"1"}
