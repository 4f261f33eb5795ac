"""Rehearsal of a disaster: a bot trades through chaos, then its books are compared with the exchange's, to the cent."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit.auth import request_headers
from stakan.adapters.journal.reading import has_begun, read_steps
from stakan.apps.demo import API_KEY, API_SECRET, Demo, DemoPlan, running
from stakan.apps.live.past import recall
from stakan.apps.live.state_folder import RUNS, StateFolder
from stakan.apps.processes import START_S
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.sections import AccountSection
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.orders import NewOrder, Purpose
from stakan.core.domain.units import SECOND
from stakan.core.engine import Engine
from stakan.core.portfolio.portfolio import Portfolio

UNPROTECTED_S = 3.0
"""How long a position may be without a stop while the exchange answers (decision 9) ..."""
AFTER_OUTAGE_S = 5.0
"""... and after it answers again."""
MARGIN_S = 1.0
"""What closing an unprotected position may take on top: the order's way there and back."""
CALM_S = 20.0
"""Fair weather before the comparison: time to look up what was lost."""
SETTLE_S = 2.0
"""With the market standing still: what is on its way arrives."""
PATIENCE_S = 120.0
"""How much longer bad weather lasts where the bot has not sent an order yet."""
AT_START = 0.25
"""Share of kills that come while a bot starts; the others come when it trades."""
STARTS_S = (0.5, 8.0)
LIVES_S = (0.0, 8.0)
"""How long a bot that is going to be killed lives from its start, or from when it trades."""
_STARTS = 10
"""How often a bot is started again where bad weather keeps it from coming up."""
_PAGE = 50
_POLL_S = 0.02


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal found."""

    chaos: str
    minutes: float
    faults: dict[str, int]
    requests: int
    orders: int
    """At the exchange, those of stops and targets not counted."""
    executions: int
    intents: int
    kills: int
    runs: int
    """Runs that came into being."""
    exit_code: int
    """Of the bot."""
    doubled: tuple[str, ...]
    """Client order ids, or intents, that became more than one order or entry."""
    unknown: tuple[str, ...]
    """Orders at the exchange that the bot never sent."""
    exposed_s: tuple[float, ...]
    """Stretches in which a position had no stop, blackouts taken out."""
    longest_exposure_s: float
    over_bound: int
    """Those that were longer than the bound."""
    differences: tuple[str, ...]
    """Between the bot's books and the exchange's, afterwards."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found that must not be, in a run that had orders: one without shows nothing."""
        found = self.exit_code or self.doubled or self.unknown or self.over_bound or self.differences
        return self.orders > 0 and not found


def rehearse(
    plan: DemoPlan,
    minutes: float,
    say: Callable[[str], None] = lambda _: None,
    calm_s: float = CALM_S,
    kills: int = 0,
) -> Verdict:
    """Run the bot through `plan.chaos` for so many minutes and judge; longer where it has not sent an order by then.

    With `kills` it is killed so often at random moments, and started again on what it left. Raises ChildFailed where a
    program dies by itself.
    """
    with running(plan, say) as demo:
        say(f"{plan.chaos or 'fair weather'} for {minutes:g} minutes")
        exchange = Asker(demo.exchange_url, API_KEY, API_SECRET)
        demo.watch(time.monotonic() + minutes * 60)
        _kill(demo, kills, say)
        _watch_for_an_order(demo, exchange)
        say("fair weather again, then the bot stops")
        exchange.control("weather", {"profile": None})
        demo.watch(time.monotonic() + calm_s)
        # A stop that is reached after the bot has ended is no difference: nothing moves while books are compared.
        exchange.control("hold", {"market": True})
        demo.watch(time.monotonic() + SETTLE_S)
        code = demo.bot.stop()
        return _judge(demo, exchange, code, minutes, kills)


def _kill(demo: Demo, kills: int, say: Callable[[str], None]) -> None:
    """Kill the bot at moments that the plan's seed chooses: while it starts, recovers, trades."""
    chance = np.random.default_rng(demo.plan.seed)
    for number in range(1, kills + 1):
        is_at_start = chance.random() < AT_START
        if not is_at_start:
            _come_up(demo)
        lives_until = time.monotonic() + float(chance.uniform(*(STARTS_S if is_at_start else LIVES_S)))
        while time.monotonic() < lives_until and demo.bot.code is None:
            time.sleep(_POLL_S)
        demo.bot.kill()
        say(f"killed {number} of {kills}")
        demo.restart_bot()
    _come_up(demo)


