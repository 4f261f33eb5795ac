"""The whole local exchange in virtual time, and clients that speak to it in frames and requests."""

import heapq
import json
from urllib.parse import urlencode

from stakan.adapters.exchanges.bybit.auth import request_headers, sign_login
from stakan.adapters.synthetic.config import SyntheticConfig, demo_symbols
from stakan.apps.exchange.accounts import AccountConfig, ApiKey
from stakan.apps.exchange.control import About, Control
from stakan.apps.exchange.feeds import generated
from stakan.apps.exchange.gateway import Request
from stakan.apps.exchange.local import LocalConfig, LocalExchange
from stakan.core.domain.units import MILLISECOND, SECOND, Side

START = 1_790_000_000 * SECOND
BTC = "BTCUSDT"
ALICE = ApiKey("alice", "alice-secret", note="alice")
BOB = ApiKey("bob", "bob-secret", note="bob")
ACCOUNTS = (AccountConfig(uid=1, keys=(ALICE,)), AccountConfig(uid=2, keys=(BOB,)))
HERE = "127.0.0.1"
ELSEWHERE = "203.0.113.7"


class Lab:
    """One exchange; time passes only in `run`."""

    def __init__(self, profile=None, symbols=1, open_market=None, **config):
        self.now = START
        self._timers = []
        self._count = 0
        values = {"accounts": ACCOUNTS, "reply_delay_ns": 0, "seed": 3} | config
        market = SyntheticConfig(symbols=demo_symbols()[:symbols], seed=5)
        self.local = LocalExchange(
            LocalConfig(**values),
            open_market or (lambda at: generated(market, at)),
            lambda: self.now,
            self._later,
            profile,
        )
        self.control = Control(
            self.local, About(market="test", is_synthetic=True, seed=3, symbols=(BTC,), started_ms=self.ms)
        )
        self.run(20)

    @property
    def ms(self):
        return self.now // MILLISECOND

    def run(self, ms, step=MILLISECOND):
        """Let time pass."""
        until = self.now + ms * MILLISECOND
        while self.now < until:
            self.now = min(self.now + step, until)
            while self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()
            self.local.pump()
        return self

    def jump(self, ns):
        """Let time pass for timers only; the market follows with the next `run`."""
        self.now += ns

    def price(self, share):
        """A price away from the best bid by a share, on the tick."""
        book = self.local.board.symbols[BTC].book
        return str(round(int(book.depth(Side.BUY, 1)[0, 0]) * (1 + share)) / 10)

    def ask(self, method, path, query="", headers=None, body=b"", address=HERE):
        """One request as it is."""
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        return self.local.handle(
            Request(method=method, path=path, query=query, headers=lower, body=body, address=address)
        )

    def get(self, operation, key=ALICE, **params):
        """A signed query; the decoded envelope."""
        query = urlencode(params)
        headers = request_headers(key.key, key.secret, self.ms, 5000, query.encode())
        return decoded(self.ask("GET", f"/v5/{operation}", query, headers))

    def post(self, operation, key=ALICE, **params):
        """A signed command; the decoded envelope."""
        return decoded(self.post_raw(operation, key, **params))

    def post_raw(self, operation, key=ALICE, **params):
        """A signed command; the response as it is."""
        body = json.dumps(params).encode()
        headers = request_headers(key.key, key.secret, self.ms, 5000, body)
        return self.ask("POST", f"/v5/{operation}", "", headers, body)

    def order(self, **changes):
        """Parameters of a small order that rests below the market."""
        values = {
            "category": "linear",
            "symbol": BTC,
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.010",
            "price": self.price(-0.01),
        }
        return values | changes

    def live(self, key=ALICE):
        """Orders that are open."""
        return self.get("order/realtime", key, category="linear", symbol=BTC, limit=50)["result"]["list"]

    def tell(self, method, name, body=None):
        """A request of the exchange's own."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.control.handle(Request(method=method, path=f"/local/v1/{name}", body=content, address=HERE))

    def connect(self, path, query=None, address=HERE):
        """A socket."""
        return Socket(self, path, query or {}, address)

    def private(self, *topics, key=ALICE):
        """A private socket with its topics; what was said on the way is forgotten."""
        socket = self.connect("/v5/private").login(key)
        socket.say(op="subscribe", args=list(topics))
        self.run(10)
        socket.frames.clear()
        return socket

    def trade(self, key=ALICE):
        """A trade socket that is logged in."""
        socket = self.connect("/v5/trade").login(key)
        self.run(10)
        socket.frames.clear()
        return socket

    def _later(self, ns, do):
        self._count += 1
        heapq.heappush(self._timers, (self.now + ns, self._count, do))


class Socket:
    """A client of one socket."""

    def __init__(self, lab, path, query, address):
        self._lab = lab
        self.frames = []
        """As they came."""
        self.is_cut = False
        self.connection = lab.local.connect(path, query, self.frames.append, self._cut, address)

    def say(self, **message):
        """Send a message; what came back so far."""
        self.connection.receive(json.dumps(message))
        return self.heard()

    def heard(self):
        """All frames so far, decoded."""
        return [json.loads(frame) for frame in self.frames]

    def last(self):
        return json.loads(self.frames[-1])

    def login(self, key=ALICE, expires=None):
        expires = self._lab.ms + 1000 if expires is None else expires
        self.say(op="auth", args=[key.key, expires, sign_login(key.secret, expires)])
        return self

    def ask(self, op, *args, req_id=None, **header):
        """An operation of the trade socket; the last frame that came."""
        message = {"op": op, "header": {"X-BAPI-TIMESTAMP": self._lab.ms} | header, "args": list(args)}
        self.say(**message, **({} if req_id is None else {"reqId": req_id}))
        return self.last()

    def _cut(self):
        self.is_cut = True
        self.connection.close()


def decoded(response):
    assert response.status == 200, response
    return json.loads(response.body)
