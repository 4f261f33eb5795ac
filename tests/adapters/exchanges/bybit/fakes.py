"""A scripted Bybit without sockets: time that a test moves, and an exchange that does what it is told to do."""

import heapq
import itertools
from decimal import Decimal
from urllib.parse import parse_qs

import msgspec
import numpy as np

from stakan.adapters.exchanges.bybit import messages
from stakan.adapters.exchanges.bybit.context import Patience, Ports
from stakan.adapters.exchanges.bybit.rest import Answer, Unanswered
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.core.domain.events import AccountRead, AccountUnread
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderType, Purpose, TimeInForce
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Side, Ticks

BTC = InstrumentId("bybit:linear:BTCUSDT")
RULES = Instrument(
    id=BTC,
    category=Category.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
)
START = 1_700_000_000 * SECOND
ACK = 2 * MILLISECOND


class Time:
    """Virtual time."""

    def __init__(self):
        self.now = START
        self._calls = []
        self._numbers = itertools.count()

    def clock(self):
        self.now += 1
        return self.now

    def timers(self, delay, call):
        entry = [self.now + delay, next(self._numbers), call]
        heapq.heappush(self._calls, entry)

        def call_off():
            entry[2] = None

        return call_off

    def run(self, duration):
        """Let so much time pass."""
        end = self.now + duration
        while self._calls and self._calls[0][0] <= end:
            at, _, call = heapq.heappop(self._calls)
            self.now = max(self.now, at)
            if call is not None:
                call()
        self.now = max(self.now, end)


def order(name="s-1", **more):
    fields = {
        "client_order_id": ClientOrderId(name),
        "instrument": BTC,
        "intent": IntentId("i"),
        "purpose": Purpose.ENTRY,
        "side": Side.BUY,
        "size": Lots(10),
        "type": OrderType.LIMIT,
        "price": Ticks(640_000),
        "time_in_force": TimeInForce.GTC,
        "stop_loss": Ticks(630_000),
    }
    return NewOrder(**(fields | more))


