"""Faults: drawn from a seed, at the rates of their profile, and never worse than they say."""

import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.exchange.lab import BTC, Lab

from stakan.apps.exchange.faults import PROFILES, SLEW, Chaos, Fate, Profile, Stream, Trouble, profile_named
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND

BOOK = f"orderbook.50.{BTC}"
REFUSING = (Trouble.TOO_MANY, Trouble.SERVER_ERROR, Trouble.HTTP_503, Trouble.HTTP_403, Trouble.STOP_REFUSED)
"""Troubles in which a request is not carried out."""
PUBLIC = "/v5/public/linear"


# --- what is drawn --------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(sorted(PROFILES)),
    st.integers(0, 99),
    st.lists(st.sampled_from([*Stream, "request", "stop", "tick"]), max_size=80),
)
def test_the_same_seed_and_requests_meet_the_same_faults_however_many_frames_there_were(name, seed, happened):
    among_frames, alone = (Chaos(PROFILES[name], seed) for _ in range(2))
    for number, what in enumerate(happened):
        if what in {"request", "stop"}:
            asked = {"over_socket": bool(number % 2), "has_stop": what == "stop"}
            assert among_frames.trouble("order/create", **asked) == alone.trouble("order/create", **asked)
        elif what == "tick":
            among_frames.due(number * SECOND)
        else:
            among_frames.fate(what)


def test_seeds_differ():
    storms = [Chaos(PROFILES["storm"], seed) for seed in range(2)]
    sequences = [[storm.trouble("x", over_socket=False, has_stop=True) for _ in range(200)] for storm in storms]
    assert sequences[0] != sequences[1]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_requests_meet_each_trouble_as_often_as_the_profile_says(name):
    chaos, draws = Chaos(PROFILES[name], 1), 40_000
    for over_socket in (False, True):
        met = Counter(chaos.trouble("x", over_socket=over_socket, has_stop=True) for _ in range(draws))
        for trouble in Trouble:
            share = PROFILES[name].troubles.get(trouble, 0.0)
            if over_socket and trouble in {Trouble.HTTP_503, Trouble.HTTP_403}:
                share = 0.0
            if not over_socket and trouble is Trouble.TWICE:
                share = 0.0
            if trouble is Trouble.PARTIAL_CANCEL:
                share = 0.0
            assert abs(met[trouble] - share * draws) <= 5 * (share * draws) ** 0.5


