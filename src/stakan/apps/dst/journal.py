"""A small journal on the simulated disk, and what is known of any journal: which orders are written down for good."""

from pathlib import Path
from typing import Protocol

import msgspec

from stakan.apps.dst.disk import SimulatedDisk
from stakan.apps.live.loop import RunJournal
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, encode_array
from stakan.core.domain.step import Step

_encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode


class PlainJournal:
    """Every event and step as msgpack behind its length, in one file."""

    def __init__(self, disk: SimulatedDisk, folder: Path) -> None:
        disk.make_folder(folder)
        self.path = folder / "run.journal"
        self._file = disk.append(self.path)
        self._buffer = bytearray()

    def event(self, number: int, event: AnyEvent) -> None:
        """See `RunJournal`."""
        self._put(_encode((number, event)))

    def append(self, step: Step) -> None:
        """See `RunJournal`."""
        if step.facts or step.commands:
            self._put(_encode(step))

    def snapshot(self, number: int, state: bytes) -> None:
        """See `RunJournal`."""
        self._put(_encode((number, state)))

    def sync(self) -> None:
        """See `RunJournal`."""
        self.flush()
        self._file.datasync()

    def flush(self) -> None:
        """See `RunJournal`."""
        data, self._buffer = bytes(self._buffer), bytearray()
        self._file.write(data)

    def close(self) -> None:
        """See `RunJournal`."""
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """See `RunJournal`."""
        self._file.close()

    def _put(self, data: bytes) -> None:
        self._buffer += len(data).to_bytes(4, "little")
        self._buffer += data


class Durable(Protocol):
    """Is told which orders are written down for good."""

    def appended(self, step: Step) -> None:
        """A step with orders was handed to the journal."""
        ...

    def synced(self) -> None:
        """All that was handed to it is on the disk."""
        ...


class WatchedJournal:
    """Any journal, and a listener that is told what is in it and what of it is durable."""

    def __init__(self, inner: RunJournal, listener: Durable) -> None:
        self.inner = inner
        self.event = inner.event
        self.snapshot = inner.snapshot
        self.flush = inner.flush
        self.close = inner.close
        self.abandon = inner.abandon
        self._listener = listener

    def append(self, step: Step) -> None:
        """See `RunJournal`."""
        self.inner.append(step)
        if any(isinstance(command, SubmitOrder) for command in step.commands):
            self._listener.appended(step)

    def sync(self) -> None:
        """See `RunJournal`."""
        self.inner.sync()
        self._listener.synced()
