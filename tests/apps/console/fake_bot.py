"""A bot for the console's tests and for people who work on it: the real contract, an invented market.

`python -m tests.apps.console.fake_bot FOLDER` plays until Ctrl-C.
"""

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import time
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from stakan.apps.projection import (
    SOCKET_FILE,
    Answer,
    Ask,
    Backlog,
    BookView,
    CandleView,
    DecisionView,
    DensityView,
    EquityPoint,
    FillView,
    Frames,
    Hello,
    Latency,
    OrderView,
    PositionView,
    PrintView,
    StatusView,
    TradeView,
    Update,
    framed,
)
from stakan.core.domain.events import Flatten, Halt, PauseEntries, ReleaseHalt, ResumeEntries
from stakan.core.domain.ids import ClientOrderId, InstrumentId, PositionId, instrument_id
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import OrderStatus, OrderType, PositionStatus, Purpose
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND, Lots, Nanos, Side, Ticks

START_BALANCE = Decimal(10_000)
CANDLE = Nanos(5 * SECOND)


def instrument(symbol: str, tick: str, lot: str) -> Instrument:
    return Instrument(
        id=instrument_id("synthetic", "linear", symbol),
        category=Category.LINEAR,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
    )


MARKETS = (
    (instrument("BTCUSDT", "0.1", "0.001"), 965_000, 900),
    (instrument("ETHUSDT", "0.01", "0.01"), 352_000, 1_500),
    (instrument("SOLUSDT", "0.01", "0.1"), 18_600, 2_500),
)


class FakeMarket:
    """One symbol: a price that walks, levels that breathe, walls that come and go."""

    def __init__(self, rules: Instrument, price: int, lots: int, rng: np.random.Generator) -> None:
        self.rules = rules
        self.rng = rng
        self.lots = lots
        self.price = float(price)
        self.drift = 0.0
        self.low = price - 4_000
        self.sizes = self._fresh(8_000)
        self.walls: dict[int, tuple[int, int, int]] = {}
        self.messages = 0
        self.candle: CandleView | None = None
        self.is_usable = True

    def _fresh(self, count: int) -> np.ndarray:
        sizes = self.rng.lognormal(np.log(self.lots), 0.9, count)
        return np.where(self.rng.random(count) < 0.2, 0, sizes).astype(np.int64)

    @property
    def bid(self) -> int:
        return int(self.price)

    @property
    def ask(self) -> int:
        return int(self.price) + 1

    def step(self, now: int) -> tuple[BookView, CandleView]:
        rng = self.rng
        self.drift = 0.98 * self.drift + rng.normal(0, 0.012)
        self.price += self.drift + rng.normal(0, 0.35)
        changed = rng.random(len(self.sizes)) < 0.04
        self.sizes[changed] = self._fresh(int(changed.sum()))
        self._plant(now)
        prints = self._prints(now)
        self.messages += int(rng.poisson(2))
        bids, asks = self._levels(-1), self._levels(1)
        view = BookView(
            instrument=self.rules.id,
            ts=Nanos(now),
            is_usable=self.is_usable,
            bids=bids.tobytes() if self.is_usable else b"",
            asks=asks.tobytes() if self.is_usable else b"",
            health=0.99,
            mark=self.rules.price(self.bid),
            funding_rate=Decimal("0.0001"),
            densities=tuple(
                DensityView(side=Side(side), price=Ticks(price), size=Lots(size), since=Nanos(since))
                for price, (side, size, since) in self.walls.items()
            ),
            prints=prints,
            messages=self.messages,
            latency_ms=float(3 + rng.exponential(2)),
        )
        return view, self._bar(now, prints)

    def _levels(self, sign: int) -> np.ndarray:
        best = self.bid if sign < 0 else self.ask
        prices = best + sign * np.arange(90)
        sizes = self.sizes[prices - self.low].copy()
        sizes[0] = max(1, int(sizes[0]))
        for price, (_, size, _since) in self.walls.items():
            sizes[prices == price] = size
        keep = sizes > 0
        return np.ascontiguousarray(np.stack([prices[keep], sizes[keep]], axis=1)[:50].astype("<i8"))

    def _plant(self, now: int) -> None:
        self.walls = {
            price: wall
            for price, wall in self.walls.items()
            if now - wall[2] < 25 * SECOND and (price - self.price) * wall[0] < 0
        }
        if self.rng.random() < 0.012 and len(self.walls) < 3:
            side = 1 if self.rng.random() < 0.5 else -1
            price = self.bid - side * int(self.rng.integers(6, 28))
            self.walls[price] = (side, int(self.lots * self.rng.uniform(14, 30)), now)

    def _prints(self, now: int) -> tuple[PrintView, ...]:
        made = []
        for _ in range(int(self.rng.poisson(0.9))):
            side = Side.BUY if self.rng.random() < 0.5 + np.clip(self.drift, -0.3, 0.3) else Side.SELL
            price = self.ask if side is Side.BUY else self.bid
            size = max(1, int(self.rng.lognormal(np.log(self.lots / 3), 1.1)))
            made.append(PrintView(ts=Nanos(now), price=Ticks(price), size=Lots(size), side=side))
        return tuple(made)

    def _bar(self, now: int, prints: tuple[PrintView, ...]) -> CandleView:
        opened = now // CANDLE * CANDLE
        volume = sum(one.size for one in prints)
        known = self.candle
        here = Ticks(self.bid)
        if known is None or known.open_ts != opened:
            known = CandleView(
                instrument=self.rules.id,
                open_ts=Nanos(opened),
                open=known.close if known else here,
                high=here,
                low=here,
                close=here,
                volume=Lots(0),
                is_closed=False,
            )
        self.candle = msgspec.structs.replace(
            known,
            high=max(known.high, here),
            low=min(known.low, here),
            close=here,
            volume=Lots(known.volume + volume),
        )
        return self.candle


