"""Recorded files as streams: lines and tables, decompressed on the way, in bounded memory."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from csv import reader
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa
from pyarrow import csv

from stakan.core.domain.errors import DataError

_BLOCK = 1 << 20
_MAX_LINE = 64 << 20
_ZIP = b"PK\x03\x04"
_MAGIC: tuple[tuple[bytes, Literal["gzip", "zstd"]], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a plain, gzip, zstd or (one file in it) zip file, by its first bytes.

    Raises DataError naming the file where it cannot be read, or is cut off.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZIP))
        if magic == _ZIP:
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
                yield member
        else:
            kind = next((kind for start, kind in _MAGIC if magic.startswith(start)), None)
            with path.open("rb") as raw:
                yield raw if kind is None else cast("IO[bytes]", pa.CompressedInputStream(raw, kind))
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read to its end, fetch it again: {error}") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end) of every line that is not empty."""
    number = 0
    rest = b""
    with opened(path) as stream:
        while block := stream.read(_BLOCK):
            parts = (rest + block).split(b"\n")
            rest = parts.pop()
            if len(rest) > _MAX_LINE:
                raise DataError(f"{path}, line {number + len(parts) + 1}: longer than {_MAX_LINE} bytes: no text file")
            for line in parts:
                number += 1
                if line.strip():
                    yield number, line
    if rest.strip():
        yield number + 1, rest


def first_line(path: Path) -> bytes:
    """The first line that is not empty, or nothing where the file is."""
    for _, line in lines(path):
        return line
    return b""


def header_names(line: bytes) -> list[str]:
    """Column names of a CSV's first line: unquoted, without the byte-order mark that some spreadsheets write."""
    text = line.decode("utf-8-sig", errors="replace").strip()
    return next(reader([text]), [])


def csv_tables(path: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Blocks of a CSV with a header, every column as text; with the line number of each block's first row."""
    header = header_names(first_line(path))
    row = 2
    with opened(path) as stream:
        try:
            table = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in table:
                yield row, batch
                row += batch.num_rows
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}, at or after line {row}: {error}") from error


def wanted(path: Path, batch: pa.RecordBatch, names: tuple[str, ...]) -> list[list[str]]:
    """The named columns of a block as lists; raises DataError naming the columns that are missing."""
    missing = [name for name in names if name not in batch.schema.names]
    if missing:
        raise DataError(f"{path}: column {', '.join(missing)} is missing; the file has {', '.join(batch.schema.names)}")
    return [cast("list[str]", batch.column(name).to_pylist()) for name in names]


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if len(names) != 1:
        raise DataError(f"{path}: should hold exactly one file, holds {len(names)}")
    return names[0]