def _come_up(demo: Demo) -> None:
    """Until a bot trades; one that bad weather keeps from it is started again."""
    for _ in range(_STARTS):
        deadline = time.monotonic() + START_S
        while demo.bot.code is None and not demo.is_trading and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if demo.is_trading:
            return
        demo.bot.kill()
        demo.restart_bot()


def _watch_for_an_order(demo: Demo, exchange: "Asker") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not exchange.control("status")["rows_pushed"].get("order") and time.monotonic() < deadline:
        demo.watch(time.monotonic() + 1.0)


def _judge(demo: Demo, exchange: "Asker", code: int, minutes: float, kills: int) -> Verdict:
    journals = journals_of(demo.state)
    engine, sent = _books(demo.state), _sent(journals)
    status = exchange.control("status")
    orders = [row for row in exchange.history() if row["orderLinkId"]]
    exposed = exposures(exchange.control("audit"), status["blackouts"])
    return Verdict(
        chaos=demo.plan.chaos or "none",
        minutes=minutes,
        faults=status["faults"],
        requests=status["requests"],
        orders=len(orders),
        executions=len(exchange.all("execution/list", category="linear", limit="100")),
        intents=len({order.intent for order in sent.values() if order.purpose is Purpose.ENTRY}),
        kills=kills,
        runs=len(journals),
        exit_code=code,
        doubled=doubled(orders, sent),
        unknown=tuple(row["orderLinkId"] for row in orders if row["orderLinkId"] not in sent),
        exposed_s=tuple(round(length, 3) for length, _ in exposed),
        longest_exposure_s=round(max((length for length, _ in exposed), default=0.0), 3),
        over_bound=sum(length > bound + MARGIN_S for length, bound in exposed),
        differences=tuple(differences(engine.state.portfolio, exchange)),
    )


# --- the bot's side -------------------------------------------------------------------------------------------------


def _books(folder: Path) -> Engine:
    """The engine as its journals say that it was at the end."""
    with StateFolder(folder) as state:
        past = recall(state.runs(), "testnet", AccountSection().name)
    if past is None:
        raise DataError(f"{folder} holds no run")
    return past.engine


def journals_of(state: Path) -> list[Path]:
    """Of a state folder, oldest first; a bot that was killed while it began leaves none."""
    return [folder for folder in sorted((state / RUNS).glob(f"*/{JOURNAL_FOLDER}")) if has_begun(folder)]


def _sent(journals: list[Path]) -> dict[str, NewOrder]:
    """Every order that a bot sent, of all its runs."""
    sent: dict[str, NewOrder] = {}
    for journal in journals:
        for step in read_steps(journal, torn=True):
            for command in step.commands:
                if isinstance(command, SubmitOrder):
                    sent[command.order.client_order_id] = command.order
    return sent


# --- the exchange's side --------------------------------------------------------------------------------------------


class Asker:
    """Asks a local exchange, one request at a time."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._url = url
        self._key = key
        self._secret = secret

    def control(self, name: str, body: dict[str, Any] | None = None) -> Any:
        """One of its own requests; a POST where there is a body."""
        content = None if body is None else json.dumps(body).encode()
        return self._open(urllib.request.Request(f"{self._url}/local/v1/{name}", data=content))  # noqa: S310

    def all(self, operation: str, **query: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            result = self.get(operation, **query, **({"cursor": cursor} if cursor else {}))
            rows += result["list"]
            cursor = result.get("nextPageCursor", "")
            if not cursor or not result["list"]:
                return rows

    def history(self) -> list[dict[str, Any]]:
        """All orders, by id: those that live and those that ended."""
        asked = {"category": "linear", "limit": str(_PAGE)}
        rows = [*self.all("order/history", **asked), *self.all("order/realtime", **asked, settleCoin="USDT")]
        return list({row["orderId"]: row for row in rows}.values())

    def get(self, operation: str, **query: str) -> dict[str, Any]:
        """A signed GET's result; raises DataError where it is refused."""
        content = urlencode(query)
        now_ms = int(self._open(f"{self._url}/v5/market/time")["time"])
        headers = request_headers(self._key, self._secret, now_ms, 10_000, content.encode())
        asked = urllib.request.Request(f"{self._url}/v5/{operation}?{content}", headers=headers)  # noqa: S310
        reply = self._open(asked)
        if reply["retCode"]:
            raise DataError(f"{operation}: {reply['retCode']} {reply['retMsg']}")
        result: dict[str, Any] = reply["result"]
        return result

    @staticmethod
    def _open(asked: str | urllib.request.Request) -> Any:
        with urllib.request.urlopen(asked, timeout=10) as reply:  # noqa: S310 - the exchange that we started
            return json.load(reply)


