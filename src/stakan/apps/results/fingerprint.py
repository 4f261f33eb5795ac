"""One hash over everything that a run did: equal fingerprints mean equal steps, to the byte."""

import hashlib
import struct

import msgspec

from stakan.core.domain.events import encode_array
from stakan.core.domain.step import Step

_QUIET = struct.Struct("<Bqq")
"""A step without facts and commands: a zero byte, number, time."""
_FULL = struct.Struct("<BI")
"""Any other: a one byte, the length of its msgpack, which follows."""
_BLOCK = 1 << 16
_DIGEST_BYTES = 16


class Fingerprint:
    """BLAKE2b over number, time, facts and commands of every step, in order.

    Most steps say nothing, so they are packed by hand into a buffer that is hashed in blocks. Keys of dictionaries are
    sorted, so that the order in which features were named does not count.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._buffer = bytearray()
        self._encode = msgspec.msgpack.Encoder(enc_hook=encode_array, order="deterministic").encode

    def update(self, step: Step) -> None:
        """Take the next step in."""
        buffer = self._buffer
        if step.facts or step.commands:
            payload = self._encode(step)
            buffer += _FULL.pack(1, len(payload))
            buffer += payload
        else:
            buffer += _QUIET.pack(0, step.number, step.ts)
        if len(buffer) > _BLOCK:
            self._hash.update(buffer)
            buffer.clear()

    def hexdigest(self) -> str:
        """32 hexadecimal digits of all steps so far; more steps may follow."""
        so_far = self._hash.copy()
        so_far.update(self._buffer)
        return so_far.hexdigest()
