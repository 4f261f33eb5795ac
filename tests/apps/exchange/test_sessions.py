"""Connections without sockets: what is said, in which shape and in which order."""

import json

import pytest
from tests.apps.exchange.lab import ALICE, BOB, BTC, ELSEWHERE, Lab

from stakan.adapters.exchanges.bybit.auth import sign_login
from stakan.apps.exchange.streams import MAX_ARGS_CHARACTERS, idle_of
from stakan.core.domain.units import MINUTE, SECOND

BOOK = f"orderbook.50.{BTC}"
PUBLIC = "/v5/public/linear"


@pytest.fixture
def lab():
    return Lab()


# --- public ---------------------------------------------------------------------------------------------------------


def test_the_answer_comes_before_the_snapshot_and_the_snapshot_before_all_else(lab):
    socket = lab.connect(PUBLIC)
    socket.say(op="subscribe", args=[BOOK], req_id="a1")
    lab.run(500)
    answer, first, *others = socket.heard()
    assert answer == {
        "success": True,
        "ret_msg": "",
        "conn_id": socket.connection.id,
        "req_id": "a1",
        "op": "subscribe",
    }
    assert (first["topic"], first["type"]) == (BOOK, "snapshot")
    assert others
    assert all(frame["type"] == "delta" for frame in others)
    assert [frame["data"]["u"] for frame in others] == [
        first["data"]["u"] + number for number in range(1, len(others) + 1)
    ]


def test_one_answer_for_many_topics(lab):
    socket = lab.connect(PUBLIC)
    socket.say(op="subscribe", args=[BOOK, f"tickers.{BTC}", f"publicTrade.{BTC}"])
    assert sum("success" in frame for frame in socket.heard()) == 1
    lab.run(1000)
    assert {frame["topic"] for frame in socket.heard()[1:]} == {BOOK, f"tickers.{BTC}", f"publicTrade.{BTC}"}


@pytest.mark.parametrize(("sent", "echoed"), [("a1", "a1"), (5, "5"), (0, "0"), ("", "")])
def test_a_request_id_is_echoed_as_text(lab, sent, echoed):
    assert lab.connect(PUBLIC).say(op="ping", req_id=sent)[0]["req_id"] == echoed


def test_without_a_request_id_none_is_echoed(lab):
    assert "req_id" not in lab.connect(PUBLIC).say(op="ping")[0]


def test_frames_are_compact_so_that_pongs_are_found_by_their_text(lab):
    public, private = lab.connect(PUBLIC), lab.connect("/v5/private")
    public.say(op="ping")
    private.say(op="ping", req_id="p1")
    assert b'"ret_msg":"pong"' in public.frames[0]
    assert b'"op":"ping"' in public.frames[0]
    assert json.loads(private.frames[0]) == {
        "req_id": "p1",
        "op": "pong",
        "args": [str(lab.ms)],
        "conn_id": private.connection.id,
    }
    assert b'"op":"pong"' in private.frames[0]


@pytest.mark.parametrize("bad", ["foo.BTCUSDT", "orderbook.500.BTCUSDT", "orderbook.50.NOPE", "order"])
def test_one_bad_topic_fails_the_whole_request(lab, bad):
    socket = lab.connect(PUBLIC)
    (told,) = socket.say(op="subscribe", args=[BOOK, bad])
    assert (told["success"], told["ret_msg"]) == (False, f"error:handler not found,topic:{bad}")
    lab.run(300)
    assert len(socket.frames) == 1


def test_a_topic_is_subscribed_once_and_again_after_it_was_left(lab):
    socket = lab.connect(PUBLIC)
    socket.say(op="subscribe", args=[BOOK])
    socket.say(op="subscribe", args=[BOOK])
    assert (socket.last()["success"], socket.last()["ret_msg"]) == (False, f"error:already subscribed,topic:{BOOK}")
    socket.say(op="unsubscribe", args=[BOOK, "never.subscribed"])
    assert socket.last()["success"]
    socket.frames.clear()
    lab.run(300)
    assert socket.frames == []
    assert [frame.get("type") for frame in socket.say(op="subscribe", args=[BOOK])] == [None, "snapshot"]


def test_topics_of_a_connection_are_limited_in_characters(lab):
    socket = lab.connect(PUBLIC)
    assert socket.say(op="subscribe", args=[BOOK])[0]["success"]
    room = MAX_ARGS_CHARACTERS - len(BOOK)
    socket.say(op="subscribe", args=["x" * (room + 1)])
    assert socket.last()["ret_msg"].startswith("error:args of a connection are limited")
    socket.say(op="subscribe", args=["x" * room])
    assert socket.last()["ret_msg"].startswith("error:handler not found")


