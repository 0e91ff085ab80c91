# The extension module's types, for type checkers and editors.
#
# The docstrings repeat those of the module, which a test compares.

from collections.abc import Iterable, Iterator, MutableMapping
from os import PathLike
from types import TracebackType
from typing import ClassVar, Literal, Never, TypedDict, TypeVar, final, overload, type_check_only

from _typeshed import SupportsKeysAndGetItem
from typing_extensions import Buffer, Self

from ._views import ItemsView, KeysView, ValuesView

__all__ = ["Store", "__version__", "open"]

__version__: str

_K = TypeVar("_K", bound=Buffer)
_T = TypeVar("_T")
_Durability = Literal["sync", "os"]

@type_check_only
class _Stats(TypedDict):
    records: int
    log_bytes: int
    snapshot_bytes: int
    index_bytes: int
    groups: int
    syncs: int
    writes: int

@type_check_only
class _RecoveryReport(TypedDict):
    clean: bool
    snapshot_records: int
    log_records: int
    bytes_cut: int
    cut_offset: int | None
    damaged: bool
    quarantine: str | None

def open(
    path: str | bytes | PathLike[str] | PathLike[bytes],
    flag: Literal["r", "w", "c", "n"] = "c",
    *,
    durability: _Durability = "sync",
    lock_timeout: float = 0.0,
    max_key_len: int | None = None,
    max_value_len: int | None = None,
    close_checkpoint: Literal["auto", "always", "never"] = "auto",
    strict_recovery: bool = False,
) -> Store:
    """Opens the store in the directory `path`, recovering what an earlier process left.

    `path` is a `str`, `bytes` or `os.PathLike`. `flag` is as in the `dbm` modules:

    - `"c"` (the default): read and write, creating the directory if it is missing;
    - `"r"`: only read, the directory must exist; nothing in it changes, and several
      processes may have it open for reading at once, though none while one writes;
    - `"w"`: read and write, the directory must exist;
    - `"n"`: read and write, and always empty: what is there is deleted once the directory is
      locked. Only entries of the store go, unknown files stay. A process that is killed meanwhile
      leaves some of the old entries; a damaged store is an error, not a reason to discard it.

    `durability` is what a write has survived when it returns: `"sync"` (the default) power
    loss, `"os"` the end of the process. `lock_timeout` is how many seconds to wait for another
    process to close the directory, `float("inf")` to wait for as long as it takes; Ctrl-C
    interrupts it. `max_key_len` and `max_value_len` refuse longer keys and values, in bytes.
    `close_checkpoint` says what `close` does with the log: `"auto"` writes a snapshot where that
    pays, `"always"` whenever something changed, `"never"` keeps the log. `strict_recovery` refuses a
    log whose synced part is damaged, instead of keeping what is before the damage.

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
    def set(self, key: Buffer, value: Buffer, /, *, durability: _Durability | None = None) -> None:
        """Sets `key` to `value`.

        `durability` is "sync" or "os" for this write, or `None` for what the store was opened with.

        >>> store.set(b"user:1", b"alice")
        >>> store.set(b"cache:1", b"cheap to lose", durability="os")
        """

    def delete(self, key: Buffer, /, *, durability: _Durability | None = None) -> bool:
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

        Of several threads that pop the same key exactly one gets it. A value that another thread
        sets meanwhile may be deleted unseen.

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

        Of several threads each gets another pair. Finding the first key takes a pass over all of
        them, so this is no way to empty a large store.

        >>> store.update({b"b": b"2", b"a": b"1"})
        >>> store.popitem()
        (b'a', b'1')
        """

    def setdefault(self, key: Buffer, default: Buffer, /) -> bytes:
        """The value of `key`, which is set to `default` first when it is missing.

        Not one atomic step: a value that another thread sets meanwhile may be overwritten.

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

    def sync(self) -> None:
        """Makes every write so far as durable as under "sync".

        >>> store.set(b"a", b"1", durability="os")
        >>> store.sync()
        """

    def stats(self) -> _Stats:
        """Counters: records, sizes in bytes, and how many writes, groups and syncs there were.

        >>> store.stats()["records"]
        0
        """

    def recovery_report(self) -> _RecoveryReport:
        """What opening the store found and did.

        `clean` is whether nothing had to be replayed or cut, `snapshot_records` and `log_records`
        how much was read, `bytes_cut` how much of the log was no entry and was moved away,
        `cut_offset` where in `wal.log` that began, `damaged` whether synced data was part of it,
        and `quarantine` the file that keeps it.

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
