"""Each invariant can fail: a hand that trades at the exchange's core does right first, then one thing wrong."""

import json
from decimal import Decimal

import msgspec
import pytest

from stakan.adapters.sql import tables
from stakan.apps.dst import rows
from stakan.apps.dst.exchange import Host
from stakan.apps.dst.invariants import Auditor, Limits
from stakan.apps.dst.plan import FullDisk, Kill, KillAtDisk, Meddle, Plan, Reset, Script
from stakan.apps.dst.records import Mended
from stakan.apps.dst.settings import settings_of
from stakan.apps.dst.time import Heap
from stakan.apps.dst.world import World
from stakan.apps.exchange import accounts
from stakan.apps.exchange.faults import Stream, Trouble
from stakan.apps.exchange.gateway import Request
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import FillOrigin, PauseEntries, ReleaseHalt, ResumeEntries, TimerFired
from stakan.core.domain.facts import (
    ExitDecided,
    FillBooked,
    FundingBooked,
    IntentApproved,
    OrderTransitioned,
    PositionTransitioned,
    TradingStateChanged,
)
from stakan.core.domain.ids import ClientOrderId, ExecutionId, InstrumentId, IntentId, PositionId, split_instrument_id
from stakan.core.domain.orders import NewOrder, OrderStatus, OrderType, PositionStatus, Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Intent, Signal, TradingState
from stakan.core.domain.units import DAY, MINUTE, SECOND, Lots, Side, Ticks

START = 1_790_000_000 * SECOND
BTC = InstrumentId("local:linear:BTCUSDT")
ETH = InstrumentId("local:linear:ETHUSDT")
SOL = InstrumentId("local:linear:SOLUSDT")
FAR_BELOW = Ticks(635_000)
A_TIMER = TimerFired(ts_event=1, ts_recv=1, key="k")


class Engine:
    """As much of an engine as is asked of one."""

    class state:  # noqa: N801
        class portfolio:  # noqa: N801
            class ledger:  # noqa: N801
                is_balanced = True


class Hand:
    """A bot that is somebody's hand: it decides, writes down and sends as it is told to."""

    def __init__(self):
        self.heap = Heap(START)
        self.host = Host(self.heap, 5, lambda _: None)
        self.limits = Limits(leverage=Decimal(10), max_notional=Decimal(1000), max_equity_share=Decimal("0.5"))
        self.is_reachable = True
        self.auditor = Auditor(self.host, self.limits, lambda: self.heap.now, lambda: self.is_reachable, START)
        self.heap.after = self.auditor.look
        self.number = 0
        self.ahead = 0
        self.pass_time(SECOND)

    def pass_time(self, ns):
        self.heap.run(self.heap.now + ns)

    def prepare(self, symbol="BTCUSDT"):
        """Assert margin mode and leverage."""
        self.host.handle(Request(method="GET", path="/v5/account/info"))
        body = json.dumps({"symbol": symbol}).encode()
        self.host.handle(Request(method="POST", path="/v5/position/set-leverage", body=body))
        self.tell("position/set-leverage", symbol=symbol, buyLeverage="10", sellLeverage="10")
        return self

    def tell(self, operation, **params):
        reply = self.host.account.handle(operation, {"category": "linear", **params}, self.heap.now)
        assert reply.code in (0, 110043), reply
        self.host.local.pump()
        self.auditor.look()
        return reply

    def order(self, name, *, intent="i1", purpose=Purpose.ENTRY, size=5, **more):
        fields = {
            "client_order_id": ClientOrderId(name),
            "instrument": BTC,
            "intent": IntentId(intent),
            "purpose": purpose,
            "side": Side.BUY if purpose is Purpose.ENTRY else Side.SELL,
            "size": Lots(size),
            "type": OrderType.LIMIT,
            "price": FAR_BELOW,
            "time_in_force": TimeInForce.GTC,
            "stop_loss": Ticks(FAR_BELOW - 1000),
            "reduce_only": purpose is Purpose.EXIT,
        }
        return NewOrder(**(fields | more))

    def approved(self, order):
        signal = Signal(
            instrument=order.instrument, side=order.side, strength=1.0, ts_event=1, entry=FAR_BELOW, stop_loss=1
        )
        return IntentApproved(intent=Intent(id=order.intent, signal=signal, size=order.size, ts_recv=1))

    def step(self, *facts, commands=(), event=A_TIMER):
        self.number += 1
        self.auditor.observe(Engine, event, Step(self.number, self.heap.now + self.ahead, facts, commands))

    def decide(self, order, *facts):
        self.step(*facts, commands=(SubmitOrder(order=order),))

    def send(self, order, **more):
        """It arrives at the exchange; `more` are its parameters that are other than they should be."""
        symbol = split_instrument_id(order.instrument)[2]
        rules = self.host.trading.market.instruments[symbol]
        params = {
            "symbol": symbol,
            "side": "Buy" if order.side is Side.BUY else "Sell",
            "orderType": "Limit" if order.type is OrderType.LIMIT else "Market",
            "qty": str(rules.size(order.size)),
            "orderLinkId": order.client_order_id,
            "reduceOnly": order.reduce_only,
            "timeInForce": "GTC" if order.type is OrderType.LIMIT else "IOC",
        }
        if order.price is not None:
            params["price"] = str(rules.price(order.price))
        if order.stop_loss is not None:
            params |= {"stopLoss": str(rules.price(order.stop_loss)), "tpslMode": "Full"}
        self.tell("order/create", **{name: value for name, value in (params | more).items() if value is not None})

    def enter(self, order, **more):
        """All of it, as it should be."""
        self.decide(order, self.approved(order))
        self.auditor.records.synced = self.number
        self.send(order, **more)
        return order

    @property
    def broken(self):
        return None if self.auditor.breach is None else self.auditor.breach.invariant


