"""The types of what functions take and return, for annotations.

The dictionaries are plain ``dict`` objects; these are their types. What their items mean is said by the
functions that return them.

>>> from kvstore.types import Durability, Stats
>>> def syncs_per_write(stats: Stats) -> float:
...     return stats["syncs"] / max(stats["writes"], 1)
>>> syncs_per_write(store.stats())
0.0
"""

from __future__ import annotations

from typing import Literal, TypedDict

from ._progress import BackupProgress

__all__ = [
    "BackupProgress",
    "CloseCheckpoint",
    "Condition",
    "Durability",
    "Finding",
    "Flag",
    "LeftOut",
    "LogCheck",
    "LogUse",
    "QuarantinedFile",
    "RecoveryReport",
    "RepairReport",
    "SnapshotCheck",
    "Stats",
    "Verification",
]

Flag = Literal["r", "w", "c", "n"]
"""How ``kvstore.open`` opens."""

Durability = Literal["sync", "os"]
"""What a write has survived when it returns: power loss, or the end of the process."""

CloseCheckpoint = Literal["auto", "always", "never"]
"""When ``Store.close`` writes a snapshot."""

Condition = Literal["sound", "torn", "unclear", "damaged"]
"""What ``kvstore.verify`` thinks of a file, a place or a directory."""

LogUse = Literal["replayed", "covered", "snapshot-missing", "undecidable"]
"""What opening does with a log."""


class RecoveryReport(TypedDict):
    """What ``Store.recovery_report`` returns: what opening the store found and did."""

    clean: bool
    snapshot_records: int
    log_records: int
    sealed_logs: int
    bytes_cut: int
    cut_log: str | None
    cut_offset: int | None
    cut_reason: str | None
    damaged: bool
    quarantine: str | None


class Stats(TypedDict):
    """What ``Store.stats`` returns."""

    records: int
    log_bytes: int
    snapshot_bytes: int
    index_bytes: int
    view_bytes: int
    groups: int
    records_per_group: float
    syncs: int
    writes: int
    sealed_logs: int
    checkpoints: int
    checkpoint_bytes: int
    checkpoints_failed: int
    checkpoint_error: str | None
    checkpoint_running: bool
    checkpoint_records: int
    checkpoint_records_total: int
    recovery: RecoveryReport


class Finding(TypedDict):
    """A place that is not as it was written, of a ``Verification``."""

    path: str
    offset: int
    len: int
    condition: Condition
    what: str


class SnapshotCheck(TypedDict):
    """The figures of the snapshot, of a ``Verification``."""

    path: str
    bytes: int
    condition: Condition
    timestamp: int | None
    count: int | None
    entries: int
    entries_behind: int
    ascending: bool
    trailer_bytes: int


class LogCheck(TypedDict):
    """The figures of a log, of a ``Verification``."""

    path: str
    bytes: int
    condition: Condition
    log_use: LogUse
    generation: int | None
    base: int | None
    sets: int
    deletes: int
    marks: int
    batches: int
    end: int
    garbage: int
    vouched: int
    entries_behind: int
    unknown_behind: int


class QuarantinedFile(TypedDict):
    """A file in ``quarantine``, of a ``Verification``."""

    path: str
    bytes: int | None
    entries: int


class Verification(TypedDict):
    """What ``kvstore.verify`` returns."""

    directory: str
    condition: Condition
    sound: bool
    refuses_to_open: bool
    snapshot: SnapshotCheck | None
    logs: list[LogCheck]
    findings: list[Finding]
    findings_omitted: int
    quarantine: list[QuarantinedFile]
    unfinished_snapshot: int | None
    report: str


class LeftOut(TypedDict):
    """A place that is missing in the new directory, of a ``RepairReport``."""

    path: str
    offset: int
    len: int
    entries: int
    lost: bool
    why: str


class RepairReport(TypedDict):
    """What ``kvstore.repair`` and ``kvstore.salvage`` return."""

    complete: bool
    is_prefix: bool
    records: int
    applied: int
    applied_behind: int
    outdated: int
    complete_up_to: bytes | None
    left_out: list[LeftOut]
    report: str
    source: Verification