# --- judging --------------------------------------------------------------------------------------------------------


def doubled(orders: list[dict[str, Any]], sent: dict[str, NewOrder]) -> tuple[str, ...]:
    """Ids that name two orders, and intents of which two entries got anything."""
    ids = Counter(row["orderLinkId"] for row in orders)
    filled = Counter(
        sent[row["orderLinkId"]].intent
        for row in orders
        if row["orderLinkId"] in sent
        and sent[row["orderLinkId"]].purpose is Purpose.ENTRY
        and Decimal(row["cumExecQty"]) > 0
    )
    return tuple(str(name) for name, count in (*ids.items(), *filled.items()) if count > 1)


def exposures(audit: list[dict[str, int]], blackouts: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """(seconds, bound) of each stretch without a stop; the time in which nobody could be reached does not count."""
    found = []
    for row in audit:
        dark = [max(0, min(row["until"], end) - max(row["since"], start)) for start, end in blackouts]
        met = any(start < row["until"] and row["since"] < end for start, end in blackouts)
        length = (row["until"] - row["since"] - sum(dark)) / SECOND
        found.append((length, AFTER_OUTAGE_S if met else UNPROTECTED_S))
    return found


class Inquiry(Protocol):
    """What an exchange can be asked; see `Asker`."""

    def all(self, operation: str, **query: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        ...

    def get(self, operation: str, **query: str) -> dict[str, Any]:
        """One result."""
        ...


def differences(portfolio: Portfolio, exchange: Inquiry) -> Iterator[str]:
    """What the bot's books and the exchange's do not agree on: positions, stops, open orders, balance."""
    held = {row["symbol"]: row for row in exchange.all("position/list", category="linear", settleCoin="USDT")}
    for instrument, rules in portfolio.instruments.items():
        symbol = split_instrument_id(InstrumentId(instrument))[2]
        position = portfolio.position(instrument)
        ours = Decimal(0) if position is None else rules.size(position.size) * position.side
        row = held.get(symbol)
        theirs = Decimal(0) if row is None else Decimal(row["size"]) * (1 if row["side"] == "Buy" else -1)
        if ours != theirs:
            yield f"position of {symbol}: the bot has {ours}, the exchange {theirs}"
        elif position is not None and row is not None:
            stop = None if position.stop_loss is None else rules.price(position.stop_loss)
            their_stop = Decimal(row["stopLoss"]) if row["stopLoss"] else None
            if stop != their_stop:
                yield f"stop of {symbol}: the bot has {stop}, the exchange {their_stop}"
    open_ids = {
        row["orderLinkId"]
        for row in exchange.all("order/realtime", category="linear", settleCoin="USDT", limit=str(_PAGE))
        if row["orderLinkId"]
    }
    live = {str(order_id) for order_id in portfolio.orders.live}
    for order_id in sorted(open_ids ^ live):
        where = "the exchange" if order_id in open_ids else "the bot"
        yield f"order {order_id} is open at {where} alone"
    (wallet,) = exchange.get("account/wallet-balance", accountType="UNIFIED", coin="USDT")["list"]
    theirs = Decimal(wallet["coin"][0]["walletBalance"])
    ours = portfolio.ledger.balance
    if ours != theirs:
        yield f"balance: the bot has {ours}, the exchange {theirs}"