@pytest.fixture
def hand():
    """It has done everything right so far, with one order that rests in another instrument."""
    hand = Hand().prepare().prepare("ETHUSDT").prepare("SOLUSDT")
    hand.enter(
        hand.order("right", intent="i0", instrument=ETH, size=10, price=Ticks(300_000), stop_loss=Ticks(299_000))
    )
    assert hand.auditor.orders == 1
    assert hand.broken is None, hand.auditor.breach
    return hand


def a_position(hand, **more):
    """Buy at market; the execution's row."""
    hand.enter(hand.order("taken", intent="i9", type=OrderType.MARKET, price=None), **more)
    (kept,) = list(hand.host.trading.executions.rows)[-1:]
    return kept.row


def a_bare_position(hand):
    """Somebody took its stop away."""
    a_position(hand)
    hand.tell("position/trading-stop", symbol="BTCUSDT", stopLoss="0", positionIdx=0)


def test_1_a_position_may_be_without_a_stop_for_three_seconds(hand):
    a_bare_position(hand)
    hand.pass_time(3 * SECOND)
    assert hand.broken is None
    hand.pass_time(2 * SECOND)
    assert hand.broken == 1
    assert "BTCUSDT" in hand.auditor.breach.what


def test_1_time_in_which_nobody_is_reached_does_not_count_and_five_seconds_do_after_it(hand):
    a_bare_position(hand)
    hand.is_reachable = False
    hand.pass_time(60 * SECOND)
    hand.is_reachable = True
    hand.pass_time(5 * SECOND)
    assert hand.broken is None
    hand.pass_time(2 * SECOND)
    assert hand.broken == 1


def test_1_a_stop_that_comes_in_time_ends_it(hand):
    a_bare_position(hand)
    hand.pass_time(2 * SECOND)
    hand.tell("position/trading-stop", symbol="BTCUSDT", stopLoss="60000", positionIdx=0)
    hand.pass_time(20 * SECOND)
    assert hand.broken is None


def test_2_two_entries_of_one_intent(hand):
    hand.enter(hand.order("again", intent="i0", size=1))
    assert hand.broken == 2


def test_2_an_entry_while_another_one_rests_in_its_instrument(hand):
    hand.enter(hand.order("first", intent="i1", size=1))
    assert hand.broken is None
    hand.enter(hand.order("second", intent="i2", size=1))
    assert hand.broken == 2
    assert "under way" in hand.auditor.breach.what


