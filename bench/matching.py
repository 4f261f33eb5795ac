"""The matching core alone, quoting both sides every 100 ms, beside hftbacktest on the same recorded messages."""

import itertools
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from hftbacktest import GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit

from bench._rows import Options, Row, interleaved, rate
from stakan.adapters import instruments
from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.exchanges.simulated.matching import FILLED, NEVER, Matching
from stakan.adapters.exchanges.simulated.models import ConstantLatency, QueueModel
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.batch import BatchBuilder, Kind, MarketBatch, window
from stakan.core.domain.commands import CancelOrder, SubmitOrder
from stakan.core.domain.events import BestQuote
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import NewOrder, OrderType, Purpose, TimeInForce
from stakan.core.domain.units import MILLISECOND, Lots, Nanos, Side, Ticks

BTC = InstrumentId("binance:linear:BTCUSDT")
PEER = "hftbacktest 2.4.2, numba loop, ROI vector"
STEP = 100 * MILLISECOND
QUOTE_LOTS = 10
LATENCY = 5 * MILLISECOND
Events = npt.NDArray[np.void]


def run(options: Options) -> list[Row]:
    """Rows `matching.*`: what a level costs, what a message costs, and the whole exchange with commands."""
    assert options.data is not None
    rules, batch = session(options.data, "2024", quotes=False)
    batch = head(batch, options.count(len(batch)))
    events = peer_events(rules, batch)
    levels = len(batch.levels)
    work = [lambda: quote_matching(rules, batch), lambda: quote_exchange(rules, batch)]
    if options.peers:
        work.append(lambda: quote_peer(rules, events))
    ours, exchange, *peer = interleaved(options.repetitions, *(lambda job=job: rate(levels, job) for job in work))
    data = "Binance BTCUSDT 2024-07-18/19 as recorded (480 s), depth and trades"
    return [
        Row(
            name="matching.core",
            what="matching core, both sides quoted anew every 100 ms (from Python; peer: compiled loop)",
            unit="levels/s",
            event="one level of a depth message, or one print",
            data=data,
            ours=ours,
            peer=peer[0] if peer else None,
            peer_name=PEER,
            bar_ratio=0.5,
            aim_ratio=1.0,
            note=f"{levels / len(batch):.1f} levels a message",
        ),
        Row(
            name="matching.exchange",
            what="the same through commands, latencies, margin checks and events of the simulated exchange",
            unit="levels/s",
            event="one level of a depth message, or one print",
            data=data,
            ours=exchange,
            peer=peer[0] if peer else None,
            peer_name=PEER,
        ),
    ]


# --- data -----------------------------------------------------------------------------------------------------------


def session(folder: Path, year: str, *, quotes: bool = True) -> tuple[Instrument, MarketBatch]:
    """A recorded BTC session as one batch, with or without its best-quote messages."""
    rules = instruments.recorded()[BTC]
    files = sorted((folder / "binance-l2").glob(f"usdm_btcusdt_{year}*"))
    builder = BatchBuilder(BTC)
    for arrival, event in enumerate(open_recording(files, {BTC: rules}).events()):
        if quotes or not isinstance(event, BestQuote):
            builder.add(event, arrival)
    return rules, builder.build()


def head(batch: MarketBatch, rows: int) -> MarketBatch:
    """The first rows of a batch."""
    end = int(batch.level_start[rows])
    cut = {
        name: getattr(batch, name)[:rows]
        for name in ("kind", "ts_event", "ts_recv", "ts_exchange", "arrival", "sequence", "previous_sequence")
    }
    return msgspec.structs.replace(
        batch,
        **cut,
        level_start=batch.level_start[: rows + 1],
        bid_count=batch.bid_count[:rows],
        levels=batch.levels[:end],
    )


def peer_events(rules: Instrument, batch: MarketBatch) -> Events:
    """The book and trade rows of a batch as hftbacktest's events, one per level, at our exchange times.

    A snapshot is preceded by an event that clears both sides.
    """
    count = np.diff(batch.level_start)
    row = np.repeat(np.arange(len(batch)), count)
    place = np.arange(len(batch.levels)) - batch.level_start[row]
    kind = batch.kind[row]
    is_trade = kind >= Kind.BUY_PRINT
    is_buy = np.where(is_trade, kind == Kind.BUY_PRINT, place < batch.bid_count[row])
    what = np.where(is_trade, TRADE_EVENT, np.where(kind == Kind.SNAPSHOT, DEPTH_SNAPSHOT_EVENT, DEPTH_EVENT))
    events = np.zeros(len(row), event_dtype)
    events["ev"] = EXCH_EVENT | LOCAL_EVENT | what | np.where(is_buy, BUY_EVENT, SELL_EVENT)
    events["exch_ts"] = batch.ts_exchange[row]
    events["local_ts"] = np.maximum(batch.ts_recv[row], batch.ts_exchange[row])
    events["px"] = batch.levels[:, 0] * float(rules.tick_size)
    events["qty"] = batch.levels[:, 1] * float(rules.lot_size)
    keep = kind <= Kind.SELL_PRINT
    starts = np.flatnonzero((kind == Kind.SNAPSHOT) & (place == 0))
    clear = events[starts].copy()
    clear["ev"] = EXCH_EVENT | LOCAL_EVENT | DEPTH_CLEAR_EVENT
    order = np.argsort(np.concatenate([np.flatnonzero(keep) * 2 + 1, starts * 2]), kind="stable")
    return np.concatenate([events[keep], clear])[order]