def test_a_frame_is_made_once_for_all_who_listen(lab):
    one, two = lab.connect(PUBLIC), lab.connect(PUBLIC)
    for socket in (one, two):
        socket.say(op="subscribe", args=[BOOK])
        socket.frames.clear()
    lab.run(500)
    assert one.frames
    assert all(mine is theirs for mine, theirs in zip(one.frames, two.frames, strict=True))


def test_who_leaves_is_told_nothing_more_and_does_not_disturb_the_others(lab):
    one, two = lab.connect(PUBLIC), lab.connect(PUBLIC)
    for socket in (one, two):
        socket.say(op="subscribe", args=[BOOK])
    one.connection.close()
    one.frames.clear()
    two.frames.clear()
    lab.run(300)
    assert one.frames == []
    assert two.frames
    two.connection.close()
    assert lab.local.exchange.topics == {}
    assert lab.local.exchange.open == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"ping"', "null", "[" * 100_000, "\ud800"])
@pytest.mark.parametrize("path", [PUBLIC, "/v5/private", "/v5/trade", "/v5/public/misc/status"])
def test_what_is_no_message_is_answered_and_forgotten(lab, path, text):
    socket = lab.connect(path)
    socket.connection.receive(text)
    assert socket.last()["success"] is False
    socket.say(op="ping")
    assert len(socket.frames) == 2


@pytest.mark.parametrize("args", [None, "topic", {}, [None], [1]])
@pytest.mark.parametrize("op", ["subscribe", "unsubscribe", "auth", "dance", None, 1, "order.create"])
@pytest.mark.parametrize("path", [PUBLIC, "/v5/private", "/v5/trade", "/v5/public/misc/status"])
def test_nonsense_is_answered(lab, path, op, args):
    socket = lab.connect(path)
    assert len(socket.say(op=op, args=args)) == 1


def test_the_status_socket_knows_one_topic(lab):
    socket = lab.connect("/v5/public/misc/status")
    assert socket.say(op="subscribe", args=["system.status"])[-1]["success"]
    assert not socket.say(op="subscribe", args=["system.status"])[-1]["success"]
    assert not socket.say(op="subscribe", args=[BOOK])[-1]["success"]
    socket.connection.close()


# --- private --------------------------------------------------------------------------------------------------------


def test_nobody_listens_before_a_login(lab):
    socket = lab.connect("/v5/private")
    assert not socket.say(op="subscribe", args=["order"])[0]["success"]
    socket.login()
    assert socket.last() == {"success": True, "ret_msg": "", "conn_id": socket.connection.id, "op": "auth"}
    assert socket.say(op="subscribe", args=["order"], req_id="2")[-1]["success"]


@pytest.mark.parametrize("as_type", [int, str])
def test_an_expiry_may_be_a_number_or_text_and_a_second_ahead(lab, as_type):
    assert lab.connect("/v5/private").login(expires=as_type(lab.ms + 1000)).last()["success"]


def test_a_login_that_is_wrong_is_refused(lab):
    assert not lab.connect("/v5/private").login(expires=lab.ms).last()["success"]
    bob_s_key = lab.connect("/v5/private")
    bob_s_key.say(op="auth", args=[BOB.key, lab.ms + 1000, sign_login(ALICE.secret, lab.ms + 1000)])
    assert not bob_s_key.last()["success"]


def test_there_is_no_snapshot_and_others_hear_nothing(lab):
    lab.post("order/create", **lab.order())
    mine, theirs = lab.private("order", "position", "wallet"), lab.private("order", key=BOB)
    lab.run(200)
    assert mine.frames == []
    lab.post("order/create", **lab.order())
    lab.run(10)
    assert "order" in {frame["topic"] for frame in mine.heard()}
    assert theirs.frames == []


def test_topics_carry_the_very_name_that_was_subscribed(lab):
    plain, by_category, both = lab.private("order"), lab.private("order.linear"), lab.private("order")
    both.say(op="subscribe", args=["order.linear"])
    both.frames.clear()
    elsewhere = lab.private("order.spot")
    lab.post("order/create", **lab.order())
    lab.run(10)
    assert [frame["topic"] for frame in plain.heard()] == ["order"]
    assert [frame["topic"] for frame in by_category.heard()] == ["order.linear"]
    assert [frame["topic"] for frame in both.heard()] == ["order", "order.linear"]
    assert elsewhere.frames == []


def test_an_envelope_is_bybits_and_the_fast_one_has_no_id(lab):
    socket = lab.private("execution", "execution.fast")
    lab.post("order/create", **lab.order(orderType="Market"))
    lab.run(10)
    slow, fast = ([frame for frame in socket.heard() if frame["topic"] == t] for t in ("execution", "execution.fast"))
    assert all(list(frame) == ["id", "topic", "creationTime", "data"] for frame in slow)
    assert all(list(frame) == ["topic", "creationTime", "data"] for frame in fast)
    assert len({frame["id"] for frame in slow}) == len(slow) > 0
    assert [row["execId"] for frame in slow for row in frame["data"]] == [
        row["execId"] for frame in fast for row in frame["data"]
    ]


