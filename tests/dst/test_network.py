"""The simulated network keeps TCP's promises, and breaks at the moments that it is told to."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.rest import Answer, Keys, ServerClock, Unanswered, get, post
from stakan.apps.dst.network import TIMEOUT_NS, Http, Network, Wire
from stakan.apps.dst.plan import Broken
from stakan.apps.dst.time import Heap, Machine, ProcessTime
from stakan.apps.exchange.gateway import Response
from stakan.core.domain.units import MILLISECOND, SECOND

START = 1_000 * SECOND
ORDER = b'{"op":"order.create"}'


class Server:
    """An exchange that echoes."""

    def __init__(self):
        self.frames, self.requests, self.open = [], [], 0
        self.is_dark = False
        self.cut = None

    def connect(self, path, query, send, cut, address):
        if self.is_dark:
            return None
        self.open += 1
        self.cut = cut
        server = self

        class Theirs:
            def receive(self, frame):
                server.frames.append(frame)
                send(b"re: " + frame)

            def close(self):
                server.open -= 1

        return Theirs()

    def handle(self, request):
        self.requests.append(request)
        return Response(is_lost=self.is_dark, body=b"{}")

    def reply_delay(self):
        return 0


class Peer:
    def __init__(self):
        self.told = []

    def connected(self):
        self.told.append("connected")

    def heard(self, frame):
        self.told.append(frame)

    def lost(self, why):
        self.told.append(f"lost: {why}")


class Lab:
    def __init__(self, seed=1):
        self.heap = Heap(START)
        self.server, self.peer, self.counts = Server(), Peer(), Counter()
        self.network = Network(self.heap, self.server, seed, self.counts)
        self.machine = Machine(self.heap)
        self.failures = []
        self.time = ProcessTime(self.heap, self.machine, self.failures.append)
        self.answers = []

    def run(self, ns=SECOND):
        self.heap.run(self.heap.now + ns)
        assert not self.failures

    def wire(self, path="/v5/trade", patience=11 * SECOND):
        return Wire(self.network, path, self.peer, self.time, patience)

    def http(self):
        return Http(self.network, self.time, ServerClock(self.time.now), Keys("stakan-key", "stakan-secret"))

    def ask(self, request):
        self.http()(request, self.answers.append)


CREATE = post(Kind.CREATE, Group.CREATE, "/v5/order/create", symbol="BTCUSDT")
TIME = get(Kind.QUERY, Group.MARKET, "/v5/market/time", is_signed=False)


@settings(max_examples=30)
@given(st.integers(0, 1_000), st.lists(st.integers(0, 5), max_size=30))
def test_frames_arrive_once_and_in_order(seed, pauses):
    lab = Lab(seed)
    wire = lab.wire()
    lab.run()
    sent = []
    for number, pause in enumerate(pauses):
        sent.append(b"%d" % number)
        wire.send(sent[-1])
        lab.run(pause * MILLISECOND)
    lab.run()
    assert lab.server.frames == sent
    assert lab.peer.told == ["connected", *(b"re: " + frame for frame in sent)]


def test_an_order_that_meets_a_break_before_it_arrives_never_does():
    lab = Lab()
    wire = lab.wire()
    lab.run()
    lab.network.breaks.append(Broken.BEFORE)
    wire.send(ORDER)
    lab.run()
    assert lab.server.frames == []
    assert lab.peer.told == ["connected", "lost: connection reset by peer"]
    assert lab.server.open == 0
    assert lab.counts == {"net: broken before an order arrived": 1}


def test_an_order_that_meets_a_break_after_it_arrived_is_there_and_unanswered():
    lab = Lab()
    wire = lab.wire()
    lab.run()
    lab.network.breaks.append(Broken.AFTER)
    wire.send(b"ping")
    lab.run()
    wire.send(ORDER)
    wire.send(b"too late")
    lab.run()
    assert lab.server.frames == [b"ping", ORDER]
    assert lab.peer.told == ["connected", b"re: ping", "lost: connection reset by peer"]
    assert lab.server.open == 0


def test_what_was_sent_before_the_bot_closes_still_arrives():
    lab = Lab()
    wire = lab.wire()
    lab.run()
    wire.send(b"last")
    wire.close()
    lab.run()
    assert lab.server.frames == [b"last"]
    assert lab.server.open == 0
    assert lab.peer.told == ["connected"]


def test_a_cut_by_the_exchange_is_heard_of_and_a_process_that_is_gone_hears_nothing():
    lab = Lab()
    lab.wire()
    lab.run()
    lab.server.cut()
    lab.run()
    assert lab.peer.told == ["connected", "lost: connection lost"]
    lab.wire()
    lab.run()
    lab.time.end()
    lab.network.abandon(lab.time)
    lab.run()
    assert lab.server.open == 0
    assert lab.peer.told == ["connected", "lost: connection lost", "connected"]
    assert lab.network.wires == []


def test_an_exchange_or_network_that_takes_no_connection_is_told_of():
    lab = Lab()
    lab.server.is_dark = True
    lab.wire()
    lab.run()
    lab.server.is_dark = False
    lab.network.refuses_until = lab.heap.now + SECOND
    lab.wire()
    lab.run()
    assert lab.peer.told == ["lost: no answer", "lost: connection refused"]
    lab.wire()
    lab.run()
    assert lab.peer.told[2:] == ["connected"]


def test_in_the_dark_nothing_passes_and_a_connection_is_given_up():
    lab = Lab()
    wire = lab.wire()
    lab.run()
    lab.network.dark_until = lab.heap.now + 20 * SECOND
    wire.send(b"late")
    lab.wire(patience=11 * SECOND)
    lab.run(19 * SECOND)
    assert lab.server.frames == []
    assert lab.peer.told == ["connected", "lost: TimeoutError"]
    lab.run(3 * SECOND)
    assert lab.server.frames == [b"late"]
    # The one that was given up has not stayed open at the exchange.
    assert lab.server.open == 1


def test_an_answer_over_http_comes_once_signed_where_it_must_be():
    lab = Lab()
    lab.ask(CREATE)
    lab.ask(TIME)
    lab.run()
    assert [type(answer) for answer in lab.answers] == [Answer, Answer]
    create, time = sorted(lab.server.requests, key=lambda request: request.method, reverse=True)
    assert create.headers["x-bapi-api-key"] == "stakan-key"
    assert time.headers == {}


def test_a_request_over_http_that_nobody_answers_may_have_arrived():
    lab = Lab()
    lab.server.is_dark = True
    lab.ask(CREATE)
    lab.run()
    lab.server.is_dark = False
    lab.network.dark_until = lab.heap.now + 2 * TIMEOUT_NS
    lab.ask(CREATE)
    lab.run(3 * TIMEOUT_NS)
    lab.network.breaks.extend((Broken.BEFORE, Broken.AFTER))
    lab.ask(CREATE)
    lab.run()
    lab.ask(CREATE)
    lab.run()
    assert all(isinstance(answer, Unanswered) for answer in lab.answers)
    assert [answer.was_sent for answer in lab.answers] == [True, True, False, True]
    # The one that met the break before it arrived is the only one that never did.
    assert len(lab.server.requests) == 3


def test_requests_over_http_overtake_each_other():
    lab = Lab()
    lab.network.mean_ns = 50 * MILLISECOND
    for number in range(20):
        lab.ask(post(Kind.CREATE, Group.CREATE, "/v5/order/create", number=number))
    lab.run(2 * SECOND)
    arrived = [request.body for request in lab.server.requests]
    assert len(arrived) == 20
    assert arrived != sorted(arrived, key=lambda body: int(body[10:-1]))
