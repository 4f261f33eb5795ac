"""All accounts of the exchange as bytes, and these in a file."""

from pathlib import Path

import msgspec

from stakan.apps.exchange.accounts import Accounts
from stakan.core.domain.errors import DataError

VERSION = 1


class State(msgspec.Struct, frozen=True):
    """What outlives the program: the market does not."""

    version: int
    accounts: dict[int, bytes]
    """`Account.snapshot` by uid."""


_decoder = msgspec.msgpack.Decoder(State)


def encode(accounts: Accounts) -> bytes:
    """All accounts as they are."""
    return msgspec.msgpack.encode(State(VERSION, {account.uid: account.snapshot() for account in accounts}))


def restore(accounts: Accounts, data: bytes) -> None:
    """Give accounts what `encode` kept; those that it does not know stay new.

    Raises DataError for other bytes, and where an account that was kept is not there any more.
    """
    try:
        kept = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise DataError(f"this is no state of an exchange: {error}") from error
    if kept.version != VERSION:
        raise DataError(f"the state has version {kept.version}, this exchange reads {VERSION}")
    known = {account.uid: account for account in accounts}
    lost = sorted(kept.accounts.keys() - known.keys())
    if lost:
        raise DataError(f"the state has accounts that are not configured: {', '.join(map(str, lost))}")
    for uid, snapshot in kept.accounts.items():
        known[uid].restore(snapshot)


def write(file: Path, data: bytes) -> None:
    """Replace the file in one step, so that a program that is killed leaves the one or the other."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(data)
    partial.replace(file)