class FakeBot:
    """Plays the bot's end of the socket; `pass_time` may be called faster than the clock to make a past."""

    def __init__(self, folder: Path, *, seed: int = 7, start: int | None = None) -> None:
        self.path = folder / SOCKET_FILE
        self.rng = np.random.default_rng(seed)
        self.markets = [FakeMarket(*one, self.rng) for one in MARKETS]
        self.mode = "paper"
        self.started = start if start is not None else time.time_ns()
        self.asked: list[object] = []
        self.balance = START_BALANCE
        self.trading = TradingState.ACTIVE
        self.halted_for = ""
        self.is_paused = False
        self.problems: tuple[str, ...] = ()
        self.steps = 0
        self.positions: dict[InstrumentId, PositionView] = {}
        self.orders: dict[InstrumentId, OrderView] = {}
        self.backlog = Backlog()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._entered: dict[InstrumentId, int] = {}
        self._last_equity = 0
        self._new: dict[str, list] = {}

    @property
    def hello(self) -> Hello:
        return Hello(
            version="0.1.0",
            mode=self.mode,
            market="synthetic market, seed 7",
            is_synthetic=True,
            account="main",
            started_ts=Nanos(self.started),
            instruments=tuple(market.rules for market in self.markets),
            strategies=("imbalance", "density_breakout", "density_bounce"),
            candle_interval_ns=CANDLE,
        )

    # --- the invented day -------------------------------------------------------------------------------------------

    def update(self, now: int) -> Update:
        """One step of the whole market and of what we do in it."""
        self._new = {"decisions": [], "fills": [], "trades": [], "equity": []}
        made = [market.step(now) for market in self.markets]
        done = []
        for market in self.markets:
            done += self._trade(market, now)
        open_pnl = sum((held.unrealised_pnl for held in self.positions.values()), Decimal(0))
        equity = self.balance + open_pnl
        exposure = sum(
            (
                m.rules.notional(m.bid, self.positions[m.rules.id].size)
                for m in self.markets
                if m.rules.id in self.positions
            ),
            Decimal(0),
        )
        if now - self._last_equity >= SECOND:
            self._last_equity = now
            self._new["equity"] = [
                EquityPoint(ts=Nanos(now), equity=equity, unrealised_pnl=open_pnl, exposure=exposure)
            ]
        self.steps += 30
        update = Update(
            ts=Nanos(now),
            status=StatusView(
                ts=Nanos(now),
                trading=self.trading,
                halted_for=self.halted_for,
                paused=self.is_paused,
                problems=self.problems,
                balance=self.balance,
                equity=equity,
                exposure=exposure,
                steps=self.steps,
                events_per_second=312.0,
                lag_ms=float(self.rng.exponential(1.2)),
                latencies=tuple(
                    Latency(stage=stage, count=self.steps // 3, p50=p50, p99=p50 * 4, worst=p50 * 9)
                    for stage, p50 in (("feed", 4.1), ("decide", 0.3), ("acknowledge", 10.4), ("fill", 11.8))
                ),
            ),
            books=tuple(book for book, _ in made),
            candles=tuple(candle for _, candle in made),
            orders=(*self.orders.values(), *done),
            positions=tuple(self.positions.values()),
            **{name: tuple(values) for name, values in self._new.items()},
        )
        self._remember(update)
        return update

    def pass_time(self, seconds: int) -> None:
        """Make a past that ends now."""
        end = time.time_ns()
        for index in range(seconds * 10):
            self.update(end - (seconds * 10 - index) * SECOND // 10)

    def _remember(self, update: Update) -> None:
        known = self.backlog
        candles = {(c.instrument, c.open_ts): c for c in (*known.candles[-600:], *update.candles)}
        self.backlog = Backlog(
            candles=tuple(candles.values()),
            equity=(*known.equity, *update.equity)[-1000:],
            decisions=(*known.decisions, *update.decisions)[-200:],
            fills=(*known.fills, *update.fills)[-500:],
            trades=(*known.trades, *update.trades)[-500:],
        )

    def _trade(self, market: FakeMarket, now: int) -> list[OrderView]:
        name = market.rules.id
        held, order = self.positions.get(name), self.orders.get(name)
        if order is not None:
            if now - order.ts < SECOND or self.rng.random() < 0.7:
                return []
            del self.orders[name]
            self._enter(market, order, now)
            return [msgspec.structs.replace(order, status=OrderStatus.FILLED, filled=order.size)]
        if held is not None:
            self._mark(market, held, now)
        elif self.trading is TradingState.ACTIVE and self.rng.random() < 0.012:
            self._signal(market, now)
        return []

    def _signal(self, market: FakeMarket, now: int) -> None:
        name = market.rules.id
        side = Side.BUY if self.rng.random() < 0.5 else Side.SELL
        strategy = str(self.rng.choice(["imbalance", "density_breakout", "density_bounce"]))
        detail = f"bid volume is {self.rng.uniform(1.4, 4):.1f} times ask volume over 10 levels, strength 0.{self.rng.integers(55, 95)}"
        self._decide(now, "signal", name, strategy, side, "", detail)
        if self.is_paused or self.rng.random() < 0.45:
            reason = (
                "entries_paused" if self.is_paused else str(self.rng.choice(["too_weak", "cooling_down", "exposure"]))
            )
            self._decide(now, "refused", name, strategy, side, reason, "")
            return
        self._decide(now, "approved", name, strategy, side, "", "200 USDT, stop 18 ticks away")
        price = market.bid if side is Side.BUY else market.ask
        size = max(1, int(Decimal(400) / (market.rules.tick_size * market.rules.lot_size * price)))
        self.orders[name] = OrderView(
            client_order_id=ClientOrderId(f"s-{self.steps}-{name[-7:].lower()}"),
            instrument=name,
            strategy=strategy,
            purpose=Purpose.ENTRY,
            side=side,
            type=OrderType.LIMIT,
            price=Ticks(price),
            size=Lots(size),
            filled=Lots(0),
            status=OrderStatus.PLACED,
            ts=Nanos(now),
        )

    def _enter(self, market: FakeMarket, order: OrderView, now: int) -> None:
        assert order.price is not None
        self._fill(market, order.side, order.price, order.size, order.strategy, now, Decimal(0))
        self.positions[order.instrument] = PositionView(
            position=PositionId(f"p{self.steps}-{order.instrument}"),
            instrument=order.instrument,
            strategy=order.strategy,
            status=PositionStatus.OPEN,
            side=order.side,
            size=order.size,
            entry_price=market.rules.price(order.price),
            mark=market.rules.price(market.bid),
            unrealised_pnl=Decimal(0),
            stop_loss=Ticks(order.price - 18 * order.side),
            take_profit=Ticks(order.price + 24 * order.side),
            opened_ts=Nanos(now),
            reasons=("bid volume is 2.3 times ask volume",),
        )
        self._entered[order.instrument] = order.price

    def _mark(self, market: FakeMarket, held: PositionView, now: int) -> None:
        here = market.bid
        gain = (here - self._entered[held.instrument]) * held.side
        pnl = market.rules.notional(gain, held.size)
        self.positions[held.instrument] = msgspec.structs.replace(
            held, mark=market.rules.price(here), unrealised_pnl=pnl
        )
        if gain <= -18 or gain >= 24 or now - held.opened_ts > 40 * SECOND:
            self._close(market, "stop_loss" if gain <= -18 else "take_profit" if gain >= 24 else "horizon_reached", now)

    def _close(self, market: FakeMarket, why: str, now: int) -> None:
        held = self.positions.pop(market.rules.id)
        price = market.bid
        pnl = market.rules.notional((price - self._entered[held.instrument]) * held.side, held.size)
        self.balance += pnl
        self._fill(market, held.side.opposite, price, held.size, held.strategy, now, pnl)
        self._decide(now, "exit", held.instrument, held.strategy, held.side.opposite, why, f"{pnl:+.2f} USDT")
        self._new["trades"].append(
            TradeView(
                position=held.position,
                instrument=held.instrument,
                strategy=held.strategy,
                side=held.side,
                size=held.size,
                entry_price=held.entry_price,
                exit_price=market.rules.price(price),
                opened_ts=held.opened_ts,
                closed_ts=Nanos(now),
                gross_pnl=pnl,
                fees=Decimal("0.08"),
                funding=Decimal(0),
                entry_reasons=held.reasons,
                exit_reason=why,
            )
        )

    def _fill(
        self, market: FakeMarket, side: Side, price: int, size: int, strategy: str, now: int, pnl: Decimal
    ) -> None:
        self.balance -= Decimal("0.04")
        self._new["fills"].append(
            FillView(
                ts=Nanos(now),
                instrument=market.rules.id,
                client_order_id=ClientOrderId(f"s-{self.steps}"),
                strategy=strategy,
                side=side,
                price=Ticks(price),
                size=Lots(size),
                fee=Decimal("0.04"),
                realised_pnl=pnl,
                is_maker=True,
                origin="order",
            )
        )

    def _decide(
        self, now: int, kind: str, name: InstrumentId | None, strategy: str, side: Side | None, reason: str, detail: str
    ) -> None:
        self._new["decisions"].append(
            DecisionView(
                number=self.steps,
                ts=Nanos(now),
                kind=kind,
                instrument=name,
                strategy=strategy,
                side=side,
                reason=reason,
                detail=detail,
            )
        )

    # --- the socket -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self.path.unlink(missing_ok=True)

    async def play(self) -> None:
        """Ten updates a second by the wall clock, until cancelled."""
        while True:
            self.send(self.update(time.time_ns()))
            await asyncio.sleep(0.1)

    def send(self, *messages: object) -> None:
        for writer in self._writers:
            for message in messages:
                writer.write(framed(msgspec.msgpack.encode(message)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(msgspec.msgpack.encode(self.hello)))
        writer.write(framed(msgspec.msgpack.encode(self.backlog)))
        self._writers.add(writer)
        frames, decoder = Frames(), msgspec.msgpack.Decoder(Ask)
        try:
            while data := await reader.read(1 << 16):
                for payload in frames.feed(data):
                    answer = self._answer(decoder.decode(payload))
                    writer.write(framed(msgspec.msgpack.encode(answer)))
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, ask: Ask) -> Answer:
        request = ask.request
        self.asked.append(request)
        now = time.time_ns()
        match request:
            case PauseEntries():
                self.is_paused = True
            case ResumeEntries():
                self.is_paused = False
            case Flatten():
                self._flatten(request.instrument, now)
            case Halt():
                self._flatten(None, now)
                self.trading, self.halted_for = TradingState.HALTED, request.why
            case ReleaseHalt():
                if self.trading is not TradingState.HALTED:
                    return Answer(request_id=request.request_id, is_accepted=False, why="trading is not halted")
                self.trading, self.halted_for = TradingState.ACTIVE, ""
        return Answer(request_id=request.request_id, is_accepted=True)

    def _flatten(self, name: InstrumentId | None, now: int) -> None:
        self._new = {"decisions": [], "fills": [], "trades": [], "equity": []}
        for market in self.markets:
            if name in (None, market.rules.id):
                self.orders.pop(market.rules.id, None)
                if market.rules.id in self.positions:
                    self._close(market, "operator", now)
        self.backlog = msgspec.structs.replace(
            self.backlog,
            fills=(*self.backlog.fills, *self._new["fills"]),
            trades=(*self.backlog.trades, *self._new["trades"]),
            decisions=(*self.backlog.decisions, *self._new["decisions"]),
        )


class RunningBot:
    """A fake bot in a thread of its own; `with` it."""

    def __init__(self, folder: Path, *, past_s: int = 5, is_playing: bool = True, start: int | None = None) -> None:
        self.bot = FakeBot(folder, start=start)
        self.bot.pass_time(past_s)
        self._is_playing = is_playing
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._play: concurrent.futures.Future[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self.bot.start())
        if self._is_playing:
            self.play()
        return self

    def play(self) -> None:
        """Ten updates a second from now on."""
        self._play = asyncio.run_coroutine_threadsafe(self.bot.play(), self._loop)

    def pause(self) -> None:
        """Say nothing more, but stay connected."""
        if self._play is not None:
            self._play.cancel()
            self._play = None

    def tell(self, *messages: object) -> None:
        """Send something out of turn."""

        async def send() -> None:
            self.bot.send(*messages)

        self.call(send())

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __exit__(self, *_: object) -> None:
        self.pause()
        self.call(self.bot.stop())
        self.call(_settled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _settled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _main(folder: Path) -> None:
    bot = FakeBot(folder)
    bot.pass_time(180)
    await bot.start()
    try:
        await bot.play()
    finally:
        await bot.stop()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(Path(sys.argv[1])))