class Exchange:
    """Orders, executions and positions of one account, and a script of codes and silences.

    `script[path]` is a list of what the next requests to it meet: a code, "silence" (never answered), "lost"
    (carried out, never answered), or "down" (no connection). Without one a request is carried out and answered.
    """

    def __init__(self, time):
        self.time = time
        self.script = {}
        self.requests = []
        self.orders = {}
        self.executions = []
        self.positions = {"BTCUSDT": {"size": "0", "side": "", "stopLoss": "", "leverage": "10"}}
        self.margin_mode = "REGULAR_MARGIN"
        self.hidden = set()
        """Orders that exist and that no query shows."""
        self.on_row = None
        """Told of every change of an order, for a private stream."""
        self._numbers = itertools.count(1)

    # --- wires ------------------------------------------------------------------------------------------------------

    def transport(self, request, done):
        body = (
            msgspec.json.decode(request.body) if request.body else {k: v[0] for k, v in parse_qs(request.query).items()}
        )
        sent = self.time.now
        outcome = self.carry(request.path, body)
        if outcome == "down":
            answer = Unanswered("no connection", was_sent=False)
        elif outcome in ("silence", "lost"):
            answer = Unanswered("no answer", was_sent=True)
        else:
            code, result = outcome
            text = msgspec.json.encode({"retCode": code, "retMsg": f"code {code}" if code else "OK", "result": result})
            answer = None
            self.time.timers(ACK, lambda: done(Answer(200, {}, text, sent, self.time.now)))
        if answer is not None:
            self.time.timers(ACK, lambda: done(answer))

    def carry(self, path, body):
        """What becomes of a request: an outcome, or (code, result)."""
        self.requests.append((path, body))
        planned = self.script.get(path, [])
        step = planned.pop(0) if planned else 0
        if step in ("silence", "down"):
            return step
        if step not in (0, "lost"):
            return (step, {})
        answer = getattr(self, "_" + path.removeprefix("/v5/").replace("/", "_").replace("-", "_"))(body)
        return "lost" if step == "lost" else answer

    def sent(self, path):
        """Bodies of the requests to a path."""
        return [body for asked, body in self.requests if asked == path]

    # --- orders -----------------------------------------------------------------------------------------------------

    def _order_create(self, body):
        if body["orderLinkId"] in self.orders:
            return (110072, {})
        row = {
            "category": "linear",
            "symbol": body["symbol"],
            "orderId": f"v-{next(self._numbers)}",
            "orderLinkId": body["orderLinkId"],
            "orderStatus": "New",
            "side": body["side"],
            "orderType": body["orderType"],
            "price": body.get("price", ""),
            "qty": body["qty"],
            "cumExecQty": "0",
            "createdTime": str(self.time.now // MILLISECOND),
            "updatedTime": str(self.time.now // MILLISECOND),
        }
        self.orders[body["orderLinkId"]] = row
        self._tell(row)
        return (0, {"orderId": row["orderId"], "orderLinkId": row["orderLinkId"]})

    def _order_cancel(self, body):
        names = {row["orderId"]: name for name, row in self.orders.items()}
        name = body.get("orderLinkId") or names.get(body["orderId"])
        row = self.orders.get(name)
        if row is None or row["orderStatus"] in ("Filled", "Cancelled"):
            return (110001, {})
        self.change(name, orderStatus="Cancelled", cancelType="CancelByUser")
        return (0, {"orderId": row["orderId"], "orderLinkId": row["orderLinkId"]})

    def _order_amend(self, body):
        row = self.orders.get(body["orderLinkId"])
        if row is None or row["orderStatus"] in ("Filled", "Cancelled"):
            return (110001, {})
        self.change(body["orderLinkId"], price=body["price"], qty=body["qty"])
        return (0, {"orderId": row["orderId"], "orderLinkId": row["orderLinkId"]})

    def change(self, name, **fields):
        """Change an order and tell the stream."""
        row = self.orders[name]
        row |= fields | {"updatedTime": str(self.time.now // MILLISECOND + 1)}
        self._tell(row)

    def fill(self, name, lots, *, is_told=True):
        """Execute lots of an order."""
        row = self.orders[name]
        filled = Decimal(row["cumExecQty"]) + lots * RULES.lot_size
        execution = {
            "category": "linear",
            "symbol": row["symbol"],
            "orderId": row["orderId"],
            "orderLinkId": name,
            "execId": f"x-{next(self._numbers)}",
            "execPrice": row["price"] or "64000.0",
            "execQty": f"{lots * RULES.lot_size:f}",
            "execFee": "0.01",
            "execType": "Trade",
            "side": row["side"],
            "execTime": str(self.time.now // MILLISECOND),
        }
        self.executions.append(execution)
        teller, self.on_row = self.on_row, self.on_row if is_told else None
        status = "Filled" if filled == Decimal(row["qty"]) else "PartiallyFilled"
        self.change(name, cumExecQty=f"{filled:f}", orderStatus=status)
        if self.on_row is not None:
            self.on_row("execution", execution)
        self.on_row = teller
        return execution["execId"]

    def _tell(self, row):
        if self.on_row is not None:
            self.on_row("order", dict(row))

    # --- queries ----------------------------------------------------------------------------------------------------

    def _order_realtime(self, query):
        if query.get("orderFilter") == "StopOrder":
            return (0, {"list": []})
        rows = [row for name, row in self.orders.items() if query.get("orderLinkId", name) == name]
        if "orderLinkId" not in query:
            rows = [row for row in rows if row["orderStatus"] in ("New", "PartiallyFilled")]
        return (0, {"list": [row for row in rows if row["orderLinkId"] not in self.hidden]})

    def _order_history(self, query):
        return self._order_realtime(query)

    def _execution_list(self, query):
        rows = [row for row in self.executions if query.get("orderLinkId", row["orderLinkId"]) == row["orderLinkId"]]
        rows = [row for row in rows if int(row["execTime"]) >= int(query.get("startTime", 0))]
        # Two rows a page, so that nothing works on the first page alone.
        start = int(query.get("cursor", 0))
        page = {"list": rows[start : start + 2]}
        if start + 2 < len(rows):
            page["nextPageCursor"] = str(start + 2)
        return (0, page)

    def _position_list(self, query):
        now = str(self.time.now // MILLISECOND)
        rows = [
            {"symbol": symbol, "positionIdx": 0, "updatedTime": now, "category": "linear"} | row
            for symbol, row in self.positions.items()
            if query.get("symbol", symbol) == symbol and ("symbol" in query or row["size"] != "0")
        ]
        return (0, {"list": rows})

    def _position_trading_stop(self, body):
        self.positions[body["symbol"]] |= {"stopLoss": body["stopLoss"], "takeProfit": body["takeProfit"]}
        return (0, {})

    def _position_switch_mode(self, body):
        return (110025, {})

    def _position_set_leverage(self, body):
        self.positions[body["symbol"]]["leverage"] = body["buyLeverage"]
        return (0, {})

    def _account_info(self, query):
        return (0, {"marginMode": self.margin_mode, "unifiedMarginStatus": 6})

    def _account_set_margin_mode(self, body):
        self.margin_mode = body["setMarginMode"]
        return (0, {"reasons": []})

    def _account_wallet_balance(self, query):
        return (0, {"list": [{"accountType": "UNIFIED", "coin": [{"coin": "USDT", "walletBalance": "1000"}]}]})

    def _market_time(self, query):
        return (0, {"timeSecond": str(self.time.now // SECOND), "timeNano": str(self.time.now)})

    def _user_query_api(self, query):
        return (
            0,
            {"readOnly": 0, "permissions": {"ContractTrade": ["Order", "Position"]}, "ips": ["10.0.0.1"], "uta": 1},
        )

    def _market_instruments_info(self, query):
        listed = {"BTCUSDT": "Trading", "OLDUSDT": "Closed"}
        wanted = query.get("symbol")
        # As at Bybit: the list holds what trades, a name is answered whatever its state.
        rows = [
            {"symbol": symbol, "status": status}
            for symbol, status in listed.items()
            if symbol == wanted or (wanted is None and status == "Trading")
        ]
        return (0, {"category": "linear", "list": rows})


class TradeSocket:
    """The trade socket of a venue and its exchange."""

    def __init__(self, bench):
        self.bench = bench
        self.frames = []
        self.is_broken = False

    def send(self, message):
        if self.is_broken:
            return False
        frame = msgspec.json.decode(message)
        self.frames.append(frame)
        path = "/v5/" + frame["op"].replace(".", "/")
        outcome = self.bench.exchange.carry(path, frame["args"][0])
        if isinstance(outcome, tuple):
            code, data = outcome
            reply = {
                "reqId": frame["reqId"],
                "op": frame["op"],
                "retCode": code,
                "retMsg": f"code {code}",
                "data": data,
            }
            text = msgspec.json.encode(reply)
            self.bench.time.timers(ACK, lambda: self._answer(text))
        return True

    def _answer(self, text):
        if self.bench.venue.trade is self:
            self.bench.venue.on_trade_answer(messages.read(messages.TradeFrame, text, "trade socket"))


class Bench:
    """A venue between a fake exchange and a list of what it told."""

    def __init__(self, *, by_socket=True, is_streaming=True, is_prepared=True, patience=None):
        self.time = Time()
        self.exchange = Exchange(self.time)
        self.told, self.halts, self.notes = [], [], []
        self.readings = []
        """What was told of the account as a whole."""
        self.is_inside_send = False
        self.ports = Ports(
            clock=self.time.clock,
            timers=self.time.timers,
            transport=self.exchange.transport,
            deliver=self._deliver,
            halt=self.halts.append,
            note=self.notes.append,
            chance=np.random.default_rng(7),
        )
        self.venue = BybitVenue(
            {BTC: RULES},
            "bybit",
            self.ports,
            patience=patience or Patience(),
            session="t",
        )
        self.socket = TradeSocket(self)
        self.venue.start()
        if by_socket:
            self.venue.on_trade_up(self.socket)
        if is_streaming:
            self.exchange.on_row = self.push
        self.venue.on_private_up()
        if is_prepared:
            self.prepare()
        self.time.run(2 * SECOND)
        if not is_streaming:
            # Only now, because after a while without it nothing is opened.
            self.venue.on_private_down("gone")
            self.notes.clear()
        self.exchange.requests.clear()
        self.told.clear()
        self.readings.clear()

    def prepare(self):
        failures = []
        self.venue.line.run(self.venue.prepare(RULES, Decimal(10)), lambda _: None, failures.append)
        self.time.run(SECOND)
        if failures:
            raise failures[0]

    def push(self, topic, row):
        """The private stream tells of a row, a little later."""
        text = msgspec.json.encode({"topic": topic, "creationTime": 1, "data": [row]})
        frame = messages.read(messages.PrivateFrame, text, topic)
        self.time.timers(3 * MILLISECOND, lambda: self.venue.on_private_frame(frame, self.time.clock()))

    def send(self, command):
        self.is_inside_send = True
        self.venue.send(command)
        self.is_inside_send = False

    def kinds(self):
        """What was told, by name."""
        return [type(event).__name__ for event in self.told]

    def _deliver(self, event):
        assert not self.is_inside_send, "told inside send"
        (self.readings if isinstance(event, AccountRead | AccountUnread) else self.told).append(event)
