"""Closing an account in whatever weather: it ends flat, only ever reduces, and never touches a stop before that."""

from decimal import Decimal
from urllib.parse import parse_qs

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.flatten import exposure, flatten
from stakan.adapters.exchanges.bybit.rest import Answer, Pause, Request, ServerClock, Unanswered, judge_answer
from stakan.core.domain.units import SECOND

NOW = 1_700_000_000 * SECOND
MOST_REQUESTS = 20_000


class Account:
    """Positions under stops and entries that rest; market orders fill in parts where the test says so."""

    def __init__(self, positions, entries=0, shares=()):
        self.positions = {f"C{number}USDT": Decimal(size) for number, size in enumerate(positions)}
        self.stops = {symbol for symbol, size in self.positions.items() if size}
        self.entries = {f"e{number}": "C0USDT" for number in range(entries)}
        self.shares = list(shares)
        """Of what is left, by which each close is filled."""
        self.asked = []

    def answer(self, request):
        if request.body:
            body = msgspec.json.decode(request.body)
        else:
            body = {key: value[0] for key, value in parse_qs(request.query).items()}
        self.asked.append((request.path, body))
        return getattr(self, "_" + request.path.removeprefix("/v5/").replace("/", "_").replace("-", "_"))(body)

    def _market_time(self, _query):
        return {"timeNano": str(NOW)}

    def _position_list(self, _query):
        rows = [
            {
                "symbol": symbol,
                "side": "Buy" if size > 0 else "Sell",
                "size": str(abs(size)),
                "stopLoss": "9" if symbol in self.stops else "",
            }
            for symbol, size in self.positions.items()
            if size
        ]
        return {"list": rows}

    def _order_realtime(self, query):
        if query["orderFilter"] == "StopOrder":
            rows = [self._row(symbol, "", stopOrderType="StopLoss", reduceOnly=True) for symbol in self.stops]
        else:
            rows = [self._row(symbol, name) for name, symbol in self.entries.items()]
        return {"list": rows}

    def _row(self, symbol, name, **more):
        fields = {
            "symbol": symbol,
            "orderId": "v",
            "orderLinkId": name,
            "orderStatus": "New",
            "side": "Buy",
            "qty": "0.5",
        }
        return fields | more

    def _order_cancel_all(self, body):
        if body["orderFilter"] == "StopOrder":
            assert not any(self.positions.values()), "a stop was cancelled while a position was open"
            self.stops.discard(body["symbol"])
        else:
            assert body["orderFilter"] == "Order", "without the filter stops would go too"
            self.entries.clear()
        return {"list": [], "success": "1"}

    def _order_create(self, body):
        assert body["reduceOnly"] is True
        assert body["orderType"] == "Market"
        size = self.positions[body["symbol"]]
        assert body["side"] == ("Sell" if size > 0 else "Buy") or not size
        share = self.shares.pop(0) if self.shares else 1
        left = size * (1 - Decimal(share))
        self.positions[body["symbol"]] = left.quantize(Decimal("0.001"))
        return {"orderId": "v", "orderLinkId": body["orderLinkId"]}


def carry_out(procedure, account, weather=()):
    """Drive a procedure; `weather` says what the next requests meet, in their order."""
    weather, slept = list(weather), 0
    reply = None
    while True:
        try:
            wanted = procedure.send(reply)
        except StopIteration as end:
            return end.value, slept
        if isinstance(wanted, Pause):
            slept, reply = slept + wanted.ns, None
            continue
        assert isinstance(wanted, Request)
        assert len(account.asked) < MOST_REQUESTS, "it does not end"
        reply = meet(wanted, account, weather.pop(0) if weather else "fine")


