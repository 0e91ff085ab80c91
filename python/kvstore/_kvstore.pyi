# The extension module's types, for type checkers and editors.
#
# The docstrings repeat those of the module, which a test compares.

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from os import PathLike
from types import TracebackType
from typing import ClassVar, Literal, Never, TypeVar, final, overload

from _typeshed import SupportsKeysAndGetItem
from typing_extensions import Buffer, Self

from ._progress import BackupProgress
from ._views import ItemsView, KeysView, ValuesView
from .types import (
    CloseCheckpoint,
    Durability,
    Flag,
    RecoveryReport,
    RepairReport,
    Stats,
    Verification,
)

__all__ = [
    "Batch",
    "Store",
    "Transaction",
    "View",
    "__version__",
    "open",
    "repair",
    "salvage",
    "verify",
]

__version__: str

_K = TypeVar("_K", bound=Buffer)
_T = TypeVar("_T")
_Path = str | bytes | PathLike[str] | PathLike[bytes]

def open(
    path: _Path,
    flag: Flag = "c",
    *,
    durability: Durability = "sync",
    lock_timeout: float = 0.0,
    transaction_timeout: float = 5.0,
    max_key_len: int | None = None,
    max_value_len: int | None = None,
    checkpoint_bytes: int | None = None,
    close_checkpoint: CloseCheckpoint = "auto",
    strict_recovery: bool = False,
) -> Store:
    """Opens the store in the directory `path`, recovering what an earlier process left.

    `path` is a `str`, `bytes` or `os.PathLike`. `flag` is as in the `dbm` modules:

    - `"c"` (the default): read and write, creating the directory if it is missing;
    - `"r"`: only read, there must be a store; nothing in it changes, and several
      processes may have it open for reading at once, though none while one writes;
    - `"w"`: read and write, the directory must exist;
    - `"n"`: read and write, and always empty: what is there is deleted once the directory is
      locked. Only entries of the store go, unknown files stay. A process that is killed meanwhile
      leaves some of the old entries; a damaged store is an error, not a reason to discard it.

    `durability` is what a write has survived when it returns: `"sync"` (the default) power
    loss, `"os"` the end of the process. `lock_timeout` is how many seconds to wait for another
    process to close the directory, `float("inf")` to wait for as long as it takes; Ctrl-C
    interrupts it. `transaction_timeout` is how many seconds a write waits for another thread's
    transaction, with the same infinity and the same Ctrl-C. `max_key_len` and `max_value_len` refuse
    longer keys and values, in bytes.
    When the log has grown to `checkpoint_bytes` (by default 64 MiB, or the length of the snapshot if
    that is more), a thread writes a snapshot and removes the log, beside readers and writers; 0 is
    never. `close_checkpoint` says what `close` does with the log: `"auto"` writes a snapshot where that
    pays, `"always"` whenever something changed, `"never"` keeps the log. `strict_recovery` refuses a
    log whose synced part is damaged, instead of keeping what is before the damage with a
    `DamageWarning`. Where warnings are errors that is raised, and the store is not open; but what is
    damaged has been moved to quarantine by then.

    Raises `LockedError` when another handle has the directory open for writing (`LockTimeout`
    after a wait), `CorruptionError` when the snapshot is damaged, `StorageError` when the
    system refuses, `UnsupportedError` when a newer version wrote the directory.

    >>> with kvstore.open(directory, durability="os") as store:
    ...     store[b"user:1"] = b"alice"
    >>> with kvstore.open(directory, "r") as store:
    ...     store[b"user:1"]
    b'alice'
    >>> with kvstore.open(directory, "n") as store:
    ...     len(store)
    0
    """