def test_2_one_id_for_two_orders(hand):
    hand.decide(hand.order("right", intent="i0", size=1))
    assert hand.broken == 2


def test_3_more_at_stake_than_the_limit_open_orders_counted(hand):
    hand.enter(hand.order("second", intent="i2", size=5))
    assert hand.broken is None
    third = hand.order("third", intent="i3", instrument=SOL, size=40, price=Ticks(14_000), stop_loss=Ticks(13_900))
    hand.enter(third)
    assert hand.broken == 3


def test_3_what_only_reduces_does_not_count(hand):
    a_position(hand)
    out = hand.order("out", intent="i9", purpose=Purpose.EXIT, price=Ticks(660_000), stop_loss=None)
    hand.step(ExitDecided(instrument=BTC, reason=Reason.OPERATOR))
    hand.decide(out)
    hand.auditor.records.synced = hand.number
    hand.send(out)
    assert hand.broken is None


@pytest.mark.parametrize("wrong", [{"stopLoss": None, "tpslMode": None}, {"stopLoss": "1"}])
def test_1_an_entry_that_arrives_without_the_stop_that_was_decided_with_it(hand, wrong):
    hand.enter(hand.order("bare"), **wrong)
    assert hand.broken == 1
    assert "arrived with stop" in hand.auditor.breach.what


def test_4_an_order_before_the_leverage_was_set():
    hand = Hand()
    hand.enter(hand.order("early"))
    assert hand.broken == 4


def test_4_an_order_of_a_life_that_has_asserted_nothing(hand):
    hand.auditor.records.begin(2, hand.number, lost_power=False)
    hand.host.forget_asked()
    hand.enter(hand.order("second-life", intent="i2", size=1))
    assert hand.broken == 4
    assert "asserted" in hand.auditor.breach.what


def test_6_an_order_that_nobody_decided(hand):
    hand.send(hand.order("nobodys", intent="i2", size=1))
    assert hand.broken == 6


def test_6_an_order_that_arrives_before_it_is_durable(hand):
    order = hand.order("hasty", intent="i2", size=1)
    hand.decide(order, hand.approved(order))
    hand.send(order)
    assert hand.broken == 6
    assert "durable" in hand.auditor.breach.what


@pytest.mark.parametrize("lost_power", [False, True])
def test_6_a_journal_that_is_shorter_than_what_was_safe(hand, lost_power):
    """What was handed over survives the process, what was synced the power too."""
    records = hand.auditor.records
    records.handed_over, records.synced = 5, 3
    records.begin(2, 5 if not lost_power else 3, lost_power=lost_power)
    assert hand.broken is None
    records.handed_over, records.synced = 5, 3
    records.begin(3, 4 if not lost_power else 2, lost_power=lost_power)
    assert hand.broken == 6


def test_what_a_crash_has_taken_back_may_happen_otherwise(hand):
    lost = hand.order("lost", intent="i2", size=1)
    hand.decide(lost, hand.approved(lost))
    hand.step(a_transition(None, OrderStatus.PENDING))
    hand.auditor.records.begin(2, hand.number - 2, lost_power=False)
    hand.prepare()
    other = hand.order("lost", intent="i2", size=2)
    hand.enter(other)
    hand.step(a_transition(None, OrderStatus.PENDING))
    assert hand.broken is None


def test_6_an_entry_and_an_exit_without_a_decision(hand):
    hand.decide(hand.order("why", intent="i2"))
    assert hand.broken == 6
    other = Hand()
    other.decide(other.order("out", purpose=Purpose.EXIT))
    assert other.broken == 6


def a_transition(before, after):
    return OrderTransitioned(
        client_order_id=ClientOrderId("right"), instrument=BTC, before=before, after=after, cause="", filled=Lots(0)
    )


def test_6_a_state_that_does_not_follow_from_the_last_one(hand):
    hand.step(a_transition(None, OrderStatus.PENDING), a_transition(OrderStatus.PENDING, OrderStatus.PLACED))
    assert hand.broken is None
    hand.step(a_transition(OrderStatus.PENDING, OrderStatus.FILLED))
    assert hand.broken == 6