# --- quoting --------------------------------------------------------------------------------------------------------


def quote_matching(rules: Instrument, batch: MarketBatch) -> tuple[int, int]:
    """Replace a quote at each touch every 100 ms; returns (fills, lots)."""
    matching = Matching(rules, QueueModel())
    matching.feed(batch)
    fills = lots = 0
    now = matching.next_ts
    for key in itertools.count(1, 2):
        now += STEP
        while bits := matching.advance(now):
            if bits & FILLED:
                done = matching.fills()
                fills += len(done)
                lots += sum(size for _, _, size in done)
        if matching.next_ts == NEVER:
            return fills, lots
        if matching.is_live:
            matching.resize(key - 2, 0)
            matching.resize(key - 1, 0)
            matching.rest(key, Side.BUY, matching.best_bid, QUOTE_LOTS)
            matching.rest(key + 1, Side.SELL, matching.best_ask, QUOTE_LOTS)
    raise AssertionError("the keys never end")


def quote_exchange(rules: Instrument, batch: MarketBatch) -> int:
    """The same by commands with 5 ms each way; returns the number of events that came back."""
    latency = ConstantLatency(Nanos(LATENCY))
    exchange = SimulatedExchange({rules.id: rules}, SimulationConfig(entry_latency=latency, response_latency=latency))
    exchange.feed(window((batch,)))
    first, last = int(batch.ts_exchange[0]), int(batch.ts_exchange[-1])
    book = Matching(rules, QueueModel())
    book.feed(batch)
    events = 0
    for number, now in enumerate(range(first + STEP, last, STEP)):
        book.advance(now)
        while news := exchange.advance(now):
            events += len(news)
        for side, price in ((Side.BUY, book.best_bid), (Side.SELL, book.best_ask)):
            if number:
                old = CancelOrder(instrument=rules.id, client_order_id=ClientOrderId(f"{side}-{number - 1}"))
                exchange.submit(old, now)
            new = NewOrder(
                client_order_id=ClientOrderId(f"{side}-{number}"),
                instrument=rules.id,
                intent=IntentId("bench"),
                purpose=Purpose.ENTRY,
                side=side,
                size=Lots(QUOTE_LOTS),
                type=OrderType.LIMIT,
                price=Ticks(price),
                time_in_force=TimeInForce.POST_ONLY,
            )
            exchange.submit(SubmitOrder(order=new), now)
    return events


def peer_asset(rules: Instrument, events: Events, low: int, high: int) -> BacktestAsset:
    """hftbacktest's market with the same assumptions: pessimistic queue, partial fills, constant latencies."""
    return (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(LATENCY, LATENCY)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(float(rules.maker_fee), float(rules.taker_fee))
        .tick_size(float(rules.tick_size))
        .lot_size(float(rules.lot_size))
        .roi_lb(low * float(rules.tick_size))
        .roi_ub(high * float(rules.tick_size))
        .last_trades_capacity(0)
    )


def quote_peer(rules: Instrument, events: Events) -> int:
    """Its own compiled loop over the same events; returns the number of quotes."""
    trades = events[(events["ev"] & 0xFF) == TRADE_EVENT]["px"] / float(rules.tick_size)
    low, high = int(trades.min() * 0.9), int(trades.max() * 1.1)
    backtest = ROIVectorMarketDepthBacktest([peer_asset(rules, events, low, high)])
    quotes = int(_peer_loop(backtest, float(rules.tick_size), QUOTE_LOTS * float(rules.lot_size)))
    backtest.close()
    return quotes


@njit
def _peer_loop(backtest, tick, size):
    number = 0
    while backtest.elapse(STEP) == 0:
        backtest.clear_inactive_orders(0)
        depth = backtest.depth(0)
        orders = backtest.orders(0)
        for key in (2 * number - 1, 2 * number):
            order = orders.get(key)
            if order is not None and order.cancellable:
                backtest.cancel(0, key, False)
        number += 1
        backtest.submit_buy_order(0, 2 * number - 1, depth.best_bid_tick * tick, size, GTX, LIMIT, False)
        backtest.submit_sell_order(0, 2 * number, depth.best_ask_tick * tick, size, GTX, LIMIT, False)
    return number
