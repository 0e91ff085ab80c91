"""What the callback of a backup is told."""

from __future__ import annotations

from typing import NamedTuple


class BackupProgress(NamedTuple):
    """How far a backup has come.

    ``bytes_total`` is an estimate until the end, and never less than ``bytes_done``.
    """

    records_done: int
    records_total: int
    bytes_done: int
    bytes_total: int


BackupProgress.__module__ = "kvstore"
