"""Whether an account is fit for trading: key, kind of account, modes, clock, what is open, as one list of checks."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.messages import (
    ApiKey,
    InstrumentRow,
    OrderRow,
    PositionRow,
    WalletRow,
    amount,
    read,
)
from stakan.adapters.exchanges.bybit.rest import Procedure, ServerClock, get, measure_clock, pages, patiently
from stakan.core.domain.errors import DataError, VenueError
from stakan.core.domain.units import MILLISECOND, SECOND

_NEEDED = ("Order", "Position")
_UNIFIED = (5, 6)
_SKEW_WARNING = SECOND // 4
_SKEW_LIMIT = SECOND
_EXPIRES_SOON = timedelta(days=7)


class Verdict(StrEnum):
    """How a check went; trading needs all to be ok or warn."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True):
    """One line of the report."""

    name: str
    verdict: Verdict
    finding: str
    mend: str = ""
    """What to do about it; empty where nothing is to be done."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the account is to be used for."""

    symbols: Sequence[str]
    leverage: Decimal
    settle: str = "USDT"
    asks_of_flat: bool = True
    """Whether to look at each symbol without a position too, one question each: its mode and leverage."""


def reachable(server_clock: ServerClock, clock: Callable[[], int], lead_ns: int = 0) -> Procedure[list[Check]]:
    """Connection and clock, which need no key; `lead_ns` is how far `clock` is ahead of this machine's own."""
    try:
        yield from measure_clock(server_clock, clock)
    except (VenueError, DataError) as error:
        return [Check("exchange", Verdict.FAIL, str(error), "check network, address and venue.environment")]
    found = [Check("exchange", Verdict.OK, "answers")]
    skew, error_ns = server_clock.offset + lead_ns, server_clock.error or 0
    text = f"{-skew / MILLISECOND:+.1f} ms against the exchange (± {error_ns / MILLISECOND:.1f} ms)"
    mend = "synchronise this machine's clock (NTP)"
    if abs(skew) - error_ns > _SKEW_LIMIT:
        return [*found, Check("clock", Verdict.FAIL, text, mend)]
    if abs(skew) - error_ns > _SKEW_WARNING:
        return [*found, Check("clock", Verdict.WARN, text, mend)]
    return [*found, Check("clock", Verdict.OK, text)]


def preflight(wanted: Wanted, now: Callable[[], datetime]) -> Procedure[list[Check]]:
    """All checks of the account itself; a question that is not answered is a failed check."""
    checks: list[Check] = []
    checks += yield from _checked("API key", _key(now))
    checks += yield from _checked("account", _account())
    checks += yield from _checked("positions", _positions(wanted))
    checks += yield from _checked("orders", _orders())
    checks += yield from _checked("wallet", _wallet(wanted))
    checks += yield from _checked("symbols", _symbols(wanted))
    return checks


def is_fit(checks: Sequence[Check]) -> bool:
    """Whether none failed."""
    return all(check.verdict is not Verdict.FAIL for check in checks)


def judge_key(key: ApiKey, now: datetime) -> list[Check]:
    """Rights, address binding and life of an API key."""
    return [_rights(key), _binding(key), _life(key, now)]


def judge_positions(rows: Sequence[PositionRow], wanted: Wanted) -> list[Check]:
    """Modes, leverage and what is open."""
    open_rows = [row for row in rows if amount(row.size)]
    hedged = sorted({row.symbol for row in rows if row.position_idx})
    if hedged:
        mode = Check("position mode", Verdict.FAIL, f"hedge mode: {', '.join(hedged)}", "switch them to one-way mode")
    else:
        mode = Check("position mode", Verdict.OK, "one-way")
    other = sorted(
        row.symbol
        for row in rows
        if row.symbol in wanted.symbols and row.leverage and amount(row.leverage) != wanted.leverage
    )
    leverage = Check("leverage", Verdict.OK, f"{wanted.leverage}")
    if other:
        mend = "it is set before the first order of a symbol"
        leverage = Check("leverage", Verdict.WARN, f"not {wanted.leverage}: {', '.join(other)}", mend)
    unprotected = sorted(row.symbol for row in open_rows if not amount(row.stop_loss))
    if not open_rows:
        held = Check("open positions", Verdict.OK, "none")
    else:
        text = ", ".join(f"{row.symbol} {row.side} {row.size}" for row in open_rows)
        mend = "they are adopted or closed as positions that nobody asked for"
        if unprotected:
            text += f"; without a stop: {', '.join(unprotected)}"
        held = Check("open positions", Verdict.WARN, text, mend)
    return [mode, leverage, held]


def _checked(name: str, procedure: Procedure[list[Check]]) -> Procedure[list[Check]]:
    try:
        return (yield from procedure)
    except (VenueError, DataError) as error:
        return [Check(name, Verdict.FAIL, str(error), "see the finding")]


