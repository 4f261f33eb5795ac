"""What a bot begins with: its instruments, the account, and whether both are fit to be traded."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
import msgspec

from stakan.adapters.exchanges.bybit import inquiry
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.exchanges.bybit.messages import amount
from stakan.adapters.exchanges.bybit.preflight import Check, Verdict, Wanted, is_fit, preflight, reachable
from stakan.apps.live.past import Past
from stakan.apps.settings import Settings
from stakan.apps.universe import Universe
from stakan.core.domain.errors import StakanError, VenueUnavailable
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument

LOCAL = "local"
SETTLE = "USDT"

Say = Callable[[str], None]
"""Tells a person."""


class NotFit(StakanError):
    """Pre-flight speaks against trading."""


class Origin(msgspec.Struct, frozen=True):
    """Where a market comes from, for people, and whether it is generated."""

    market: str
    is_synthetic: bool = False


async def origin_of(venue: Environment) -> Origin:
    """Bybit's own, or what a local exchange says of itself; raises VenueUnavailable where it does not say."""
    if venue.name != LOCAL:
        return Origin(f"Bybit {venue.name}")
    url = f"{venue.rest}/local/v1/status"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            about = msgspec.json.decode(await reply.read(), type=Origin)
    except (aiohttp.ClientError, msgspec.MsgspecError, OSError) as error:
        raise VenueUnavailable(f"{url} does not say what its market is: {error}") from error
    return msgspec.structs.replace(about, market=f"local exchange: {about.market}")


class Chosen(msgspec.Struct, frozen=True):
    """What is traded; see `BotPlan` for `gone` and `changed`."""

    instruments: dict[InstrumentId, Instrument]
    gone: frozenset[InstrumentId] = frozenset()
    changed: tuple[Instrument, ...] = ()


async def instruments_of(market: MarketClient, settings: Settings, past: Past | None = None) -> Chosen:
    """Named instruments, or the best of a ranking, with their rules; and those in which the last run holds something.

    Raises ConfigError, VenueError, and DataError where a ranking leaves nothing.
    """
    universe = Universe(settings, market, lambda rules: rules.is_linear and rules.settle == SETTLE)
    await universe.load()
    wanted = await universe.choose()
    known = past.engine.state.portfolio if past is not None else None
    before = known.instruments if known is not None else {}
    held = {key: known.instruments[key] for key in known.busy_instruments()} if known is not None else {}
    asked = dict.fromkeys([*wanted, *(key for key in held if key in universe.listed)])
    found = {one.id: one for one in await universe.rules(tuple(asked), before)}
    # Orders and positions are in units of the old rules until they are over.
    changed = {key: old for key, old in held.items() if key in found and _grid(old) != _grid(found[key])}
    return Chosen(
        {**found, **changed, **{key: old for key, old in held.items() if key not in found}},
        frozenset(key for key in held if key not in found),
        tuple(found[key] for key in changed),
    )


def _grid(rules: Instrument) -> tuple[Decimal, Decimal]:
    return rules.tick_size, rules.lot_size


async def account_of(market: MarketClient, past: Past | None) -> str:
    """Environment and number of the account; raises NotFit where the last run of the state folder had another one."""
    whose = f"{market.environment.name}:{await market.carry_out(inquiry.account_id())}"
    if past is not None and past.venue_account not in ("", whose):
        raise NotFit(
            f"the last run of this state folder traded on account {past.venue_account}, these keys belong to {whose}: "
            "give each account a state folder of its own (trade.state)"
        )
    return whose


async def fit(
    market: MarketClient,
    settings: Settings,
    instruments: dict[InstrumentId, Instrument],
    say: Say,
    *,
    is_taken_over: bool = False,
    lead_ns: int = 0,
) -> Settings:
    """Pre-flight, the machine's clock included; the settings with the wallet's balance.

    Raises NotFit where a check failed, or where the account holds what this run does not know and nobody said that it
    is to take it over.
    """
    symbols = [split_instrument_id(key)[2] for key in instruments]
    wanted = Wanted(symbols=symbols, leverage=settings.account.leverage, asks_of_flat=False)
    checks = await market.carry_out(reachable(market.server_clock, market.clock, lead_ns))
    checks += await market.carry_out(preflight(wanted, lambda: datetime.now(UTC)))
    for check in checks:
        if check.verdict is not Verdict.OK:
            say(f"{check.verdict}: {check.name}: {check.finding}. {check.mend}".rstrip(". "))
    if not is_fit(checks):
        raise NotFit(f"pre-flight failed: {_failed(checks)}; `stakan doctor` shows all of it")
    held = await _held(market, [] if not is_taken_over else symbols)
    if held and not is_taken_over:
        raise NotFit(
            f"the account holds what this state folder knows nothing of: {', '.join(held)}. Close and cancel it at the "
            f"exchange, or start with --take-over: then positions are handled by recovery.orphans "
            f"({settings.recovery.orphans}) and orders that could open are cancelled"
        )
    if held:
        say(f"not of this bot, and left alone: {', '.join(held)}")
    balance = await _balance(market)
    return settings.model_copy(update={"account": settings.account.model_copy(update={"starting_balance": balance})})


async def _held(market: MarketClient, except_in: list[str]) -> list[str]:
    """Positions and open orders in instruments other than those, for people."""
    positions = [row for row in await market.carry_out(inquiry.positions()) if amount(row.size)]
    orders = await market.carry_out(inquiry.open_orders())
    return [
        *(f"{row.symbol} {row.side} {row.size}" for row in positions if row.symbol not in except_in),
        *(f"order {row.order_id} in {row.symbol}" for row in orders if row.symbol not in except_in),
    ]


async def _balance(market: MarketClient) -> Decimal:
    rows = await market.carry_out(inquiry.wallet())
    found = sum((amount(coin.wallet_balance) for row in rows for coin in row.coin if coin.coin == SETTLE), Decimal(0))
    if found <= 0:
        raise NotFit(f"the account has no {SETTLE}")
    return found


def _failed(checks: Sequence[Check]) -> str:
    return "; ".join(f"{check.name}: {check.finding}" for check in checks if check.verdict is Verdict.FAIL)