def test_private_topics_that_cannot_be(lab):
    socket = lab.connect("/v5/private").login()
    for topics in (["nonsense"], ["order", "order.linear"], []):
        assert not socket.say(op="subscribe", args=topics)[-1]["success"]
    lab.post("order/create", **lab.order())
    lab.run(10)
    assert len(socket.frames) == 4


def test_who_is_gone_is_forgotten(lab):
    socket = lab.private("order")
    socket.login(BOB)
    assert lab.local.exchange.private[1] == {}
    lab.post("order/create", **lab.order())
    lab.run(10)
    assert len(socket.frames) == 1
    socket.connection.close()
    assert lab.local.exchange.private[2] == {}


def test_all_of_a_private_topic_can_be_left(lab):
    socket = lab.private("order", "wallet")
    socket.say(op="unsubscribe", args=["order", "wallet"])
    socket.frames.clear()
    lab.post("order/create", **lab.order())
    lab.run(10)
    assert socket.frames == []


# --- orders ---------------------------------------------------------------------------------------------------------


def test_the_trade_socket_answers_in_camel_case(lab):
    socket = lab.connect("/v5/trade").login()
    connection = socket.connection.id
    assert socket.last() == {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": connection}
    assert socket.login().last()["retCode"] == 20001
    socket.say(op="ping")
    assert socket.last() == {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(lab.ms)], "connId": connection}


def test_an_order_over_the_socket_is_acknowledged_like_a_request(lab):
    socket = lab.trade()
    told = socket.ask("order.create", lab.order(orderLinkId="x1"), req_id="r1")
    assert list(told) == ["reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId"]
    assert (told["reqId"], told["retCode"], told["op"], told["data"]["orderLinkId"]) == ("r1", 0, "order.create", "x1")
    assert (told["header"]["X-Bapi-Limit"], told["header"]["X-Bapi-Limit-Status"]) == ("10", "9")
    assert {"Traceid", "Timenow", "X-Bapi-Limit-Reset-Timestamp"} <= told["header"].keys()
    name = {"category": "linear", "symbol": BTC, "orderId": told["data"]["orderId"]}
    assert socket.ask("order.amend", name | {"qty": "0.020"})["retCode"] == 0
    assert lab.live()[0]["qty"] == "0.020"
    assert socket.ask("order.cancel", name)["retCode"] == 0
    assert lab.live() == []
    assert "reqId" not in socket.last()


def test_batches_over_the_socket(lab):
    socket = lab.trade()
    orders = [lab.order(orderLinkId="b1"), lab.order(qty="0"), lab.order(orderLinkId="b3")]
    told = socket.ask("order.create-batch", {"category": "linear", "request": orders})
    assert told["retCode"] == 0
    assert [row["code"] == 0 for row in told["retExtInfo"]["list"]] == [True, False, True]
    assert [bool(row["orderId"]) for row in told["data"]["list"]] == [True, False, True]
    names = [{"symbol": BTC, "orderLinkId": link} for link in ("b1", "b3")]
    assert (
        socket.ask("order.amend-batch", {"category": "linear", "request": [name | {"qty": "0.030"} for name in names]})[
            "retCode"
        ]
        == 0
    )
    assert {row["qty"] for row in lab.live()} == {"0.030"}
    assert socket.ask("order.cancel-batch", {"category": "linear", "request": names})["retCode"] == 0
    assert lab.live() == []


@pytest.mark.parametrize(
    ("op", "header", "code"),
    [
        ("order.dance", {}, 10404),
        ("order.realtime", {}, 10404),
        ("position.list", {}, 10404),
        ("order.create", {"X-BAPI-TIMESTAMP": 0}, 10002),
        ("order.create", {"X-BAPI-TIMESTAMP": ""}, 10001),
        ("order.create", {"X-BAPI-RECV-WINDOW": "soon"}, 10001),
    ],
)
def test_operations_that_are_refused(lab, op, header, code):
    assert lab.trade().ask(op, lab.order(), **header)["retCode"] == code
    assert lab.live() == []


def test_a_timestamp_may_be_a_number_or_text_and_a_window_may_be_given(lab):
    socket = lab.trade()
    for moment in (lab.ms, str(lab.ms)):
        assert socket.ask("order.create", lab.order(), **{"X-BAPI-TIMESTAMP": moment})["retCode"] == 0
    old = {"X-BAPI-TIMESTAMP": lab.ms - 6000}
    assert socket.ask("order.create", lab.order(), **old)["retCode"] == 10002
    assert socket.ask("order.create", lab.order(), **old, **{"X-BAPI-RECV-WINDOW": "7000"})["retCode"] == 0