def test_6_a_position_whose_history_has_a_hole(hand):
    facts = {"position": PositionId("p"), "instrument": BTC, "intent": IntentId("i"), "strategy": "", "cause": ""}
    facts |= {"side": Side.BUY, "size": Lots(0)}
    hand.step(PositionTransitioned(**facts, before=None, after=PositionStatus.OPENING))
    assert hand.broken is None
    hand.step(PositionTransitioned(**facts, before=PositionStatus.OPEN, after=PositionStatus.CLOSED))
    assert hand.broken == 6


def a_change(state, reason=Reason.DAILY_LOSS):
    return TradingStateChanged(state=state, reason=reason, detail="")


def a_request(kind):
    return kind(ts_event=1, ts_recv=1, actor="a", request_id="1")


def test_7_an_entry_while_halted(hand):
    hand.step(a_change(TradingState.HALTED))
    hand.step(a_change(TradingState.ACTIVE, Reason.OPERATOR), event=a_request(ReleaseHalt))
    hand.enter(hand.order("released", intent="i2", size=1))
    assert hand.broken is None
    hand.step(a_change(TradingState.HALTED))
    hand.enter(hand.order("halted", intent="i3", size=1))
    assert hand.broken == 7


def test_7_a_bot_that_forgets_a_halt_by_itself(hand):
    hand.step(a_change(TradingState.HALTED))
    hand.step(a_change(TradingState.ACTIVE, Reason.RECOVERING))
    hand.enter(hand.order("forgotten", intent="i3", size=1))
    assert hand.broken == 7


def test_7_a_halt_for_the_loss_of_a_day_ends_with_it(hand):
    hand.step(a_change(TradingState.HALTED))
    hand.ahead = DAY
    hand.step(a_change(TradingState.ACTIVE))
    hand.enter(hand.order("tomorrow", intent="i3", size=1))
    assert hand.broken is None


def test_7_an_entry_while_paused(hand):
    hand.step(event=a_request(PauseEntries))
    hand.step(event=a_request(ResumeEntries))
    hand.enter(hand.order("resumed", intent="i2", size=1))
    assert hand.broken is None
    hand.step(event=a_request(PauseEntries))
    hand.enter(hand.order("paused", intent="i3", size=1))
    assert hand.broken == 7


def test_7_a_new_life_does_not_forget_a_halt(hand):
    hand.step(a_change(TradingState.HALTED))
    hand.auditor.records.begin(2, hand.number, lost_power=False)
    hand.enter(hand.order("forgotten", intent="i3", size=1))
    assert hand.broken == 7


def test_7_what_an_operator_was_told_of_is_lost(hand):
    hand.step(TradingStateChanged(state=TradingState.HALTED, reason=Reason.OPERATOR, detail=""))
    hand.auditor.records.acknowledged = hand.number
    hand.auditor.records.begin(2, hand.number - 1, lost_power=True)
    assert hand.broken == 7


def a_booking(row, **more):
    fields = {
        "execution_id": ExecutionId(row.exec_id),
        "client_order_id": ClientOrderId(row.order_link_id),
        "instrument": BTC,
        "position": PositionId("p"),
        "side": Side.BUY,
        "price": Ticks(int(Decimal(row.exec_price) * 10)),
        "size": Lots(int(Decimal(row.exec_qty) * 1000)),
        "fee": Decimal(row.exec_fee),
        "realised_pnl": Decimal(0),
        "is_maker": False,
        "origin": FillOrigin.ORDER,
        "ts_event": 1,
        "mid_ticks": 0.0,
    }
    return FillBooked(**(fields | more))


def test_8_a_fill_that_there_never_was_is_booked(hand):
    row = a_position(hand)
    hand.step(a_booking(row))
    assert hand.broken is None
    hand.step(a_booking(row, execution_id=ExecutionId("made up")))
    assert hand.broken == 8


@pytest.mark.parametrize("wrong", [{"size": Lots(4)}, {"price": Ticks(1)}])
def test_8_a_fill_is_booked_wrongly(hand, wrong):
    row = a_position(hand)
    hand.step(a_booking(row, size=Lots(1)))
    hand.step(a_booking(row, **({"size": Lots(4)} | wrong)))
    hand.step(a_booking(row, **({"size": Lots(1)} | wrong)))
    assert hand.broken == 8


