"""What ``keys()``, ``values()`` and ``items()`` of a store, and of a view or a transaction of one, return.

The views of ``collections.abc`` look every value up while they iterate, which is slow, and wrong
beside a writer: a key may be gone by then. These iterate over one instant of the store.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._kvstore import Store, Transaction, View


class KeysView(collections.abc.KeysView[bytes]):
    """A set-like view of the keys, in ascending order."""

    __slots__ = ()
    _mapping: Store | View | Transaction

    if TYPE_CHECKING:  # type checkers let only classes with their own compare to any set

        def __eq__(self, other: object) -> bool: ...

    def __reversed__(self) -> Iterator[bytes]:
        return reversed(self._mapping)


class ValuesView(collections.abc.ValuesView[bytes]):
    """A view of the values, in ascending order of their keys."""

    __slots__ = ()
    _mapping: Store | View | Transaction

    def __contains__(self, value: object) -> bool:
        return any(found == value for found in self)

    def __iter__(self) -> Iterator[bytes]:
        return map(itemgetter(1), self._mapping.scan())

    def __reversed__(self) -> Iterator[bytes]:
        return map(itemgetter(1), self._mapping.scan(reverse=True))


class ItemsView(collections.abc.ItemsView[bytes, bytes]):
    """A set-like view of the pairs, in ascending order of their keys."""

    __slots__ = ()
    _mapping: Store | View | Transaction

    if TYPE_CHECKING:  # type checkers let only classes with their own compare to any set

        def __eq__(self, other: object) -> bool: ...

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._mapping.scan()

    def __reversed__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._mapping.scan(reverse=True)
