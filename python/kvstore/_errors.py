"""The exceptions of the package, and its warning.

They are written in Python because most have two bases: the one that says whose error it is, and
the built-in one that a caller who knows nothing of this package would catch.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self


class Error(Exception):
    """The base of every exception that a store raises about itself."""


class ClosedError(Error, ValueError):
    """The store was closed."""


class ForkedError(Error, RuntimeError):
    """The store was opened by the process that forked this one; open the directory here."""


class UnsupportedError(Error):
    """The directory uses a feature that this version does not know."""


class TooLargeError(Error, ValueError):
    """A key or a value is longer than the format, or an option of ``open``, allows."""


class CorruptionError(Error):
    """Bytes on disk are not what was written there.

    ``path`` is the file and ``offset`` the byte in it, or ``None`` where that is not known.
    """

    path: str | None
    offset: int | None

    def __init__(self, message: str = "", path: str | None = None, offset: int | None = None):
        super().__init__(message, path, offset)
        self.path = path
        self.offset = offset

    def __str__(self) -> str:
        return str(self.args[0])


class _SystemError(Error, OSError):
    """An error with ``errno``, ``strerror`` and ``filename``.

    The engine's messages already name the file and the cause, so ``str`` does not repeat them.
    """

    def __str__(self) -> str:
        return str(self.strerror) if self.strerror else super().__str__()


class LockedError(_SystemError):
    """Another handle has the directory open. ``pid`` is its process, or ``None`` if not known."""

    pid: int | None = None


class LockTimeout(LockedError, TimeoutError):
    """The directory was still locked after ``lock_timeout`` seconds, or a transaction of another
    thread still open after ``transaction_timeout`` seconds.
    """


class StorageError(_SystemError):
    """A system call failed, or the disk is full (``errno.ENOSPC``).

    As with ``OSError``, one whose ``errno`` is ``ENOENT`` is also a ``FileNotFoundError``; with
    ``EACCES`` or ``EPERM`` it is a ``PermissionError``, with ``ENOTDIR`` a ``NotADirectoryError``, and
    with ``EEXIST`` or ``ENOTEMPTY`` a ``FileExistsError``.
    """

    def __new__(cls, *args: Any) -> Self:
        # As `OSError` does it: only the class itself stands for others, and only with an errno.
        if cls is StorageError and len(args) >= 2 and isinstance(args[0], int):
            cls = _BY_ERRNO.get(args[0], cls)  # type: ignore[assignment]
        return super().__new__(cls, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle has the public name, which finds the private class again.
        reduced = super().__reduce__()
        assert isinstance(reduced, tuple)
        made_by, *rest = reduced
        return (StorageError if made_by in _BY_ERRNO.values() else made_by, *rest)


class _NotFound(StorageError, FileNotFoundError):
    pass


class _NotPermitted(StorageError, PermissionError):
    pass


class _NoDirectory(StorageError, NotADirectoryError):
    pass


class _Exists(StorageError, FileExistsError):
    pass


_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOENT: _NotFound,
    errno.EACCES: _NotPermitted,
    errno.EPERM: _NotPermitted,
    errno.ENOTDIR: _NoDirectory,
    errno.EEXIST: _Exists,
    errno.ENOTEMPTY: _Exists,
}

# In a traceback they are what callers know.
for _private in _BY_ERRNO.values():
    _private.__name__ = _private.__qualname__ = StorageError.__name__
    _private.__doc__ = StorageError.__doc__


class ReadOnlyError(StorageError):
    """A write to a store that was opened with flag "r"."""


class PoisonedError(StorageError):
    """An earlier write failed for good: the store serves reads only until it is opened again."""


class IndeterminateError(StorageError):
    """The sync of this write failed: it may or may not be there after the next open."""


class DamageWarning(RuntimeWarning):
    """Opening found that data is gone or garbled which had been synced, and kept what is before it.

    ``Store.recovery_report`` has the figures. The next open says nothing of it any more, unless this
    one is with flag "r".
    """


# They are the package's, wherever they are defined: for messages and for pickles.
for _class in list(globals().values()):
    if isinstance(_class, type) and issubclass(_class, (Error, DamageWarning)):
        _class.__module__ = "kvstore"