def test_8_a_fill_is_not_booked_at_all(hand):
    row = a_position(hand)
    hand.step(a_booking(row, size=Lots(4)))
    hand.auditor.all_booked()
    assert hand.broken == 8


def test_8_funding_that_was_not_charged(hand):
    hand.step(FundingBooked(execution_id=ExecutionId("f"), instrument=BTC, amount=Decimal(1)))
    assert hand.broken == 8


def test_8_a_ledger_that_does_not_add_up(hand):
    class Wrong(Engine):
        class state:  # noqa: N801
            class portfolio:  # noqa: N801
                class ledger:  # noqa: N801
                    is_balanced = False

    row = a_position(hand)
    hand.auditor.observe(Wrong, A_TIMER, Step(99, hand.heap.now, (a_booking(row),)))
    assert hand.broken == 8


def test_8_a_wallet_that_changes_by_more_than_its_executions(hand):
    a_position(hand)
    hand.host.trading.balance += Decimal("0.00000001")
    hand.enter(hand.order("another", intent="i2", size=1))
    assert hand.broken == 8


# --- with the whole bot ---------------------------------------------------------------------------------------------


def a_plan(seconds=6.0, **more):
    return Plan(seed=3, seconds=seconds, **more)


def test_the_whole_bot_without_a_fault_breaks_nothing():
    outcome = World(a_plan()).run()
    assert outcome.breach is None
    assert outcome.orders > 3
    assert outcome.story == ()


