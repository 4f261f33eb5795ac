"""Builders of facts, steps and whole runs for the tests of results and report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from stakan.apps.results import (
    DataIdentity,
    Fingerprint,
    Labelled,
    RunIdentity,
    RunRecorder,
    RunResult,
    Sample,
    assemble,
)
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import FillOrigin, TimerFired
from stakan.core.domain.facts import (
    BookGap,
    EntryFeatures,
    EquityMarked,
    FillBooked,
    FindingMade,
    IntentApproved,
    IntentRefused,
    OrderTransitioned,
    PositionClosed,
    PositionTransitioned,
    SignalProposed,
    SignalRefused,
    TradingStateChanged,
)
from stakan.core.domain.findings import Finding, Pattern, Stage
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId, IntentId, PositionId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderStatus, OrderType, PositionStatus, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Intent, Signal, TradingState
from stakan.core.domain.units import DAY, HOUR, MINUTE, SECOND, Lots, Nanos, Side, Ticks

START = 1_760_000_400 * SECOND
BTC = InstrumentId("bybit:linear:BTCUSDT")
ETH = InstrumentId("bybit:linear:ETHUSDT")


def an_instrument(name: InstrumentId = BTC, tick: str = "0.1", lot: str = "0.001") -> Instrument:
    return Instrument(
        id=name,
        category=Category.LINEAR,
        base=name[-7:-4],
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
    )


@dataclass
class Script:
    """Writes a run step by step, keeping the books itself, so that the recorder can be checked against it."""

    initial: Decimal = Decimal(10_000)
    instruments: dict[InstrumentId, Instrument] = field(
        default_factory=lambda: {BTC: an_instrument(), ETH: an_instrument(ETH, "0.01", "0.01")}
    )
    number: int = 0
    balance: Decimal = Decimal(10_000)
    trades: int = 0
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def __post_init__(self) -> None:
        self.balance = self.initial
        self.recorder = RunRecorder(self.instruments, self.initial, START)

    def step(self, ts: int, *facts: Any, commands: tuple[Any, ...] = ()) -> None:
        self.number += 1
        step = Step(number=self.number, ts=Nanos(ts), facts=facts, commands=commands)
        self.fingerprint.update(step)
        self.recorder.observe(TimerFired(ts_event=ts, ts_recv=ts, key="tick"), step)

    def mid(self, ts: int, ticks: float, instrument: InstrumentId = BTC) -> None:
        self.recorder.observe_mid(instrument, ts, ticks)

    def mark(self, ts: int, unrealised: Decimal = Decimal(0), exposure: Decimal = Decimal(0)) -> None:
        self.step(ts, EquityMarked(balance=self.balance, unrealised_pnl=unrealised, exposure=exposure))

    def fill(
        self,
        ts: int,
        side: Side,
        price: int,
        *,
        lots: int = 10,
        mid: float = 0.0,
        fee: str = "0.1",
        maker: bool = False,
        order: str = "o",
        position: str = "p",
        instrument: InstrumentId = BTC,
        realised: Decimal = Decimal(0),
    ) -> None:
        self.balance += realised - Decimal(fee)
        fact = FillBooked(
            execution_id=ExecutionId(f"e{self.number}"),
            client_order_id=ClientOrderId(order),
            instrument=instrument,
            position=PositionId(position),
            side=side,
            price=Ticks(price),
            size=Lots(lots),
            fee=Decimal(fee),
            realised_pnl=realised,
            is_maker=maker,
            origin=FillOrigin.ORDER,
            ts_event=Nanos(ts),
            mid_ticks=mid,
        )
        self.step(ts, fact)

    def trade(
        self,
        opened: int,
        closed: int,
        entry: int,
        exit_price: int,
        *,
        side: Side = Side.BUY,
        lots: int = 10,
        fee: str = "0.1",
        strategy: str = "imbalance_breakout",
        instrument: InstrumentId = BTC,
        exit_reason: str = "take_profit",
        away: float = 0.5,
        maker: bool = False,
    ) -> None:
        """A whole position: signal, approval, order, entry fill, exit fill, close, equity mark."""
        self.trades += 1
        rules, name = self.instruments[instrument], f"p{self.trades}"
        order = ClientOrderId(f"o{self.trades}")
        signal = Signal(
            strategy=strategy,
            instrument=instrument,
            side=side,
            strength=0.7,
            ts_event=Nanos(opened),
            entry=Ticks(entry),
            stop_loss=Ticks(entry - side * 100),
            reasons=("bid volume is 3.4 times ask volume", "mid rose 2.1 ticks in 5 s"),
        )
        intent = Intent(id=IntentId(name), signal=signal, size=Lots(lots), ts_recv=Nanos(opened))
        new = NewOrder(
            client_order_id=order,
            instrument=instrument,
            intent=intent.id,
            purpose=Purpose.ENTRY,
            side=side,
            size=Lots(lots),
            type=OrderType.LIMIT,
            price=Ticks(entry),
        )
        features = {"volume_imbalance": 0.4321, "spread_bps": 0.12, "micro_price": 64_000.05, "ofi_10": -3.0}
        self.step(
            opened,
            SignalProposed(signal=signal),
            IntentApproved(intent=intent),
            commands=(SubmitOrder(order=new),),
        )
        self.step(opened, EntryFeatures(intent=intent.id, instrument=instrument, features=features))
        self.fill(
            opened,
            side,
            entry,
            lots=lots,
            mid=entry - side * away,
            fee=fee,
            order=order,
            position=name,
            instrument=instrument,
            maker=maker,
        )
        self.step(
            opened,
            OrderTransitioned(
                client_order_id=order,
                instrument=instrument,
                before=OrderStatus.PLACED,
                after=OrderStatus.FILLED,
                cause="filled",
                filled=Lots(lots),
            ),
            self._moved(name, instrument, strategy, side, lots, PositionStatus.OPENING, PositionStatus.OPEN),
        )
        self.mark(opened, exposure=rules.notional(entry, lots))
        gross = rules.notional((exit_price - entry) * int(side), lots)
        self.fill(
            closed,
            side.opposite,
            exit_price,
            lots=lots,
            mid=exit_price + side * away,
            fee=fee,
            order="",
            position=name,
            instrument=instrument,
            realised=gross,
        )
        closing = PositionClosed(
            position=PositionId(name),
            instrument=instrument,
            intent=intent.id,
            strategy=strategy,
            side=side,
            size=Lots(lots),
            entry_price=rules.price(entry),
            exit_price=rules.price(exit_price),
            opened_ts=Nanos(opened),
            closed_ts=Nanos(closed),
            gross_pnl=gross,
            fees=Decimal(fee) * 2,
            funding=Decimal(0),
            entry_reasons=signal.reasons,
            exit_reason=exit_reason,
        )
        moved = self._moved(name, instrument, strategy, side, 0, PositionStatus.OPEN, PositionStatus.CLOSED)
        self.step(closed, moved, closing)
        self.mark(closed)

    def find(self, ts: int, *, side: Side | None = Side.BUY, confidence: float = 0.7, **changes: Any) -> None:
        """A detector suspects something at a tick below the usual entries."""
        finding = Finding(
            instrument=BTC,
            detector="walls",
            pattern=Pattern.SPOOFING,
            stage=Stage.SUSPECTED,
            episode=1,
            side=side,
            low=Ticks(639_990),
            high=Ticks(639_992),
            size=Lots(900),
            began=Nanos(ts - SECOND),
            ts_event=Nanos(ts),
            confidence=confidence,
            evidence={"life_s": 1.5, "times_median": 8.0},
        )
        self.step(ts, FindingMade(finding=msgspec.structs.replace(finding, **changes)))

    def refuse(self, ts: int, reason: Reason = Reason.TOO_WEAK) -> None:
        refused = SignalRefused(
            instrument=BTC, strategy="density_bounce", side=Side.BUY, reason=reason, detail="strength 0.31 < 0.50"
        )
        self.step(ts, refused)

    def result(self, **changes: Any) -> RunResult:
        data = {
            "source": "data/bybit",
            "instruments": tuple(self.instruments),
            "first_ts": START,
            "last_ts": max(self.recorder.end_ts, START),
            "mark_is_mid": True,
            "sample": Sample.IN_SAMPLE,
        }
        data.update({k: v for k, v in changes.items() if k in DataIdentity.__struct_fields__})
        run = RunIdentity(
            id=changes.get("id", "20261121-001"),
            created_at="2026-11-21T00:00:00+00:00",
            config_hash=changes.get("config_hash", "ab12" * 8),
            config_text='[strategies.imbalance_breakout]\nthreshold = 2.0  # <b>"quoted"</b>\n',
            versions=(Labelled(name="stakan", value="0.1.0"),),
            assumptions=(
                Labelled(name="Fees", value="maker 0.02 %, taker 0.055 %"),
                Labelled(name="Latency", value="entry 20 ms, response 20 ms, constant"),
            ),
        )
        return assemble(self.recorder, run, DataIdentity(**data), self.fingerprint.hexdigest(), 12.5)

    @staticmethod
    def _moved(
        name: str,
        instrument: InstrumentId,
        strategy: str,
        side: Side,
        lots: int,
        before: PositionStatus,
        after: PositionStatus,
    ) -> PositionTransitioned:
        return PositionTransitioned(
            position=PositionId(name),
            instrument=instrument,
            intent=IntentId(name),
            strategy=strategy,
            before=before,
            after=after,
            side=side,
            size=Lots(lots),
            cause="filled",
        )


def a_busy_run(trades: int = 120, seed: int = 7, hours: float = 6.0) -> Script:
    """Random walks of two instruments with positions on them: everything that a report shows occurs."""
    script, chance = Script(), np.random.default_rng(seed)
    span = int(hours * HOUR)
    times = np.sort(chance.integers(MINUTE, span - 10 * MINUTE, trades))
    walks = {
        name: np.round(level + np.cumsum(chance.normal(0, level * 3e-5, span // SECOND + 1)))
        for name, level in ((BTC, 640_000), (ETH, 310_000))
    }
    actions: list[tuple[int, int, Callable[[], None]]] = []
    for second in range(0, span // SECOND, 2):
        for name, walk in walks.items():
            at = START + second * SECOND
            actions.append((at, 0, lambda n=name, w=walk, a=at, s=second: script.mid(a, w[s] + 0.5, n)))
    for minute in range(20):
        at, side = START + 60 * minute * SECOND + 30 * SECOND, (Side.BUY, Side.SELL, None)[minute % 3]
        actions.append(
            (at, 1, lambda a=at, s=side: script.find(a, side=s, **({} if s else {"low": None, "high": None})))
        )
    free = 0
    strategies, exits = (
        ("imbalance_breakout", "density_bounce", "liquidity_sweep"),
        ("take_profit", "stop_loss", "horizon_reached"),
    )
    for opened in times.tolist():
        held = int(chance.exponential(90)) + 5
        second = opened // SECOND
        if opened < free:
            continue
        free = opened + held * SECOND
        name = BTC if chance.random() < 0.6 else ETH
        walk, side = walks[name], Side.BUY if chance.random() < 0.55 else Side.SELL
        drift = int(chance.normal(95, 150) * side)
        entry, out = int(walk[second]), int(walk[second + held]) + drift
        keys = {
            "side": side,
            "lots": int(chance.integers(20, 200)),
            "fee": f"{chance.uniform(0.05, 0.6):.4f}",
            "strategy": str(chance.choice(strategies)),
            "instrument": name,
            "exit_reason": str(chance.choice(exits)),
            "away": 2.5,
            "maker": bool(chance.random() < 0.5),
        }
        start = START + opened
        actions.append(
            (start, 1, lambda a=start, h=held, e=entry, o=out, k=keys: script.trade(a, a + h * SECOND, e, o, **k))
        )
    for minute in range(0, span // MINUTE, 7):
        at = START + minute * MINUTE
        actions.append((at, 2, lambda a=at: script.refuse(a)))
    for _, _, act in sorted(actions, key=lambda action: action[:2]):
        act()
    end = max(script.recorder.end_ts, START + span)
    script.step(end, BookGap(instrument=ETH, expected=5, got=9))
    script.step(
        end,
        TradingStateChanged(state=TradingState.REDUCING, reason=Reason.DAILY_LOSS, detail="loss of 3.1 % is above 3 %"),
    )
    refused = Intent(
        id=IntentId("late"),
        signal=Signal(
            strategy="density_bounce",
            instrument=BTC,
            side=Side.BUY,
            strength=0.6,
            ts_event=Nanos(end),
            entry=Ticks(640_000),
            stop_loss=Ticks(639_000),
        ),
        size=Lots(10),
        ts_recv=Nanos(end),
    )
    script.step(
        end, IntentRefused(intent=refused, rule="daily_loss", reason=Reason.DAILY_LOSS, detail="3.1 % lost today")
    )
    return script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture(scope="session")
def new_script() -> type[Script]:
    return Script


@pytest.fixture(scope="session")
def busy() -> RunResult:
    return a_busy_run().result(is_synthetic=True)


@pytest.fixture(scope="session")
def busy_script() -> Callable[..., Script]:
    return a_busy_run


__all__ = ["BTC", "DAY", "ETH", "START", "Script", "a_busy_run"]
