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
``ValueError`` as everywhere, and a missing key is a ``KeyError``.
"""

from collections.abc import MutableMapping as _MutableMapping

from ._errors import (
    ClosedError,
    CorruptionError,
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
from ._kvstore import Store, __version__, open

__all__ = [
    "ClosedError",
    "CorruptionError",
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
    "UnsupportedError",
    "__version__",
    "open",
]

# The class is written in Rust and has every method of the mapping protocol itself, so it is
# registered with the abstract class rather than derived from it.
_MutableMapping.register(Store)
