"""An embedded key-value store: bytes to bytes, in a directory, in this process.

A store is a ``MutableMapping``: it is used like a ``dict`` and survives like a database. The
directory is the same for the Rust library, the C library and this package.

>>> import kvstore
>>> with kvstore.open(directory) as store:
...     store[b"user:1"] = b"alice"
...     store[b"user:1"]
b'alice'

``open`` says what can be chosen, ``Store`` what can be done. Every exception that the store raises
about itself is a ``kvstore.Error``; arguments of a wrong type or value are a ``TypeError`` or a
``ValueError`` as everywhere, and a missing key is a ``KeyError``. An ``open`` that finds damage and
goes on with what is before it warns of that: ``kvstore.DamageWarning``. ``kvstore.types`` names, for
annotations, the dictionaries that functions return, and the values of ``flag`` and ``durability``.
"""

from collections.abc import Mapping as _Mapping
from collections.abc import MutableMapping as _MutableMapping

from ._errors import (
    ClosedError,
    CorruptionError,
    DamageWarning,
    Error,
    ForkedError,
    IndeterminateError,
    LockedError,
    LockTimeout,
    PoisonedError,
    ReadOnlyError,
    StorageError,
    TooLargeError,
    UnsupportedError,
)
from ._kvstore import Batch, Store, Transaction, View, __version__, open, repair, salvage, verify
from ._progress import BackupProgress

__all__ = [
    "BackupProgress",
    "Batch",
    "ClosedError",
    "CorruptionError",
    "DamageWarning",
    "Error",
    "ForkedError",
    "IndeterminateError",
    "LockTimeout",
    "LockedError",
    "PoisonedError",
    "ReadOnlyError",
    "StorageError",
    "Store",
    "TooLargeError",
    "Transaction",
    "UnsupportedError",
    "View",
    "__version__",
    "open",
    "repair",
    "salvage",
    "verify",
]

# The classes are written in Rust and have every method of the mapping protocol themselves, so they
# are registered with the abstract classes rather than derived from them.
_MutableMapping.register(Store)
_MutableMapping.register(Transaction)
_Mapping.register(View)