def meet(request, account, how):
    if how == "down":
        account.asked.append((request.path, None))
        return judge_answer(request, Unanswered("no connection", was_sent=False))
    if how in ("silence", "lost"):
        if how == "lost":
            account.answer(request)
        return judge_answer(request, Unanswered("no answer", was_sent=True))
    result = account.answer(request) if how == "fine" else {}
    code = 0 if how == "fine" else how
    text = msgspec.json.encode({"retCode": code, "retMsg": f"code {code}", "result": result})
    return judge_answer(request, Answer(200, {}, text, NOW, NOW))


def flattened(account, weather=()):
    said = []
    closed, slept = carry_out(flatten("w-1", ServerClock(lambda: NOW), lambda: NOW, said.append), account, weather)
    return closed, slept, said


def creations(account):
    return [body for path, body in account.asked if path == "/v5/order/create" and body]


WEATHER = st.lists(
    st.one_of(
        st.just("fine"), st.sampled_from(["down", "silence", "lost", 10016, 10006, 10002, 110017, 10001, 10003, 110001])
    ),
    max_size=60,
)
SIZES = st.lists(st.decimals("-5", "5", places=3), min_size=1, max_size=4)


@given(SIZES, st.integers(0, 3), WEATHER, st.lists(st.sampled_from(["0", "0.3", "0.9", "1"]), max_size=12))
def test_in_whatever_weather_the_account_ends_flat(sizes, entries, weather, shares):
    account = Account(sizes, entries, shares)
    held = {symbol for symbol, size in account.positions.items() if size}
    closed, _, _ = flattened(account, weather)
    assert not any(account.positions.values())
    assert not account.entries
    assert held == set(closed)
    names = [body["orderLinkId"] for body in creations(account)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 36 for name in names)


def test_entries_go_first_then_positions_then_stops():
    account = Account(["2", "-1"], entries=1)
    flattened(account)
    paths = [path.removeprefix("/v5/") for path, _ in account.asked]
    first_close = paths.index("order/create")
    cancels = [index for index, path in enumerate(paths) if path == "order/cancel-all"]
    assert cancels[0] < first_close < cancels[-1]
    assert [body["orderFilter"] for path, body in account.asked if path.endswith("cancel-all")][-2:] == [
        "StopOrder"
    ] * 2
    assert not account.stops


def test_a_flat_account_is_read_twice_and_left_alone():
    account = Account(["0"])
    closed, slept, said = flattened(account)
    assert (closed, said) == ((), [])
    assert not creations(account)
    assert slept == SECOND


def test_an_entry_that_fills_between_two_readings_is_closed_too():
    account = Account(["1"])
    answer = account.answer

    def late(request):
        found = answer(request)
        if request.path == "/v5/order/create" and len(creations(account)) == 1:
            account.positions["C1USDT"] = Decimal(3)
            account.stops.add("C1USDT")
        return found

    account.answer = late
    closed, _, _ = flattened(account)
    assert set(closed) == {"C0USDT", "C1USDT"}
    assert not any(account.positions.values())


def test_while_the_exchange_is_away_it_asks_less_and_less_often_but_never_stops():
    account = Account(["1"])
    closed, slept, said = flattened(account, ["down"] * 200)
    assert closed == ("C0USDT",)
    assert slept > 100 * SECOND
    assert any("no connection" in text for text in said)


def test_a_cancel_that_is_refused_does_not_keep_positions_open():
    account = Account(["1"])
    # The clock, then the cancel.
    flattened(account, ["fine", 10001])
    assert len(creations(account)) == 1


def test_what_is_open_is_told_for_people():
    account = Account(["1", "-2"], entries=1)
    account.stops.discard("C1USDT")
    found, _ = carry_out(exposure(), account)
    held = "C0USDT Buy 1 under its stop at 9, C1USDT Sell 2 WITHOUT A STOP"
    assert found.text == f"{held}, entry C0USDT Buy 0.5"
    assert not found.is_nothing
    nothing, _ = carry_out(exposure(), Account(["0"]))
    assert nothing.is_nothing
    assert nothing.text == "nothing"
