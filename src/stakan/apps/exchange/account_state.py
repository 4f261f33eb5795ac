"""Everything that an account is and remembers, as bytes."""

from collections import deque
from decimal import Decimal

import msgspec

from stakan.apps.exchange.history import Kept
from stakan.apps.exchange.holdings import Closing, Holding
from stakan.apps.exchange.orders import Order
from stakan.apps.exchange.rows import ExecutionRow, TransactionRow
from stakan.apps.exchange.trading import Trading
from stakan.core.domain.errors import DataError

VERSION = 1


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """One account between two requests."""

    version: int = VERSION
    uid: int
    core: bytes | None
    """Of the matching core; None where the account never traded."""
    ordinals: int
    sequence: int
    balance: Decimal
    moves_price: bool
    live: list[Order]
    closed: list[Order]
    used_links: list[str]
    holdings: list[Holding]
    executions: list[Kept[ExecutionRow]]
    transactions: list[Kept[TransactionRow]]
    closings: list[Closing]
    counts: tuple[int, int, int]
    """Executions, transactions and closed results that there ever were."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AccountState)


def encode(trading: Trading) -> bytes:
    """The account as it is; what was not drained yet is not kept."""
    orders = trading.orders
    state = AccountState(
        uid=trading.uid,
        core=trading.venue.snapshot(),
        ordinals=trading.ordinals,
        sequence=trading.sequence,
        balance=trading.balance,
        moves_price=trading.moves_price,
        live=list(orders.live.values()),
        closed=list(orders.closed),
        used_links=sorted(orders.used_links),
        holdings=list(trading.holdings.values()),
        executions=list(trading.executions.rows),
        transactions=list(trading.transactions.rows),
        closings=list(trading.closings.values()),
        counts=(trading.executions.count, trading.transactions.count, trading.closing_count),
    )
    return _ENCODER.encode(state)


def restore(trading: Trading, data: bytes) -> None:
    """Put what `encode` wrote into an account that has not lived yet; raises DataError for anything else."""
    try:
        state = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise DataError(f"this is no state of an account: {error}") from error
    if (state.version, state.uid) != (VERSION, trading.uid):
        raise DataError(f"state {state.version} of account {state.uid}, this is {VERSION} of account {trading.uid}")
    unknown = {order.symbol for order in (*state.live, *state.closed)} - set(trading.market.instruments)
    if unknown:
        raise DataError(f"account {state.uid} has orders in {', '.join(sorted(unknown))}, which is not listed")
    if state.core is not None:
        trading.venue.restore(state.core)
    trading.ordinals, trading.sequence = state.ordinals, state.sequence
    trading.balance, trading.moves_price = state.balance, state.moves_price
    for order in sorted((*state.live, *state.closed), key=lambda order: order.ordinal):
        trading.orders.add(order)
    for order in state.closed:
        trading.orders.retire(order)
    trading.orders.used_links = set(state.used_links)
    trading.holdings = {holding.symbol: holding for holding in state.holdings}
    trading.executions.rows = deque(state.executions, trading.executions.rows.maxlen)
    trading.transactions.rows = deque(state.transactions, trading.transactions.rows.maxlen)
    trading.closings = {closing.order_id: closing for closing in state.closings}
    trading.executions.count, trading.transactions.count, trading.closing_count = state.counts
