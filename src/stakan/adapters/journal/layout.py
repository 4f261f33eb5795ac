"""Names of the files of a journal."""

import re
from pathlib import Path

from stakan.adapters.journal.disk import Disk
from stakan.core.domain.errors import DataError

BALLAST = "ballast"
"""Takes up room that is given back when the disk is full."""
_SEGMENT = re.compile(r"(\d{6,})\.journal")
_SNAPSHOT = re.compile(r"state-(\d{12,})\.snapshot")


def segment_path(folder: Path, ordinal: int) -> Path:
    """The file of a segment; the first is 1."""
    return folder / f"{ordinal:06d}.journal"


def snapshot_path(folder: Path, number: int) -> Path:
    """The file of the engine's state after step `number`."""
    return folder / f"state-{number:012d}.snapshot"


def segments(folder: Path, disk: Disk) -> list[Path]:
    """The files of a journal in order; raises DataError where there are none or one is missing."""
    ordinals = sorted(int(found[1]) for name in disk.names(folder) if (found := _SEGMENT.fullmatch(name)))
    if not ordinals:
        raise DataError(f"{folder} holds no journal")
    for wanted, ordinal in enumerate(ordinals, 1):
        if ordinal != wanted:
            raise DataError(f"{segment_path(folder, wanted)} is missing, although {ordinal:06d} is there")
    return [segment_path(folder, ordinal) for ordinal in ordinals]


def is_journal(folder: Path, disk: Disk) -> bool:
    """Whether a folder holds segments."""
    return any(_SEGMENT.fullmatch(name) for name in disk.names(folder))


def snapshot_numbers(folder: Path, disk: Disk) -> list[int]:
    """The steps after which there is a state, ascending."""
    return sorted(int(found[1]) for name in disk.names(folder) if (found := _SNAPSHOT.fullmatch(name)))