def test_nothing_is_ordered_before_a_login(lab):
    assert lab.connect("/v5/trade").ask("order.create", lab.order())["retCode"] == 10003
    assert lab.live() == []


def test_a_request_id_is_used_once_and_is_not_long(lab):
    socket = lab.trade()
    assert socket.ask("order.create", lab.order(), req_id="same")["retCode"] == 0
    assert socket.ask("order.create", lab.order(), req_id="same")["retCode"] == 20006
    assert socket.ask("order.create", lab.order(), req_id="x" * 36)["retCode"] == 0
    assert socket.ask("order.create", lab.order(), req_id="x" * 37)["retCode"] != 0
    assert len(lab.live()) == 2


@pytest.mark.parametrize("args", [[], [{}, {}], ["x"], "x"])
def test_there_is_exactly_one_argument(lab, args):
    socket = lab.trade()
    socket.say(op="order.create", header={"X-BAPI-TIMESTAMP": lab.ms}, args=args)
    assert socket.last()["retCode"] == 10404


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [1, 2, 40])
def test_no_answer_comes_before_the_delay_and_all_come_in_order(delay_ms):
    lab = Lab(reply_delay_ns=delay_ms * 1_000_000)
    socket = lab.connect(PUBLIC)
    lab.now += 900_000
    for number in range(3):
        socket.say(op="ping", req_id=number)
    lab.run(delay_ms - 1)
    assert socket.frames == []
    lab.run(2)
    assert [frame["req_id"] for frame in socket.heard()] == ["0", "1", "2"]


def test_delays_that_are_drawn_are_not_below_the_least_and_keep_the_order():
    lab = Lab(reply_delay_ns=2_000_000, reply_spread_ns=5_000_000)
    delays = [lab.local.reply_delay() for _ in range(500)]
    assert min(delays) >= 2_000_000
    assert len(set(delays)) > 100
    socket = lab.connect(PUBLIC)
    for number in range(50):
        socket.say(op="ping", req_id=number)
    lab.run(200)
    assert [frame["req_id"] for frame in socket.heard()] == [str(number) for number in range(50)]


def test_private_streams_take_their_time():
    lab = Lab(push_delay_ns=7_000_000)
    socket = lab.private("order")
    lab.post("order/create", **lab.order())
    lab.run(6)
    assert socket.frames == []
    lab.run(2)
    assert socket.last()["topic"] == "order"


def test_a_silent_connection_is_cut_and_a_living_one_is_not(lab):
    silent, pinging, fed = lab.connect("/v5/private"), lab.connect("/v5/private"), lab.connect(PUBLIC)
    fed.say(op="subscribe", args=[f"tickers.{BTC}"])
    for _ in range(10):
        lab.jump(MINUTE)
        pinging.say(op="ping")
        lab.local.pump()
        assert not silent.is_cut
    lab.jump(3 * SECOND)
    lab.local.pump()
    assert silent.is_cut
    assert not pinging.is_cut
    assert not fed.is_cut


def test_a_connection_may_ask_for_a_shorter_life(lab):
    short = lab.connect("/v5/private", {"max_active_time": "30s"})
    lab.jump(29 * SECOND)
    lab.local.pump()
    assert not short.is_cut
    lab.jump(3 * SECOND)
    lab.local.pump()
    assert short.is_cut


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30s", 30), ("600s", 600), ("1m", 60), ("10m", 600), ("29s", 600), ("11m", 600)),
        *(("", 600), ("fast", 600), ("²s", 600), ("9" * 5000 + "s", 600)),
    ],
)
def test_lives_are_read_within_their_bounds(text, seconds):
    assert idle_of(text) == seconds * SECOND


def test_strangers_cannot_have_more_than_a_thousand_connections(lab):
    for _ in range(3):
        sockets = [lab.connect(PUBLIC, address=ELSEWHERE) for _ in range(400)]
        lab.jump(5 * MINUTE)
    assert [socket.connection is None for socket in sockets] == [False] * 200 + [True] * 200
    assert lab.connect(PUBLIC).connection is not None


def test_strangers_cannot_ask_over_sockets_without_end():
    lab = Lab(rate_factor=0)
    socket = lab.connect("/v5/trade", address=ELSEWHERE).login()
    wrong = {"category": "linear", "symbol": BTC, "orderId": "none"}
    request = json.dumps({"op": "order.cancel", "header": {"X-BAPI-TIMESTAMP": lab.ms}, "args": [wrong]})
    socket.frames.clear()
    for _ in range(3_001):
        socket.connection.receive(request)
    assert [frame["retCode"] for frame in socket.heard()] == [110001] * 3_000 + [10403]


def test_strangers_cannot_connect_without_end(lab):
    connections = [lab.connect(PUBLIC, address=ELSEWHERE).connection for _ in range(501)]
    assert connections[499] is not None
    assert connections[500] is None
