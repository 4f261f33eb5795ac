"""A rehearsal's judge finds what it looks for, and a short storm is survived."""

from decimal import Decimal

import pytest
from tests.adapters.journal.builders import a_journal

from stakan.adapters.synthetic.config import perpetual
from stakan.apps.demo import DemoPlan
from stakan.apps.rehearse import AFTER_OUTAGE_S, UNPROTECTED_S, differences, doubled, exposures, journals_of, rehearse
from stakan.core.domain.events import OrderAccepted, OrderFilled, ProtectionChanged
from stakan.core.domain.ids import ClientOrderId, ExecutionId, IntentId
from stakan.core.domain.orders import NewOrder, OrderType, Purpose, TimeInForce
from stakan.core.domain.units import SECOND, Side
from stakan.core.portfolio.portfolio import Portfolio

pytestmark = pytest.mark.usefixtures("compiled")

BTC = perpetual("BTC", "0.1", "0.001", 2_000_000)
FEE = Decimal("0.35")


def an_order(name, intent="i1", purpose=Purpose.ENTRY):
    return NewOrder(
        client_order_id=ClientOrderId(name),
        instrument=BTC.id,
        intent=IntentId(intent),
        purpose=purpose,
        side=Side.BUY,
        size=10,
        type=OrderType.LIMIT,
        price=640_000,
        time_in_force=TimeInForce.IOC,
        stop_loss=630_000,
    )


def a_row(name, filled="0.010"):
    return {"orderLinkId": name, "cumExecQty": filled}


def test_ids_and_intents_that_became_two_orders_are_named():
    sent = {name: an_order(name, intent) for name, intent in (("a", "i1"), ("b", "i1"), ("c", "i2"))}
    sent["x"] = an_order("x", "i2", Purpose.EXIT)
    assert doubled([a_row("a"), a_row("b", "0"), a_row("c"), a_row("x")], sent) == ()
    assert doubled([a_row("a"), a_row("b"), a_row("c")], sent) == ("i1",)
    assert doubled([a_row("c"), a_row("c", "0")], sent) == ("c",)


def test_time_without_a_stop_counts_only_while_the_exchange_answers():
    audit = [{"since": 10 * SECOND, "until": 20 * SECOND}]
    assert exposures(audit, []) == [(10.0, UNPROTECTED_S)]
    assert exposures(audit, [(12 * SECOND, 18 * SECOND)]) == [(4.0, AFTER_OUTAGE_S)]
    assert exposures(audit, [(30 * SECOND, 40 * SECOND)]) == [(10.0, UNPROTECTED_S)]


def test_a_bot_that_was_killed_while_it_began_leaves_no_journal_to_be_judged(tmp_path):
    runs = tmp_path / "runs"
    with a_journal(runs / "1" / "journal"):
        pass
    (runs / "2" / "journal").mkdir(parents=True)
    (runs / "3").mkdir()
    (runs / "4" / "journal").mkdir(parents=True)
    (runs / "4" / "journal" / "000001.journal").write_bytes(b"SJB")
    assert journals_of(tmp_path) == [runs / "1" / "journal"]


class Books:
    """An exchange that answers what it is told to."""

    def __init__(self, position=(), orders=(), balance="10000"):
        self._lists = {"position/list": list(position), "order/realtime": list(orders)}
        self._balance = balance

    def all(self, operation, **_query):
        return self._lists[operation]

    def get(self, _operation, **_query):
        return {"list": [{"coin": [{"walletBalance": self._balance}]}]}


def a_position(size="0.010", side="Buy", stop="63000"):
    return {"symbol": "BTCUSDT", "size": size, "side": side, "stopLoss": stop}


@pytest.fixture
def holding():
    """A portfolio with one protected position and a fee paid."""
    portfolio = Portfolio.opened([BTC], Decimal(10_000))
    order = an_order("a")
    portfolio.submit(order, 1)
    common = {"ts_event": 2, "ts_recv": 2, "instrument": BTC.id}
    portfolio.apply(OrderAccepted(**common, client_order_id=order.client_order_id), 0.0)
    portfolio.apply(
        OrderFilled(
            **common, client_order_id=order.client_order_id, execution_id=ExecutionId("e1"), side=Side.BUY,
            price=640_000, size=10, fee=FEE, is_maker=False,
        ),
        0.0,
    )  # fmt: skip
    portfolio.apply(ProtectionChanged(**common, stop_loss=630_000, take_profit=None), 0.0)
    return portfolio


def test_equal_books_have_no_difference(holding):
    assert list(differences(holding, Books([a_position()], balance="9999.65"))) == []


@pytest.mark.parametrize(
    ("books", "said"),
    [
        (Books([], balance="9999.65"), "position of BTCUSDT: the bot has 0.010, the exchange 0"),
        (Books([a_position(size="0.011")], balance="9999.65"), "the exchange 0.011"),
        (Books([a_position(side="Sell")], balance="9999.65"), "the exchange -0.010"),
        (Books([a_position(stop="")], balance="9999.65"), "stop of BTCUSDT: the bot has 63000.0, the exchange None"),
        (Books([a_position(stop="62999.9")], balance="9999.65"), "the exchange 62999.9"),
        (Books([a_position()], [a_row("b")], "9999.65"), "order b is open at the exchange alone"),
        (Books([a_position()], balance="9999.6500001"), "balance: the bot has 9999.65, the exchange 9999.6500001"),
    ],
)
def test_every_difference_is_told(holding, books, said):
    (found,) = differences(holding, books)
    assert said in found


def test_an_order_that_only_the_bot_has_is_told(holding):
    holding.submit(an_order("c", "i1"), 3)
    (found,) = differences(holding, Books([a_position()], balance="9999.65"))
    assert found == "order c is open at the bot alone"


@pytest.mark.slow
def test_a_short_storm_is_survived(tmp_path):
    plan = DemoPlan(folder=tmp_path / "d", chaos="storm", with_console=False)
    verdict = rehearse(plan, minutes=0.3, calm_s=8)
    assert verdict.is_good, verdict
    assert sum(verdict.faults.values()) > 5
    assert verdict.orders > 0


@pytest.mark.slow
def test_a_bot_that_is_killed_again_and_again_agrees_with_its_exchange(tmp_path):
    plan = DemoPlan(folder=tmp_path / "d", with_console=False, seed=3)
    verdict = rehearse(plan, minutes=0.1, calm_s=5, kills=3)
    assert verdict.is_good, verdict
    assert verdict.kills == 3
    assert verdict.runs > 1