@pytest.mark.parametrize("name", ["storm", "liar"])
@pytest.mark.parametrize("over_socket", [False, True])
def test_cancels_are_partial_as_often_as_the_profile_says(name, over_socket):
    chaos, draws = Chaos(PROFILES[name], 1), 40_000
    met = Counter(chaos.trouble("order/cancel", over_socket=over_socket, has_stop=False) for _ in range(draws))
    share = PROFILES[name].troubles[Trouble.PARTIAL_CANCEL]
    assert abs(met[Trouble.PARTIAL_CANCEL] - share * draws) <= 5 * (share * draws) ** 0.5


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("stream", Stream)
def test_frames_are_lost_late_and_doubled_as_often_as_the_profile_says(name, stream):
    profile, draws = PROFILES[name], 40_000
    chaos = Chaos(profile, 1)
    fates = Counter()
    for _ in range(draws):
        fate = chaos.fate(stream)
        late = [delay for delay in fate.deliveries if delay]
        kind = {(0, 0): "lost", (1, 0): "fine", (2, 0): "double", (1, 1): "late", (2, 1): "twin"}
        fates[kind[len(fate.deliveries), len(late)]] += 1
        if kind[len(fate.deliveries), len(late)] == "late":
            assert profile.delay_ms[0] * MILLISECOND <= late[0] <= profile.delay_ms[1] * MILLISECOND
    shares = {
        "lost": profile.drop,
        "late": profile.delay,
        "double": profile.double,
        "twin": profile.late_twin if stream is Stream.PRIVATE else 0.0,
    }
    for kind, share in shares.items():
        assert abs(fates[kind] - share * draws) <= 5 * (share * draws) ** 0.5
    assert sum(chaos.counts.values()) == draws - fates["fine"]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_what_time_brings_comes_as_often_as_the_profile_says(name):
    profile, minutes = PROFILES[name], 600
    chaos = Chaos(profile, 1)
    for tick in range(minutes * 60 * 4):
        chaos.due(tick * SECOND // 4)
    expected = {
        "cut": profile.cuts,
        "restart": profile.restarts,
        "crossed book": profile.crossings,
        "blackout": profile.blackouts,
        "clock moved": 60 / profile.skew_every_s if profile.skew_s else 0,
    }
    for what, per_minute in expected.items():
        assert abs(chaos.counts[what] - per_minute * minutes) <= 5 * (per_minute * minutes) ** 0.5


def test_fair_weather_disturbs_nothing():
    chaos = Chaos(seed=1)
    assert all(chaos.fate(stream) == Fate() for stream in Stream for _ in range(100))
    assert chaos.trouble("order/create", over_socket=False, has_stop=True) is None
    chaos.due(0)
    due = chaos.due(100 * MINUTE)
    assert (due.cut, due.restart, due.cross, due.black) == (0, 0, 0, False)
    assert chaos.skew(200 * MINUTE) == 0
    assert not chaos.counts


@given(st.integers(0, 99), st.lists(st.integers(1, 3_000), min_size=2, max_size=200))
def test_a_drunk_clock_is_never_far_off_never_goes_back_and_never_races(seed, steps):
    profile = PROFILES["drunk-clock"]
    chaos = Chaos(profile, seed)
    now, before = SECOND, None
    for step in steps:
        now += step * MILLISECOND
        chaos.due(now)
        shown = now + chaos.skew(now)
        assert abs(shown - now) <= profile.skew_s * SECOND
        if before is not None:
            passed = shown - before
            assert (1 - SLEW) * step * MILLISECOND - 1 <= passed <= (1 + SLEW) * step * MILLISECOND + 1
        before = shown


def test_scripted_troubles_come_first_and_in_order():
    chaos = Chaos(PROFILES["storm"], 1)
    chaos.script("order/create", Trouble.LIE, 2)
    chaos.script("*", Trouble.LOST_ANSWER)
    asked = {"over_socket": False, "has_stop": False}
    assert chaos.trouble("order/cancel", **asked) is Trouble.LOST_ANSWER
    assert [chaos.trouble("order/create", **asked) for _ in range(2)] == [Trouble.LIE] * 2


def test_a_profile_that_is_not_there_is_said():
    with pytest.raises(ConfigError, match="drizzle, storm, blackout, liar, drunk-clock"):
        profile_named("sunshine")


def test_every_profile_says_what_it_is():
    assert all(profile.about for profile in PROFILES.values())
    assert all(sum(profile.troubles.values()) < 1 for profile in PROFILES.values())


# --- what it does to those who trade ---------------------------------------------------------------------------------


@pytest.fixture
def lab():
    return Lab()


def scripted(lab, trouble, operation="order/create"):
    response = lab.tell("POST", "script", {"operation": operation, "trouble": trouble.value})
    assert response.status == 200
    return lab


@pytest.mark.parametrize(
    ("trouble", "status", "code", "done"),
    [
        (Trouble.TOO_MANY, 200, 10006, False),
        (Trouble.SERVER_ERROR, 200, 10016, False),
        (Trouble.HTTP_503, 503, None, False),
        (Trouble.HTTP_403, 403, None, False),
        (Trouble.LIE, 200, 10016, True),
        (Trouble.STOP_REFUSED, 200, 10001, False),
        (Trouble.TWICE, 200, 0, True),
    ],
)
def test_what_a_trouble_does_to_a_request(lab, trouble, status, code, done):
    response = scripted(lab, trouble).post_raw("order/create", **lab.order(stopLoss=lab.price(-0.1)))
    assert response.status == status
    if code is not None:
        assert json.loads(response.body)["retCode"] == code
    assert bool(lab.live()) is done
    assert json.loads(lab.tell("GET", "status").body)["faults"] == {trouble.value: 1}
    assert lab.post("order/create", **lab.order())["retCode"] == 0


def test_an_answer_that_is_lost_is_of_an_order_that_is_there(lab):
    assert scripted(lab, Trouble.LOST_ANSWER).post_raw("order/create", **lab.order()).is_lost
    assert len(lab.live()) == 1


@pytest.mark.parametrize(
    ("trouble", "codes", "done"),
    [
        (Trouble.TOO_MANY, [10006], False),
        (Trouble.SERVER_ERROR, [10016], False),
        (Trouble.LIE, [10016], True),
        (Trouble.STOP_REFUSED, [10001], False),
        (Trouble.TWICE, [0, 0], True),
        (Trouble.LOST_ANSWER, [], True),
    ],
)
def test_what_a_trouble_does_to_an_order_over_the_socket(lab, trouble, codes, done):
    socket = scripted(lab, trouble).trade()
    socket.say(op="order.create", header={"X-BAPI-TIMESTAMP": lab.ms}, args=[lab.order(stopLoss=lab.price(-0.1))])
    assert [frame["retCode"] for frame in socket.heard()] == codes
    assert bool(lab.live()) is done
    assert socket.is_cut is (trouble is Trouble.LOST_ANSWER)


def ended(lab, link):
    """Status and executed size of an order, as it is told afterwards."""
    (row,) = lab.get("order/history", category="linear", symbol=BTC, orderLinkId=link)["result"]["list"]
    return row["orderStatus"], row["cumExecQty"]


@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_of_an_order_that_rests_half_is_traded_as_its_cancel_arrives(lab, side):
    price = lab.price(-0.01 if side == "Buy" else 0.01)
    lab.post("order/create", **lab.order(orderLinkId="mine", side=side, price=price, qty="0.011"))
    scripted(lab, Trouble.PARTIAL_CANCEL, "order/cancel")
    assert lab.post("order/cancel", category="linear", symbol=BTC, orderLinkId="mine")["retCode"] == 0
    assert ended(lab, "mine") == ("Cancelled", "0.005")
    (execution,) = lab.get("execution/list", category="linear")["result"]["list"]
    assert (execution["execPrice"], execution["execQty"], execution["isMaker"]) == (price, "0.005", True)
    (position,) = lab.get("position/list", category="linear", symbol=BTC)["result"]["list"]
    assert (position["side"], position["size"]) == (side, "0.005")


def test_a_partial_cancel_is_answered_after_the_private_stream_has_told_of_the_fill_and_the_end(lab):
    private = lab.private("order", "execution")
    lab.post("order/create", **lab.order(orderLinkId="mine"))
    lab.run(5)
    private.heard()
    socket = scripted(lab, Trouble.PARTIAL_CANCEL, "order/cancel").trade()
    cancel = {"category": "linear", "symbol": BTC, "orderLinkId": "mine"}
    socket.say(op="order.cancel", header={"X-BAPI-TIMESTAMP": lab.ms}, args=[cancel])
    lab.run(1_000)
    assert socket.heard() == []
    told = [(frame["topic"], row) for frame in private.heard() for row in frame["data"]]
    assert [row["execQty"] for topic, row in told if topic == "execution"] == ["0.005"]
    assert [row["orderStatus"] for topic, row in told if topic == "order"][-1] == "Cancelled"
    lab.run(600)
    assert [frame["retCode"] for frame in socket.heard()] == [0]


@pytest.mark.parametrize("waits", [False, True])
def test_of_an_order_that_cannot_be_filled_in_part_nothing_is_traded(lab, waits):
    """It is a single lot, or waits for its trigger."""
    trigger = {"triggerPrice": lab.price(-0.01), "triggerDirection": 2}
    order = lab.order(orderLinkId="mine", **(trigger if waits else {"qty": "0.001"}))
    assert lab.post("order/create", **order)["retCode"] == 0
    scripted(lab, Trouble.PARTIAL_CANCEL, "order/cancel")
    assert lab.post("order/cancel", category="linear", symbol=BTC, orderLinkId="mine")["retCode"] == 0
    assert ended(lab, "mine") == ("Deactivated" if waits else "Cancelled", "0")
    scripted(lab, Trouble.PARTIAL_CANCEL, "order/cancel")
    assert lab.post("order/cancel", category="linear", symbol=BTC, orderLinkId="nobodys")["retCode"] == 110001


def test_a_trailing_stop_can_be_refused_too(lab):
    lab.post("order/create", **lab.order(orderType="Market"))
    stop = {"category": "linear", "symbol": BTC, "stopLoss": lab.price(-0.05), "tpslMode": "Full"}
    scripted(lab, Trouble.STOP_REFUSED, "position/trading-stop")
    assert lab.post("position/trading-stop", **stop)["retCode"] == 10001
    assert lab.post("position/trading-stop", **stop)["retCode"] == 0


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_what_is_carried_out_is_what_the_answers_leave_open(name):
    lab = Lab(PROFILES[name], rate_factor=0)
    outcomes = {}
    for number in range(150):
        link = f"o{number}"
        response = lab.post_raw("order/create", **lab.order(orderLinkId=link))
        code = json.loads(response.body)["retCode"] if response.body[:1] == b"{" else response.status
        outcomes[link] = "lost" if response.is_lost else code
        lab.run(3)
    lab.tell("POST", "weather", {"profile": None})
    rows = {}
    for link in outcomes:
        told = lab.get("order/realtime", category="linear", symbol=BTC, orderLinkId=link)
        rows[link] = bool(told["result"]["list"])
    sure = {
        0: True,
        "lost": True,
        10006: False,
        10016: name == "liar",
        503: False,
        403: False,
        10002: False,
        10001: False,
    }
    assert {link: sure[outcome] for link, outcome in outcomes.items()} == rows
    assert sum(rows.values()) > 50


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_two_lives_of_one_seed_are_the_same_to_the_last_frame(name):
    assert _life(name, 3) == _life(name, 3)


def _life(name, seed):
    lab = Lab(PROFILES[name], seed=seed, rate_factor=0)
    public, private = lab.connect(PUBLIC), lab.connect("/v5/private")
    answers = []
    if public.connection is not None and private.connection is not None:
        public.say(op="subscribe", args=[BOOK, f"publicTrade.{BTC}"])
        private.login()
        private.say(op="subscribe", args=["order", "execution"])
    for number in range(40):
        response = lab.post_raw("order/create", **lab.order(orderLinkId=f"o{number}", orderType="Market"))
        answers.append((response.status, response.is_lost, response.body))
        lab.run(25)
    return answers, public.frames, private.frames, dict(lab.local.chaos.counts)


def test_lost_frames_are_gaps_and_nothing_else(lab):
    whole = lab.connect(PUBLIC)
    whole.say(op="subscribe", args=[BOOK])
    lab.local.chaos.set(Profile(drop=0.2))
    lab.run(3000)
    frames = whole.heard()[1:]
    ids = [frame["data"]["u"] for frame in frames]
    assert ids == sorted(set(ids))
    missing = set(range(ids[0], ids[-1] + 1)) - set(ids)
    assert missing
    assert len(missing) <= lab.local.chaos.counts["public frame lost"]


def test_late_frames_are_overtaken_and_all_arrive(lab):
    socket = lab.connect(PUBLIC)
    socket.say(op="subscribe", args=[BOOK])
    lab.local.chaos.set(Profile(delay=0.2))
    lab.run(2000)
    lab.local.chaos.set(None)
    lab.run(600)
    ids = [frame["data"]["u"] for frame in socket.heard()[1:]]
    assert ids != sorted(ids)
    assert sorted(ids) == list(range(min(ids), max(ids) + 1))


def test_executions_come_twice_and_late_but_are_the_same(lab):
    socket = lab.private("execution")
    lab.local.chaos.set(Profile(late_twin=1.0))
    lab.post("order/create", **lab.order(orderType="Market"))
    lab.run(500)
    at_once = list(socket.frames)
    assert at_once
    lab.run(5000)
    assert sorted(socket.frames) == sorted(at_once * 2)


def test_a_double_frame_comes_twice_in_a_row(lab):
    socket = lab.private("order")
    lab.local.chaos.set(Profile(double=1.0))
    lab.post("order/create", **lab.order())
    lab.run(5)
    first, second = socket.frames
    assert first == second


@settings(max_examples=10)
@given(st.integers(0, 99))
def test_in_a_blackout_nobody_is_answered_and_then_everybody_is(seed):
    lab = Lab(Profile(blackouts=20.0, blackout_s=(1.0, 2.0)), seed=seed)
    socket = lab.connect(PUBLIC) if not lab.local.chaos.is_dark(lab.now) else None
    while not lab.local.chaos.is_dark(lab.now):
        lab.run(50, step=10 * MILLISECOND)
    began = lab.now
    assert socket is None or socket.connection is None or socket.is_cut
    assert lab.connect("/v5/private").connection is None
    assert lab.ask("GET", "/v5/market/time").is_lost
    lab.local.chaos.profile = Profile()
    while lab.local.chaos.is_dark(lab.now):
        lab.run(50, step=10 * MILLISECOND)
    assert lab.now - began <= 2 * SECOND + 50 * MILLISECOND
    assert lab.ask("GET", "/v5/market/time").status == 200
    assert lab.connect("/v5/private").connection is not None


def test_connections_are_cut_in_the_middle(lab):
    sockets = [lab.connect(PUBLIC) for _ in range(4)]
    lab.local.chaos.set(Profile(cuts=600.0))
    lab.run(3000)
    assert all(socket.is_cut for socket in sockets)
    assert lab.local.exchange.open == {}


def test_a_clock_that_wanders_makes_requests_fall_out_of_their_window():
    lab = Lab(Profile(skew_s=3.0, skew_every_s=2.0), rate_factor=0, reply_delay_ns=2 * MILLISECOND)
    codes = Counter()
    socket = lab.connect(PUBLIC)
    for _ in range(60):
        codes[lab.get("account/info", recvWindow=1)["retCode"]] += 1
        shown = json.loads(lab.ask("GET", "/v5/market/time").body)["time"]
        assert abs(shown - lab.ms) <= 3001
        heard = len(socket.frames)
        socket.say(op="ping")
        lab.run(3)
        assert len(socket.frames) == heard + 1
        lab.run(1000, step=100 * MILLISECOND)
    assert codes.keys() == {0, 10002}


@pytest.mark.parametrize("kind", ["gap", "restart", "cross", "repeat", "stale"])
def test_faults_of_a_book_can_be_asked_for(lab, kind):
    socket = lab.connect(PUBLIC)
    socket.say(op="subscribe", args=[BOOK])
    lab.run(500)
    assert json.loads(lab.tell("POST", "fault", {"topic": BOOK, "kind": kind}).body) == {"done": True}
    lab.run(500)
    frames = socket.heard()[1:]
    steps = [b["data"]["u"] - a["data"]["u"] for a, b in pairwise(frames)]
    restarted = any(frame["data"]["u"] == 1 for frame in frames)
    odd = [step for step in steps if step != 1]
    expected = {
        "gap": odd == [2],
        "restart": restarted,
        "cross": ever_crossed(frames) and not odd,
        "repeat": odd == [0],
        "stale": -1 in odd,
    }
    assert expected[kind]
    assert json.loads(lab.tell("POST", "fault", {"topic": "orderbook.50.NOPE", "kind": kind}).body) == {"done": False}


def ever_crossed(frames):
    """Whether a client that applies these frames sees a bid at or above an ask."""
    bids, asks = {}, {}
    crossed = False
    for frame in frames:
        for side, levels in ((bids, frame["data"]["b"]), (asks, frame["data"]["a"])):
            if frame["type"] == "snapshot":
                side.clear()
            side.update((Decimal(price), Decimal(size)) for price, size in levels)
            for price in [price for price, size in side.items() if not size]:
                del side[price]
        crossed |= max(bids) >= min(asks)
    return crossed