@final
class Store(MutableMapping[bytes, bytes]):
    """An open store: a `MutableMapping` from `bytes` to `bytes` in a directory.

    Made by `kvstore.open`. Keys and values are bytes-like; what comes back is `bytes`. Keys are
    in ascending byte order wherever order shows. A store may be used from any thread. Iterating
    while writing is legal: an iterator sees the store at the instant at which it was made, and
    goes on working after `close`.

    `len`, `in`, `s[key]`, `s[key] = value`, `del s[key]`, `iter` and `reversed` work as they do
    for a `dict`, but a key that is not bytes-like is a `TypeError`. As a `dict` does, a store
    equals any mapping with the same entries, and is not hashable.

    Use it in a `with` statement or call `close`. A store that is dropped open loses nothing,
    but its directory stays locked until the interpreter lets go of it, and the next open has to
    replay the log; a `ResourceWarning` says so. In a process made by `os.fork` every call raises
    `ForkedError`, and neither closing nor dropping the store does anything to the parent's.

    >>> store[b"user:1"] = b"alice"
    >>> store[b"user:1"]
    b'alice'
    >>> b"user:2" in store
    False
    >>> dict(store)
    {b'user:1': b'alice'}
    >>> del store[b"user:1"]
    >>> len(store)
    0
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __getitem__(self, key: Buffer, /) -> bytes: ...
    def __setitem__(self, key: Buffer, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Buffer, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __reversed__(self) -> Iterator[bytes]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def path(self) -> str:
        """The directory of the store."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    @property
    def readonly(self) -> bool:
        """Whether the store was opened with flag "r"."""

    @overload
    def get(self, key: Buffer, default: None = None, /) -> bytes | None:
        """The value of `key`, or `default` when it is missing.

        >>> store.get(b"missing")
        >>> store.get(b"missing", b"")
        b''
        """

    @overload
    def get(self, key: Buffer, default: bytes, /) -> bytes: ...
    @overload
    def get(self, key: Buffer, default: _T, /) -> bytes | _T: ...
    def set(self, key: Buffer, value: Buffer, /, *, durability: Durability | None = None) -> None:
        """Sets `key` to `value`.

        `durability` is "sync" or "os" for this write, or `None` for what the store was opened with.

        >>> store.set(b"user:1", b"alice")
        >>> store.set(b"cache:1", b"cheap to lose", durability="os")
        """

    def delete(self, key: Buffer, /, *, durability: Durability | None = None) -> bool:
        """Deletes `key`; whether it was there.

        `durability` is as for `set`.

        >>> store.set(b"user:1", b"alice")
        >>> store.delete(b"user:1")
        True
        >>> store.delete(b"user:1")
        False
        """

    @overload
    def get_many(self, keys: Iterable[Buffer], default: None = None, /) -> list[bytes | None]:
        """The values of `keys`, in their order, with `default` for those that are missing.

        Far faster than a loop: the engine fetches across many keys at once.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> store.get_many([b"b", b"missing", b"a"])
        [b'2', None, b'1']
        """

    @overload
    def get_many(self, keys: Iterable[Buffer], default: bytes, /) -> list[bytes]: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: _T, /) -> list[bytes | _T]: ...
    def delete_many(self, keys: Iterable[Buffer], /) -> int:
        """Deletes `keys`; how many of them were there.

        Not one atomic step: a crash may leave the first of them deleted. With durability "sync"
        there is one sync at the end, and other threads may see the keys gone before it.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> store.delete_many([b"a", b"missing"])
        1
        """

    def set_many(
        self,
        items: SupportsKeysAndGetItem[_K, Buffer] | Iterable[tuple[Buffer, Buffer]],
        /,
    ) -> None:
        """Sets every pair of `items`, a mapping or an iterable of pairs, all at once or not at all.

        A crash leaves all of them or none, and so does a wrong pair; nobody sees a part of them. All
        are gathered in memory first; `update` sets them one by one instead.

        >>> store.set_many({b"a": b"1", b"b": b"2"})
        >>> store.set_many([(b"c", b"3")])
        >>> len(store)
        3
        """

    def batch(self, *, durability: Durability | None = None) -> Batch:
        """A batch: writes that are gathered, and take effect together or not at all. See `Batch`.

        `durability` is as for `set`.

        >>> store[b"old"] = b"1"
        >>> with store.batch() as batch:
        ...     batch[b"new"] = b"1"
        ...     del batch[b"old"]
        >>> dict(store)
        {b'new': b'1'}
        """

    def transaction(self, *, durability: Durability | None = None) -> Transaction:
        """Begins a transaction: reads and writes that nobody else's writes come between. See `Transaction`.

        `durability` is as for `set`. Waits while another thread's transaction is open, for up to the
        `transaction_timeout` of `kvstore.open`, and then raises `LockTimeout`.

        >>> store[b"stock"] = b"3"
        >>> with store.transaction() as transaction:
        ...     left = int(transaction[b"stock"])
        ...     if left > 0:
        ...         transaction[b"stock"] = b"%d" % (left - 1)
        >>> store[b"stock"]
        b'2'
        """

    def compare_and_set(
        self,
        key: Buffer,
        expected: Buffer | None,
        new: Buffer | None,
        /,
        *,
        durability: Durability | None = None,
    ) -> bool:
        """Sets `key` to `new` if its value is `expected`; whether it was.

        `None` is a missing key: an `expected` of `None` sets only what is not there, a `new` of `None`
        deletes. No other write comes between the look and the write. `durability` is as for `set`.

        >>> store.compare_and_set(b"lock", None, b"mine")
        True
        >>> store.compare_and_set(b"lock", None, b"yours")
        False
        >>> store.compare_and_set(b"lock", b"mine", None)
        True
        """

    def increment(
        self, key: Buffer, delta: int = 1, /, *, durability: Durability | None = None
    ) -> int:
        """Adds `delta` to the number that is the value of `key`; the sum. A missing key counts as 0.

        A number is eight bytes, big-endian, in two's complement: `n.to_bytes(8, "big", signed=True)`.
        A value of another length, or a sum out of range, is a `ValueError` and nothing is written; a
        `delta` out of that range is an `OverflowError`.
        No other write comes between the look and the write. `durability` is as for `set`.

        >>> store.increment(b"visits")
        1
        >>> store.increment(b"visits", 41)
        42
        >>> int.from_bytes(store[b"visits"], "big", signed=True)
        42
        """

    def get_view(self, key: Buffer, /) -> memoryview | None:
        """A read-only `memoryview` of the value of `key`, or `None` when it is missing.

        Nothing is copied. The view stays valid, and stays the same, when the key is set or
        deleted and when the store is closed; it keeps the file it lies in mapped.

        >>> store[b"image"] = bytes(1000)
        >>> view = store.get_view(b"image")
        >>> view.nbytes, view.readonly
        (1000, True)
        """

    def scan(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """An iterator over the pairs with `start <= key < stop`, as of now.

        `None` is unbounded. `prefix` keeps the keys that begin with it, `reverse` gives them in
        descending order, `limit` gives at most so many.

        >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3", b"c": b"4"})
        >>> list(store.scan(prefix=b"b:"))
        [(b'b:1', b'2'), (b'b:2', b'3')]
        >>> list(store.scan(b"b", reverse=True, limit=1))
        [(b'c', b'4')]
        """

    def scan_keys(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[bytes]:
        """An iterator over the keys alone of what `scan` with the same arguments goes over.

        >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3"})
        >>> list(store.scan_keys(prefix=b"b:"))
        [b'b:1', b'b:2']
        """

    def view(self) -> View:
        """The store as it is now, to be read for as long as it is held, whatever is written meanwhile.

        The first call, or first scan, puts all keys in order, which takes about a tenth of a
        microsecond for each; after that a view of a store that was not written to costs next to
        nothing. See `View`.

        >>> store[b"balance"] = b"100"
        >>> with store.view() as view:
        ...     store[b"balance"] = b"0"
        ...     view[b"balance"]
        b'100'
        """

    def backup(
        self, path: _Path, progress: Callable[[BackupProgress], object] | None = None
    ) -> None:
        """Writes the store as it is at one instant during this call to the new directory `path`, while
        other threads read and write.

        `path` must not exist, or be an empty directory, and then opens like any other. It appears
        when it is whole and durable; should the process die before, nothing is there but perhaps a
        directory called `<path>.unfinished-<number>`, which can be removed. Every record is checked
        against the checksum it was stored with. Also for a store opened with flag "r".

        `progress` is called every megabyte or few thousand records, and at the end, with
        a `BackupProgress`. An exception in it, or Ctrl-C, gives the backup up and is passed on;
        nothing of it is left then, nor after any other exception: `ValueError` when a
        directory with something in it is at `path`, `StorageError` when it cannot be written, `CorruptionError` when a record is not
        what was stored.

        >>> store[b"a"] = b"1"
        >>> store.backup(directory)
        >>> with kvstore.open(directory) as copy:
        ...     dict(copy)
        {b'a': b'1'}
        """

    def keys(self) -> KeysView:
        """A set-like view of the keys, in ascending order.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.keys())
        [b'a', b'b']
        """

    def values(self) -> ValuesView:
        """A view of the values, in ascending order of their keys.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.values())
        [b'1', b'2']
        """

    def items(self) -> ItemsView:
        """A set-like view of the pairs, in ascending order of their keys.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.items())
        [(b'a', b'1'), (b'b', b'2')]
        """

    @overload
    def pop(self, key: Buffer, /) -> bytes:
        """Deletes `key` and returns its value, or `default` when it is missing.

        One atomic step: what is deleted is what is returned.

        >>> store[b"a"] = b"1"
        >>> store.pop(b"a")
        b'1'
        >>> store.pop(b"a", None)
        """

    @overload
    def pop(self, key: Buffer, /, default: bytes) -> bytes: ...
    @overload
    def pop(self, key: Buffer, /, default: _T) -> bytes | _T: ...
    def popitem(self) -> tuple[bytes, bytes]:
        """Deletes the first key and returns it with its value; `KeyError` when the store is empty.

        Of several threads each gets another pair. The first call puts all keys in order, as a scan
        does; after that each takes some microseconds.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> store.popitem()
        (b'a', b'1')
        """

    def setdefault(self, key: Buffer, default: Buffer, /) -> bytes:
        """The value of `key`, which is set to `default` first when it is missing.

        One atomic step: of several threads that set different defaults one wins, and all get its.

        >>> store.setdefault(b"a", b"1")
        b'1'
        >>> store.setdefault(b"a", b"2")
        b'1'
        """

    def update(
        self,
        other: SupportsKeysAndGetItem[_K, Buffer] | Iterable[tuple[Buffer, Buffer]] = (),
        /,
        **kwargs: Never,
    ) -> None:
        """Sets every pair of `other`: a mapping, an object with `keys()`, or an iterable of pairs.

        Not one atomic step: a crash or a wrong pair leaves those before it set. With durability
        "sync" there is one sync at the end, and other threads may see the values before it.
        Keywords are refused, as their names are `str`.

        >>> store.update({b"a": b"1"})
        >>> store.update([(b"b", b"2"), (b"c", b"3")])
        >>> len(store)
        3
        """

    def clear(self) -> None:
        """Deletes every key that is there now.

        Not one atomic step: see `delete_many`.

        >>> store[b"a"] = b"1"
        >>> store.clear()
        >>> len(store)
        0
        """

    def checkpoint(self) -> None:
        """Writes everything so far to a new snapshot and removes the log that had it, while other
        threads go on. Rarely needed: a thread does it when the log is long (`checkpoint_bytes`).

        >>> store.set(b"a", b"1")
        >>> store.checkpoint()
        >>> store.stats()["log_bytes"]
        0
        """

    def sync(self) -> None:
        """Makes every write so far as durable as under "sync".

        >>> store.set(b"a", b"1", durability="os")
        >>> store.sync()
        """

    def stats(self) -> Stats:
        """Counters: records, sizes in bytes, how many writes, groups, syncs and checkpoints there were,
        why the last checkpoint failed (`checkpoint_error`), if it did, and under `recovery` what
        `recovery_report` returns.

        >>> store[b"a"] = b"1"
        >>> stats = store.stats()
        >>> stats["records"], stats["records_per_group"], stats["recovery"]["clean"]
        (1, 1.0, True)
        """

    def recovery_report(self) -> RecoveryReport:
        """What opening the store found and did.

        `clean` is whether nothing had to be replayed or cut, `snapshot_records` and `log_records`
        how much was read, from `sealed_logs` logs besides the last one. `bytes_cut` is how much of
        the logs was no entry and was moved away, `cut_log` and `cut_offset` where that began,
        `cut_reason` why, `damaged` whether synced data was part of it, and `quarantine` the file that
        keeps it.

        >>> store.recovery_report()["clean"]
        True
        """

    def close(self) -> None:
        """Closes the store: writes a snapshot where that pays and unlocks the directory.

        Closing again does nothing. Everything else raises `ClosedError` from then on; iterators
        and memoryviews that were made before stay valid.

        >>> store.close()
        >>> store.closed
        True
        """

@final
class View(Mapping[bytes, bytes]):
    """A store at one instant: a `Mapping` from `bytes` to `bytes` that nothing changes.

    Made by `Store.view`. What is written later does not show, and it stays valid after the store is
    closed. `len`, `in`, `view[key]`, `iter` and `reversed` work as they do for the store, and a
    view equals any mapping with the same entries. Any thread may use it. Its files stay mapped, and
    on the disk once the store has replaced them, until it is closed or dropped: use it in a `with`
    statement, or let go of it when done. Getting a value takes about three times as long as from
    the store.

    >>> store.update({b"a": b"1", b"b": b"2"})
    >>> view = store.view()
    >>> store.clear()
    >>> len(view), view[b"a"], b"c" in view
    (2, b'1', False)
    >>> dict(view)
    {b'a': b'1', b'b': b'2'}
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __getitem__(self, key: Buffer, /) -> bytes: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __reversed__(self) -> Iterator[bytes]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    @overload
    def get(self, key: Buffer, default: None = None, /) -> bytes | None:
        """The value of `key`, or `default` when it is missing.

        >>> with store.view() as view:
        ...     view.get(b"missing", b"")
        b''
        """

    @overload
    def get(self, key: Buffer, default: bytes, /) -> bytes: ...
    @overload
    def get(self, key: Buffer, default: _T, /) -> bytes | _T: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: None = None, /) -> list[bytes | None]:
        """The values of `keys`, in their order, with `default` for those that are missing.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> with store.view() as view:
        ...     view.get_many([b"b", b"missing", b"a"])
        [b'2', None, b'1']
        """

    @overload
    def get_many(self, keys: Iterable[Buffer], default: bytes, /) -> list[bytes]: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: _T, /) -> list[bytes | _T]: ...
    def get_view(self, key: Buffer, /) -> memoryview | None:
        """A read-only `memoryview` of the value of `key`, or `None` when it is missing.

        Nothing is copied, and it stays valid when the view is closed; it keeps the file it lies in
        mapped.

        >>> store[b"image"] = bytes(1000)
        >>> with store.view() as view:
        ...     image = view.get_view(b"image")
        >>> image.nbytes, image.readonly
        (1000, True)
        """

    def scan(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """An iterator over the pairs with `start <= key < stop`.

        `None` is unbounded. `prefix` keeps the keys that begin with it, `reverse` gives them in
        descending order, `limit` gives at most so many. It goes on after the view is closed.

        >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3"})
        >>> with store.view() as view:
        ...     list(view.scan(prefix=b"b:", reverse=True, limit=1))
        [(b'b:2', b'3')]
        """

    def scan_keys(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[bytes]:
        """An iterator over the keys alone of what `scan` with the same arguments goes over.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> with store.view() as view:
        ...     list(view.scan_keys(b"b"))
        [b'b']
        """

    def keys(self) -> KeysView:
        """A set-like view of the keys, in ascending order.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.view().keys())
        [b'a', b'b']
        """

    def values(self) -> ValuesView:
        """A view of the values, in ascending order of their keys.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.view().values())
        [b'1', b'2']
        """

    def items(self) -> ItemsView:
        """A set-like view of the pairs, in ascending order of their keys.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> list(store.view().items())
        [(b'a', b'1'), (b'b', b'2')]
        """

    def backup(
        self, path: _Path, progress: Callable[[BackupProgress], object] | None = None
    ) -> None:
        """Writes what the view holds to the new directory `path`, as `Store.backup` does. The store may
        be closed.

        >>> store[b"a"] = b"1"
        >>> view = store.view()
        >>> store[b"a"] = b"2"
        >>> view.backup(directory, print)
        BackupProgress(records_done=1, records_total=1, bytes_done=34, bytes_total=34)
        >>> with kvstore.open(directory) as copy:
        ...     dict(copy)
        {b'a': b'1'}
        """

    def close(self) -> None:
        """Lets go of the files. Closing again does nothing; everything else raises `ClosedError` from
        then on, but iterators and memoryviews that were made before stay valid.

        >>> view = store.view()
        >>> view.close()
        >>> view.closed
        True
        """

@final
class Batch:
    """Sets and deletes that take effect together or not at all.

    Made by `Store.batch`. It gathers what is added to it, and `commit` writes it: whatever crashes,
    all of it is there afterwards or nothing, and nobody sees a part of it. Of several operations on
    one key the last one counts. In a `with` statement it is committed at the end, and discarded if
    an exception leaves the block. `len(batch)` is how many operations it holds.

    Reads of the store do not see what is in the batch; a transaction's do. Use it from one thread
    at a time.

    >>> with store.batch() as batch:
    ...     batch[b"account:1"] = b"90"
    ...     batch[b"account:2"] = b"110"
    >>> dict(store)
    {b'account:1': b'90', b'account:2': b'110'}
    """

    def __setitem__(self, key: Buffer, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Buffer, /) -> None: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Never: ...
    def set(self, key: Buffer, value: Buffer, /) -> None:
        """Adds: set `key` to `value`.

        A key or value that is too long for the store is refused when the batch is committed.

        >>> batch = store.batch()
        >>> batch.set(b"user:1", b"alice")
        >>> len(batch)
        1
        """

    def delete(self, key: Buffer, /) -> None:
        """Adds: delete `key`, which need not be there.

        >>> batch = store.batch()
        >>> batch.delete(b"user:1")
        """

    def clear(self) -> None:
        """Takes all operations out.

        >>> batch = store.batch()
        >>> batch.set(b"user:1", b"alice")
        >>> batch.clear()
        >>> len(batch)
        0
        """

    def commit(self) -> None:
        """Writes all operations at once; the batch is then empty, to be filled again.

        If it raises, nothing was written and the operations are still there, except after an
        `IndeterminateError`: then all of it survives or nothing, and nobody can tell which.

        >>> batch = store.batch()
        >>> batch.set(b"user:1", b"alice")
        >>> batch.commit()
        >>> store[b"user:1"], len(batch)
        (b'alice', 0)
        """

@final
class Transaction(MutableMapping[bytes, bytes]):
    """Reads and writes that take effect together, as if at one instant, or not at all: a
    `MutableMapping` from `bytes` to `bytes`, as a store is.

    Made by `Store.transaction`. In a `with` statement it is committed at the end, and aborted if an
    exception leaves the block; one that is dropped is aborted. Reads through it see what it has
    written; others see that after the commit, all at once. While it is open every other write to
    the store waits, and `Store.transaction` as well, for up to the `transaction_timeout` of
    `kvstore.open`, and then raises `LockTimeout`: keep it short. The thread that began it would
    wait for itself; its writes that do not go through the transaction are a `ValueError` at once.
    The coroutines of an event loop are one thread: do not `await` while one is open. Use it from one
    thread at a time. After its end everything raises `ClosedError`.

    >>> store[b"from"] = b"100"
    >>> with store.transaction() as transaction:
    ...     balance = int(transaction[b"from"])
    ...     transaction[b"from"] = b"%d" % (balance - 30)
    ...     transaction[b"to"] = b"30"
    ...     transaction[b"from"], store[b"from"]
    (b'70', b'100')
    >>> dict(store)
    {b'from': b'70', b'to': b'30'}
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __getitem__(self, key: Buffer, /) -> bytes: ...
    def __setitem__(self, key: Buffer, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Buffer, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __reversed__(self) -> Iterator[bytes]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __reduce__(self) -> Never: ...
    @property
    def closed(self) -> bool:
        """Whether it was committed or aborted."""

    @overload
    def get(self, key: Buffer, default: None = None, /) -> bytes | None:
        """The value of `key`, or `default` when it is missing.

        >>> with store.transaction() as transaction:
        ...     transaction.get(b"missing", b"")
        b''
        """

    @overload
    def get(self, key: Buffer, default: bytes, /) -> bytes: ...
    @overload
    def get(self, key: Buffer, default: _T, /) -> bytes | _T: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: None = None, /) -> list[bytes | None]:
        """The values of `keys`, in their order, with `default` for those that are missing.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> with store.transaction() as transaction:
        ...     transaction[b"a"] = b"10"
        ...     transaction.get_many([b"b", b"missing", b"a"])
        [b'2', None, b'10']
        """

    @overload
    def get_many(self, keys: Iterable[Buffer], default: bytes, /) -> list[bytes]: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: _T, /) -> list[bytes | _T]: ...
    def set(self, key: Buffer, value: Buffer, /) -> None:
        """Sets `key` to `value`, for others when the transaction is committed.

        A key or value that is too long for the store is refused by the commit.

        >>> with store.transaction() as transaction:
        ...     transaction.set(b"user:1", b"alice")
        >>> store[b"user:1"]
        b'alice'
        """

    def delete(self, key: Buffer, /) -> bool:
        """Deletes `key`, for others when the transaction is committed; whether it was there.

        >>> store[b"user:1"] = b"alice"
        >>> with store.transaction() as transaction:
        ...     transaction.delete(b"user:1"), transaction.delete(b"user:1")
        (True, False)
        """

    def set_many(
        self, items: SupportsKeysAndGetItem[_K, Buffer] | Iterable[tuple[Buffer, Buffer]], /
    ) -> None:
        """Sets every pair of `items`, a mapping or an iterable of pairs. A wrong pair leaves none of them
        set.

        All are gathered in memory first; `update` sets them one by one instead.

        >>> with store.transaction() as transaction:
        ...     transaction.set_many({b"a": b"1", b"b": b"2"})
        ...     len(transaction)
        2
        """

    def delete_many(self, keys: Iterable[Buffer], /) -> int:
        """Deletes `keys`; how many of them were there. A wrong key leaves all of them in place.

        >>> store.update({b"a": b"1", b"b": b"2"})
        >>> with store.transaction() as transaction:
        ...     transaction.delete_many([b"a", b"missing"])
        1
        """

    def compare_and_set(self, key: Buffer, expected: Buffer | None, new: Buffer | None, /) -> bool:
        """Sets `key` to `new` if its value is `expected`, with what the transaction has written; whether
        it was.

        `None` is a missing key: an `expected` of `None` sets only what is not there, a `new` of `None`
        deletes.

        >>> with store.transaction() as transaction:
        ...     transaction.compare_and_set(b"lock", None, b"mine")
        ...     transaction.compare_and_set(b"lock", None, b"yours")
        True
        False
        """

    def increment(self, key: Buffer, delta: int = 1, /) -> int:
        """Adds `delta` to the number that is the value of `key`, with what the transaction has written; the
        sum. A missing key counts as 0.

        Numbers and errors are those of `Store.increment`.

        >>> with store.transaction() as transaction:
        ...     transaction.increment(b"visits")
        ...     transaction.increment(b"visits", 41)
        1
        42
        """

    @overload
    def pop(self, key: Buffer, /) -> bytes:
        """Deletes `key` and returns its value, or `default` when it is missing.

        >>> store[b"a"] = b"1"
        >>> with store.transaction() as transaction:
        ...     transaction.pop(b"a"), transaction.pop(b"a", None)
        (b'1', None)
        """

    @overload
    def pop(self, key: Buffer, /, default: bytes) -> bytes: ...
    @overload
    def pop(self, key: Buffer, /, default: _T) -> bytes | _T: ...
    def popitem(self) -> tuple[bytes, bytes]:
        """Deletes the first key and returns it with its value; `KeyError` when there is none.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> with store.transaction() as transaction:
        ...     transaction.popitem()
        (b'a', b'1')
        """

    def setdefault(self, key: Buffer, default: Buffer, /) -> bytes:
        """The value of `key`, which is set to `default` first when it is missing.

        >>> with store.transaction() as transaction:
        ...     transaction.setdefault(b"a", b"1"), transaction.setdefault(b"a", b"2")
        (b'1', b'1')
        """

    def update(
        self,
        other: SupportsKeysAndGetItem[_K, Buffer] | Iterable[tuple[Buffer, Buffer]] = (),
        /,
        **kwargs: Never,
    ) -> None:
        """Sets every pair of `other`: a mapping, an object with `keys()`, or an iterable of pairs.

        A wrong pair leaves those before it set. Keywords are refused, as their names are `str`.

        >>> with store.transaction() as transaction:
        ...     transaction.update({b"a": b"1"})
        ...     transaction.update([(b"b", b"2"), (b"c", b"3")])
        >>> len(store)
        3
        """

    def clear(self) -> None:
        """Deletes every key.

        >>> store[b"a"] = b"1"
        >>> with store.transaction() as transaction:
        ...     transaction.clear()
        >>> len(store)
        0
        """

    def scan(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """An iterator over the pairs with `start <= key < stop`, with what was written so far.

        The arguments are as for `Store.scan`. It goes on after the transaction has ended.

        >>> store.update({b"a": b"1", b"c": b"3"})
        >>> with store.transaction() as transaction:
        ...     transaction[b"b"] = b"2"
        ...     del transaction[b"c"]
        ...     list(transaction.scan())
        [(b'a', b'1'), (b'b', b'2')]
        """

    def scan_keys(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[bytes]:
        """An iterator over the keys alone of what `scan` with the same arguments goes over.

        >>> with store.transaction() as transaction:
        ...     transaction[b"a"] = b"1"
        ...     list(transaction.scan_keys(b"a"))
        [b'a']
        """

    def keys(self) -> KeysView:
        """A set-like view of the keys, in ascending order, with what the transaction has written.

        >>> store[b"b"] = b"2"
        >>> with store.transaction() as transaction:
        ...     del transaction[b"b"]
        ...     transaction[b"a"] = b"1"
        ...     list(transaction.keys())
        [b'a']
        """

    def values(self) -> ValuesView:
        """A view of the values, in ascending order of their keys, with what the
        transaction has written.

        >>> store[b"b"] = b"2"
        >>> with store.transaction() as transaction:
        ...     del transaction[b"b"]
        ...     transaction[b"a"] = b"1"
        ...     list(transaction.values())
        [b'1']
        """

    def items(self) -> ItemsView:
        """A set-like view of the pairs, in ascending order of their keys, with what the
        transaction has written.

        >>> store[b"b"] = b"2"
        >>> with store.transaction() as transaction:
        ...     del transaction[b"b"]
        ...     transaction[b"a"] = b"1"
        ...     list(transaction.items())
        [(b'a', b'1')]
        """

    def commit(self) -> None:
        """Carries out all that was written, at once, and ends the transaction.

        If it raises, the transaction has ended without effect, except after an
        `IndeterminateError`: then all of it survives or nothing, and nobody can tell which.

        >>> transaction = store.transaction()
        >>> transaction[b"a"] = b"1"
        >>> transaction.commit()
        >>> store[b"a"]
        b'1'
        """

    def abort(self) -> None:
        """Ends the transaction without any effect. Again, or after a commit, this does nothing.

        >>> transaction = store.transaction()
        >>> transaction[b"a"] = b"1"
        >>> transaction.abort()
        >>> len(store)
        0
        """

def verify(path: _Path, /) -> Verification:
    """Checks every byte of the store in the directory `path`, and changes nothing there.

    Damage is not an exception: `condition` of the result is `"sound"`, `"torn"` (the log ends in
    the middle of an entry, as a crash leaves it; the next open mends that), `"unclear"` (valid entries
    lie behind a place that is not, but no sync vouches for them) or `"damaged"`, and `findings` lists
    what is wrong, each with `path`, `offset`, `len`, `what` and `condition`. `sound` is whether
    opening brings back everything that can be read, `refuses_to_open` whether it is refused,
    `report` all of it for people, with what to do. `snapshot` and `logs` have the figures of each
    file, `quarantine` the files there, with how many valid `entries` each has that are not in the store,
    and `unfinished_snapshot` the length of a leftover.

    Raises `LockedError` while another handle has the directory open for writing, `StorageError`
    when a file cannot be read, `UnsupportedError` when a newer version wrote the directory, and
    `ValueError` when there is no store in it.

    >>> kvstore.open(directory).close()
    >>> kvstore.verify(directory)["condition"]
    'sound'
    """

def repair(path: _Path, new_path: _Path, /) -> RepairReport:
    """Writes what is consistent in the damaged directory `path` to the new directory `new_path`.

    `new_path` must not exist, or be empty; it then opens like any other, and `path` is not changed.
    Of logs it keeps what opening keeps: everything before the first entry that is not valid. Of a
    damaged snapshot, with which opening raises `CorruptionError`, it keeps the entries before the
    damage, and the logs on top of them: nothing in it is older than what was written, but records
    are missing.

    In the result `records` is how many there are, `complete` whether nothing is missing,
    `is_prefix` whether it is the state after some prefix of the writes, `left_out` what is missing
    and why, `complete_up_to` the key up to which no record is, where that is known, `report` all
    of it for people, and `source` what `verify` returns for `path`.

    Raises what `verify` raises, and `ValueError` when `new_path` is not empty or lies in `path`.
    After any exception nothing is left of what was begun there. Ctrl-C gives it up as well, unless it
    comes at the very end: then the new directory is whole.

    >>> kvstore.open(directory).close()
    >>> kvstore.repair(directory, directory + "-repaired")["complete"]
    True
    """

def salvage(path: _Path, new_path: _Path, /) -> RepairReport:
    """Writes whatever can be read in the damaged directory `path` to the new directory `new_path`.

    Like `repair`, but also from behind damage. What comes of it is not a state that the store ever
    had: records may be missing, may have an older value than the last one, and may be back although
    they were deleted. `SALVAGED.txt` in the new directory says so.

    >>> kvstore.open(directory).close()
    >>> kvstore.salvage(directory, directory + "-salvaged")["records"]
    0
    """