def test_0_a_bug_of_ours_ends_the_process():
    world = World(a_plan())
    world.heap.at(world.moment(2), lambda: world.process.time.timers(0, lambda: 1 // 0))
    breach = world.run().breach
    assert breach.invariant == 0
    assert breach.at_s == 2.0
    assert "ZeroDivisionError" in breach.what


def test_1_a_bot_whose_patience_without_a_stop_is_too_long(monkeypatch):
    monkeypatch.setattr("stakan.core.engine.lifecycle.GUARD_NS", MINUTE)
    plan = a_plan(20.0)
    settings = settings_of(plan)
    engine = settings.engine.model_copy(update={"protection_timeout": "1m"})
    world = World(plan, settings.model_copy(update={"engine": engine}))

    def strip():
        for symbol, holding in world.host.trading.holdings.items():
            if holding.lots and "StopLoss" in holding.legs:
                params = {"category": "linear", "symbol": symbol, "stopLoss": "0", "positionIdx": 0}
                world.host.account.handle("position/trading-stop", params, world.heap.now)
        world.heap.later(SECOND // 10, strip)

    world.heap.at(world.moment(2), strip)
    outcome = world.run()
    assert outcome.breach.invariant == 1
    assert any("ProtectionChanged" in line or "SubmitOrder" in line for line in outcome.story)


def test_5_somebody_else_trades_on_the_account_at_the_last_moment():
    class Meddled(World):
        def _compare(self):
            params = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
            assert self.host.account.handle("order/create", params, self.heap.now).code == 0
            super()._compare()

    assert Meddled(a_plan()).run().breach.invariant == 5


def test_a_bot_that_is_never_told_of_an_execution_mends_its_books_and_the_rest_is_still_compared(monkeypatch):
    """Executions that have no name of ours are not listed, nor told on the private stream."""

    def of_ours(found):
        return tuple(row for row in found if getattr(row, "order_link_id", "ours"))

    class Silent(World):
        def __init__(self, plan):
            super().__init__(plan)
            trading = self.host.trading
            drain = trading.drain
            trading.drain = lambda: [msgspec.structs.replace(push, rows=of_ours(push.rows)) for push in drain()]

    kind, listed = accounts._HANDLERS["execution/list"]

    def listed_of_ours(trading, asked, now):
        answer = listed(trading, asked, now)
        return answer | {"list": of_ours(answer["list"])}

    monkeypatch.setitem(accounts._HANDLERS, "execution/list", (kind, listed_of_ours))
    plan = Plan(seed=3, seconds=30.0, faults=(Meddle(at_s=10.0, deed="open", symbol=1),))
    outcome = Silent(plan).run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    assert outcome.mended["Repaired"]
    assert outcome.mended["BalanceCorrected"]
    projected = rows.projected

    def with_a_fill_less(disk, runs):
        batch = projected(disk, runs)
        table = batch.inserts[tables.fills]
        del table[next(key for key, row in table.items() if "ETHUSDT" not in row["instrument"])]
        return batch

    monkeypatch.setattr(rows, "projected", with_a_fill_less)
    breach = Silent(plan).run().breach
    assert breach.invariant == 8


def test_what_a_plan_says_is_what_happens():
    """A connection that breaks is seen in the outcome, and only there where it was planned."""
    calm, broken = a_plan(), a_plan(faults=(Reset(at_s=3, stream=Stream.PRIVATE),))
    first, second = World(calm).run(), World(broken).run()
    assert (first.faults, second.faults) == ({}, {"reset": 1})
    assert msgspec.json.decode(msgspec.json.encode(broken), type=Plan) == broken


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_bot_that_is_killed_after_an_order_goes_on(calls, power):
    kills = tuple(Kill(at_s=at, calls=calls, after="order", down_s=0.5, power=power) for at in (1.0, 4.0))
    outcome = World(a_plan(8.0, faults=kills)).run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    # The last life begins after the bad weather, to see that one agrees from the start.
    assert (outcome.kills, outcome.lives) == (2, 4)
    assert outcome.orders > 3


@pytest.mark.parametrize("operations", range(1, 7))
def test_a_bot_that_is_killed_at_the_disk_goes_on(operations):
    kills = tuple(KillAtDisk(at_s=at, operations=operations, down_s=0.5, power=at > 3) for at in (1.0, 4.0))
    outcome = World(a_plan(8.0, faults=kills)).run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    assert outcome.kills == 2


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("operations", [1, 2])
def test_a_bot_that_is_killed_at_the_disk_while_an_order_waits_for_it_goes_on(operations, power):
    kills = tuple(
        KillAtDisk(at_s=at, operations=operations, after="order", down_s=0.5, power=power) for at in (1.0, 6.0)
    )
    outcome = World(a_plan(14.0, faults=kills)).run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    assert outcome.faults == {"kill at disk, an order waiting": 2}
    assert outcome.orders > 3


def test_a_journal_goes_to_the_disk_as_often_as_the_plan_says():
    operations = []
    for interval in ("50ms", "200ms", "1s"):
        world = World(a_plan(journal_interval=interval))
        assert world.run().breach is None
        operations.append(world.disk.operations)
    assert operations[0] > 2 * operations[1] > 4 * operations[2]


def test_a_bot_whose_entries_are_filled_in_part_while_it_cancels_them_goes_on():
    script = Script(at_s=1.0, operation="order/cancel", trouble=Trouble.PARTIAL_CANCEL, count=9)
    world = World(Plan(seed=5, seconds=60.0, faults=(script,)))
    outcome = world.run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    assert outcome.faults["partial cancel"] > 1
    orders = rows.projected(world.disk, world.runs()).inserts[tables.orders].values()
    ended = [row for row in orders if row["status"] == "cancelled" and 0 < row["filled_lots"] < row["size_lots"]]
    assert len(ended) > 1


def test_a_bot_whose_disk_is_full_opens_nothing_and_goes_on_when_there_is_room():
    world = World(a_plan(12.0, faults=(FullDisk(at_s=3.0, until_s=6.0),)))
    outcome = world.run()
    assert outcome.breach is None, (outcome.breach, *outcome.story)
    told = [line for line in world._story.lines() if "TradingStateChanged" in line]
    assert any("disk" in line for line in told) or outcome.lives > 2


def test_6_a_journal_that_loses_what_it_had_synced():
    world = World(a_plan(8.0, faults=(Kill(at_s=4.0, down_s=0.5, power=True),)))
    lose = world.disk.lose_power

    def lose_more():
        lose()
        for path, file in world.disk._files.items():
            if path.suffix == ".journal":
                del file.durable[len(file.durable) // 2 :]

    world.disk.lose_power = lose_more
    assert world.run().breach.invariant == 6


def rows_of_a_sound_world():
    """Rows of its journals; closed orders of ours, executions and instruments at the exchange."""
    world = World(a_plan())
    assert world.run().breach is None
    trading = world.host.trading
    theirs = [order for order in trading.orders.closed if order.link_id]
    executions = [kept.row for kept in trading.executions.rows]
    return rows.projected(world.disk, world.runs()), theirs, executions, trading.market.instruments


def test_6_a_row_that_is_missing_or_wrong():
    """The journals are projected to rows, and these are held against the exchange's books."""
    batch, theirs, executions, rules = rows_of_a_sound_world()
    assert list(rows.orders_without_record(batch, theirs, Mended())) == []
    assert list(rows.executions_without_record(batch, executions, rules, Mended())) == []
    assert list(rows.positions_that_differ(batch, executions, rules)) == []
    table = batch.inserts[tables.orders]
    del table[next(iter(table))]
    wrong = next(iter(batch.inserts[tables.fills].values()))
    wrong["size_lots"] += 1
    assert len(list(rows.orders_without_record(batch, theirs, Mended()))) == 1
    assert len(list(rows.executions_without_record(batch, executions, rules, Mended()))) == 1
    assert len(list(rows.positions_that_differ(batch, executions, rules))) == 1
    wrong["execution_id"] = "made up"
    assert len(list(rows.executions_without_record(batch, executions, rules, Mended()))) == 2


def test_8_rows_of_an_instrument_that_was_mended_may_tell_of_less_but_of_nothing_else():
    """What nobody told of is booked as one fill of its own: the position is right, and nothing was made up."""
    batch, theirs, executions, rules = rows_of_a_sound_world()
    told = next(iter(batch.inserts[tables.fills].values()))
    symbol = split_instrument_id(told["instrument"])[2]
    mended = Mended(symbols={symbol})
    order = batch.inserts[tables.orders][told["client_order_id"],]
    order["filled_lots"] -= told["size_lots"]
    told |= {"origin": FillOrigin.REPAIR.value, "execution_id": "repair-1"}

    def problems(mended):
        found = list(rows.orders_without_record(batch, theirs, mended))
        found += rows.executions_without_record(batch, executions, rules, mended)
        return [*found, *rows.positions_that_differ(batch, executions, rules)]

    assert problems(mended) == []
    elsewhere = Mended(symbols=rules.keys() - {symbol}, is_balance=True)
    assert len(problems(elsewhere)) == len(problems(Mended())) == 2
    told["size_lots"] += 1
    assert len(problems(mended)) == 1
    told["size_lots"] -= 1
    told |= {"origin": FillOrigin.ORDER.value}
    assert len(problems(mended)) == 1
    order["filled_lots"] += 10 * told["size_lots"]
    assert len(problems(mended)) == 2


def test_8_funding_that_nobody_told_of_is_missed_unless_the_balance_was_mended():
    """Of a run over midnight, when it is charged."""
    day = 86_400 * SECOND
    world = World(a_plan(20.0, start_ns=20_000 * day - 12 * SECOND))
    assert world.run().breach is None
    batch = rows.projected(world.disk, world.runs())
    executions = [kept.row for kept in world.host.trading.executions.rows]
    rules = world.host.trading.market.instruments
    payments = batch.inserts.pop(tables.funding_payments)
    assert len(list(rows.executions_without_record(batch, executions, rules, Mended()))) == len(payments) > 0
    assert list(rows.executions_without_record(batch, executions, rules, Mended(is_balance=True))) == []


def test_6_an_audit_log_that_lacks_an_entry_ends_a_run(monkeypatch):
    projected = rows.projected

    def without_its_last_decision(disk, runs):
        batch = projected(disk, runs)
        last = next(entry for entry in reversed(batch.audit) if entry.action == "decision")
        batch.audit.remove(last)
        return batch

    monkeypatch.setattr(rows, "projected", without_its_last_decision)
    breach = World(a_plan()).run().breach
    assert breach.invariant == 6
    assert "lacks" in breach.what