def _key(now: Callable[[], datetime]) -> Procedure[list[Check]]:
    reply = yield from patiently(get(Kind.QUERY, Group.KEY, "/v5/user/query-api"))
    return judge_key(read(ApiKey, reply.result, "user/query-api"), now())


def _rights(key: ApiKey) -> Check:
    granted = [right for rights in key.permissions.values() for right in rights]
    if any("withdraw" in right.lower() for right in granted):
        mend = "make a key without it: a bot never withdraws"
        return Check("key rights", Verdict.FAIL, "the key may withdraw", mend)
    if key.read_only:
        return Check("key rights", Verdict.FAIL, "the key may only read", "make a key that may trade contracts")
    missing = [right for right in _NEEDED if right not in key.permissions.get("ContractTrade", ())]
    if missing:
        return Check(
            "key rights", Verdict.FAIL, f"ContractTrade lacks {', '.join(missing)}", "give the key these rights"
        )
    return Check("key rights", Verdict.OK, "trades contracts, cannot withdraw")


def _binding(key: ApiKey) -> Check:
    if not key.ips or "*" in key.ips:
        return Check("key address", Verdict.WARN, "valid from any address", "bind the key to this machine's address")
    return Check("key address", Verdict.OK, f"bound to {len(key.ips)} address(es)")


def _life(key: ApiKey, now: datetime) -> Check:
    if not key.expired_at:
        return Check("key life", Verdict.OK, "does not expire")
    try:
        end = datetime.fromisoformat(key.expired_at)
    except ValueError:
        return Check("key life", Verdict.WARN, f"ends {key.expired_at!r}, which is no time", "look at the exchange")
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end.timestamp() == 0:
        # What Bybit shows for a key without an end.
        return Check("key life", Verdict.OK, "does not expire")
    text = f"until {end:%Y-%m-%d %H:%M} UTC"
    if end <= now:
        return Check("key life", Verdict.FAIL, f"expired: {text}", "make a new key")
    if end - now < _EXPIRES_SOON:
        return Check("key life", Verdict.WARN, text, "make a new key, or bind it to an address")
    return Check("key life", Verdict.OK, text)


def _account() -> Procedure[list[Check]]:
    info = yield from inquiry.account_info()
    kind = Check("account", Verdict.OK, "unified (2.0)")
    if info.unified_margin_status not in _UNIFIED:
        finding = f"unifiedMarginStatus {info.unified_margin_status}"
        kind = Check("account", Verdict.FAIL, finding, "upgrade to the unified account 2.0")
    margin = Check("margin mode", Verdict.OK, "isolated")
    if info.margin_mode != inquiry.ISOLATED:
        mend = "it is set to isolated before the first order; close positions that prevent it"
        margin = Check("margin mode", Verdict.WARN, info.margin_mode or "not told", mend)
    return [kind, margin]


def _positions(wanted: Wanted) -> Procedure[list[Check]]:
    rows = yield from inquiry.positions(wanted.symbols if wanted.asks_of_flat else ())
    return judge_positions(rows, wanted)


def _orders() -> Procedure[list[Check]]:
    rows: list[OrderRow] = yield from inquiry.open_orders()
    if not rows:
        return [Check("open orders", Verdict.OK, "none")]
    symbols = ", ".join(sorted({row.symbol for row in rows}))
    return [Check("open orders", Verdict.WARN, f"{len(rows)} in {symbols}", "cancel those that are not the bot's")]


def _wallet(wanted: Wanted) -> Procedure[list[Check]]:
    rows: list[WalletRow] = yield from inquiry.wallet()
    balance = sum(
        (amount(coin.wallet_balance) for row in rows for coin in row.coin if coin.coin == wanted.settle), Decimal(0)
    )
    if balance > 0:
        return [Check("wallet", Verdict.OK, f"{balance} {wanted.settle}")]
    return [Check("wallet", Verdict.FAIL, f"no {wanted.settle}", f"transfer {wanted.settle} to the unified account")]


def _symbols(wanted: Wanted) -> Procedure[list[Check]]:
    status = yield from _statuses(limit="1000")
    for symbol in wanted.symbols:
        if symbol not in status:
            # The list leaves out what does not trade; asked by name, the exchange says why.
            status |= yield from _statuses(symbol=symbol)
    return [_trades(symbol, status.get(symbol, "not listed")) for symbol in wanted.symbols]


def _statuses(**which: str) -> Procedure[dict[str, str]]:
    path = "/v5/market/instruments-info"
    rows = yield from pages(
        get(Kind.QUERY, Group.MARKET, path, is_signed=False, category="linear", **which), InstrumentRow
    )
    return {row.symbol: row.status for row in rows}


def _trades(symbol: str, status: str) -> Check:
    if status == "Trading":
        return Check(f"symbol {symbol}", Verdict.OK, "trading")
    return Check(f"symbol {symbol}", Verdict.FAIL, status, "take it out of `instruments`")
