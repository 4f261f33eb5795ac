"""Where market data lies in a store and which of it readers may see.

```
ROOT/_recordings/000001-3fa9c2d1.json              one record per import or capture: published when this file appears
ROOT/bybit/linear/BTCUSDT/2024-07-18/book-000000-000001-3fa9c2d1.parquet
                                                   kind, ordinal within the recording, recording
```

A part is visible when its recording has a record that no other record replaces. So an import of any number of files,
and the replacement of an older one by it, become visible by one atomic rename.
"""

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from stakan.adapters.parquet.schema import Source, StoredKind
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.ids import InstrumentId, instrument_id, split_instrument_id

RECORDINGS = "_recordings"
SUFFIX = ".parquet"
TEMPORARY = ".tmp"
DIGEST_BYTES = 16
"""Of BLAKE2b over a file's bytes."""
NOT_KNOWN = -1
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BLOCK = 1 << 20
_FOOTER_END = struct.Struct("<I4s")
"""Length of the footer and the magic word at the very end of a Parquet file."""


class Span(msgspec.Struct, frozen=True):
    """What a recording holds of one kind of one instrument; `interval_ns` only of candles."""

    instrument: InstrumentId
    kind: StoredKind
    interval_ns: int
    first_ts: int
    last_ts: int
    rows: int

    def overlaps(self, other: "Span") -> bool:
        """Whether both cover more of the same series than one common boundary.

        Archive days share one: each ends with the snapshot that the next begins with.
        """
        if not self.covers_same_series(other):
            return False
        if (self.first_ts, self.last_ts) == (other.first_ts, other.last_ts):
            return True
        return self.first_ts < other.last_ts and other.first_ts < self.last_ts

    def covers(self, other: "Span") -> bool:
        """Whether the other lies wholly within this one."""
        return self.covers_same_series(other) and self.first_ts <= other.first_ts and other.last_ts <= self.last_ts

    def covers_same_series(self, other: "Span") -> bool:
        """Whether both are of one instrument, kind and interval."""
        mine = (self.instrument, self.kind, self.interval_ns)
        return mine == (other.instrument, other.kind, other.interval_ns)


class PartSummary(msgspec.Struct, frozen=True):
    """A finished part as its recording remembers it; `path` is relative to the store."""

    path: str
    rows: int
    bytes: int
    digest: str
    footer: int
    """CRC-32 of the Parquet footer, see `footer_checksum`."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One import or capture session."""

    id: str
    source: Source
    is_complete: bool
    """False while a capture is running, or when it was killed; its finished parts are good either way."""
    replaces: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    parts: tuple[PartSummary, ...] = ()


class Part(msgspec.Struct, frozen=True, order=True):
    """A part as its path tells it; sorts in order of time within a stream."""

    recording: str
    instrument: InstrumentId
    kind: StoredKind
    number: int
    day: str
    path: Path
    footer: int = NOT_KNOWN
    """Checksum that the footer must have; NOT_KNOWN for parts of a capture that is running or was killed."""


def digest_of(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """BLAKE2b of a file's bytes; `progress` is told the bytes of each block. Raises DataError naming the file."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                progress(len(block))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def footer_checksum(path: Path) -> int:
    """CRC-32 of a Parquet file's footer; raises OSError, and ValueError where there is none.

    Pages carry checksums of their own, the footer does not, and a damaged one can abort the process that reads it.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _FOOTER_END.size:
            raise ValueError(f"{size} bytes are no Parquet file")
        file.seek(size - _FOOTER_END.size)
        length = _FOOTER_END.unpack(file.read(_FOOTER_END.size))[0] + _FOOTER_END.size
        if length > size:
            raise ValueError("the end of the file is not that of a Parquet file")
        file.seek(size - length)
        return zlib.crc32(file.read())


def instrument_folder(root: Path, instrument: InstrumentId) -> Path:
    """Folder of an instrument; characters that file systems dislike are percent-encoded."""
    return root.joinpath(*(quote(piece, safe="") for piece in split_instrument_id(instrument)))


def part_name(kind: StoredKind, number: int, recording: str) -> str:
    """File name of a part."""
    return f"{kind.value}-{number:06d}-{recording}{SUFFIX}"


def part_of(root: Path, path: Path) -> Part:
    """What a path says; raises DataError where it is not one of the store's."""
    pieces = path.relative_to(root).parts
    words = path.name.removesuffix(SUFFIX).split("-", 2)
    if len(pieces) != 5 or len(words) != 3 or words[0] not in set(StoredKind) or not words[1].isdigit():
        raise DataError(f"{path}: not a name of a market-data part (venue/category/symbol/day/kind-number-recording)")
    venue, category, symbol = (unquote(piece) for piece in pieces[:3])
    if not _DAY.fullmatch(pieces[3]):
        raise DataError(f"{path}: {pieces[3]!r} is no day such as 2024-07-18")
    instrument = instrument_id(venue, category, symbol)
    return Part(words[2], instrument, StoredKind(words[0]), int(words[1]), pieces[3], path)


def recordings(root: Path) -> dict[str, Recording]:
    """All published recordings that are not replaced, by id, oldest first; raises DataError for a damaged record."""
    found: dict[str, Recording] = {}
    for path in sorted((root / RECORDINGS).glob("*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Recording)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
            raise DataError(f"{path}: damaged record of a recording: {error}") from error
        found[record.id] = record
    replaced = {old for record in found.values() for old in record.replaces}
    return {key: record for key, record in found.items() if key not in replaced}


def all_parts(root: Path) -> list[Part]:
    """Every finished part in the store, visible or not."""
    return sorted(part_of(root, path) for path in root.glob(f"*/*/*/*/*{SUFFIX}") if not path.name.startswith("."))


def visible_parts(root: Path) -> list[Part]:
    """Parts that readers may see, in order of recording, instrument, kind and time.

    One that a recording remembers and that is gone from the disk is among them: whoever wants to read it is told.
    """
    published = recordings(root)
    remembered = {root / part.path: part.footer for record in published.values() for part in record.parts}
    found = {part.path: part for part in all_parts(root) if part.recording in published}
    lost = {path: part_of(root, path) for path in remembered if path not in found}
    return [
        msgspec.structs.replace(part, footer=remembered.get(part.path, NOT_KNOWN))
        for part in sorted([*found.values(), *lost.values()])
    ]


def leftovers(root: Path) -> list[Path]:
    """Files of killed writers and replaced recordings: nobody reads them."""
    published = recordings(root)
    unfinished = [*root.glob(f"*/*/*/*/.*{TEMPORARY}"), *(root / RECORDINGS).glob(f".*{TEMPORARY}")]
    return sorted([*unfinished, *(part.path for part in all_parts(root) if part.recording not in published)])


def record_path(root: Path, recording: str) -> Path:
    """Where the record of a recording lies."""
    return root / RECORDINGS / f"{recording}.json"


def publish(root: Path, recording: Recording, fsync: Callable[[int], None] = os.fsync) -> None:
    """Write a record atomically: from this moment on its parts are visible and the replaced ones are not."""
    path = record_path(root, recording.id)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(recording), indent=1))
            file.flush()
            fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent, fsync)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error


def sync_folder(folder: Path, fsync: Callable[[int], None] = os.fsync) -> None:
    """Make renames in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fsync(handle)
    finally:
        os.close(handle)


def remove(root: Path, paths: Iterable[Path]) -> None:
    """Delete files and the folders that they leave empty; a file that is gone already is no error."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot delete: {error.strerror or error}") from error
        for folder in path.parents:
            if folder == root or not folder.is_relative_to(root) or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
