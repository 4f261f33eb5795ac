"""Requests of the whole exchange, as bytes in and bytes out, in virtual time."""

import json

import pytest
from tests.apps.exchange.lab import ALICE, BOB, BTC, ELSEWHERE, Lab, decoded

from stakan.adapters.exchanges.bybit.auth import request_headers
from stakan.apps.exchange.accounts import AccountConfig, ApiKey
from stakan.apps.exchange.uncertain import Uncertain


@pytest.fixture
def lab():
    return Lab()


def test_an_answer_has_bybits_envelope_in_compact_json(lab):
    response = lab.ask("GET", "/v5/market/time")
    told = json.loads(response.body)
    assert list(told) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert (told["retCode"], told["retMsg"], told["time"]) == (0, "OK", lab.ms)
    assert json.dumps(told, separators=(",", ":")).encode() == response.body
    assert response.headers["Timenow"] == str(lab.ms)
    assert response.headers["Traceid"] != lab.ask("GET", "/v5/market/time").headers["Traceid"]


def test_a_refusal_says_its_code_in_a_header_too(lab):
    response = lab.ask("GET", "/v5/market/tickers", "category=linear&symbol=NOPE")
    assert json.loads(response.body)["retCode"] == 10001
    assert response.headers["Ret_code"] == "10001"
    assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v5/market/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v3/public/time", 404),
        ("POST", "/v5/market/time", 404),
        ("GET", "/v5/order/create", 404),
        ("POST", "/v5/position/list", 404),
        ("GET", "/v5/order", 404),
    ],
)
def test_what_is_not_there(lab, method, path, status):
    assert lab.ask(method, path).status == status


def test_a_query_with_a_body_is_forbidden(lab):
    headers = request_headers(ALICE.key, ALICE.secret, lab.ms, 5000, b"")
    assert lab.ask("GET", "/v5/account/info", "", headers, b"{}").status == 403


def test_the_system_is_well(lab):
    assert decoded(lab.ask("GET", "/v5/system/status"))["result"] == {"list": []}


@pytest.mark.parametrize("status", [200, 401])
def test_who_is_not_let_in_is_told_in_the_envelope_whatever_the_status(status):
    lab = Lab(uncertain=Uncertain(unauthorised_status=status))
    unsigned = lab.ask("GET", "/v5/account/info")
    assert unsigned.status == status
    assert json.loads(unsigned.body)["retMsg"].startswith("empty value: apiTimestamp[] apiKey[] apiSignature[]")
    stranger = lab.post_raw("order/create", ApiKey("nobody", "x"), **lab.order())
    assert (stranger.status, json.loads(stranger.body)["retCode"]) == (status, 10003)
    late = request_headers(ALICE.key, ALICE.secret, lab.ms - 6000, 5000, b"")
    assert decoded(lab.ask("GET", "/v5/account/info", "", late))["retCode"] == 10002


def test_a_read_only_key_asks_but_does_not_trade():
    reader = ApiKey("reader", "r", read_only=True)
    lab = Lab(accounts=(AccountConfig(keys=(reader,)),))
    assert lab.get("account/info", reader)["retCode"] == 0
    assert lab.post("order/create", reader, **lab.order())["retCode"] == 10005


@pytest.mark.parametrize("body", [b"{", b"[]", b"12", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_is_one_json_object(lab, body):
    headers = request_headers(ALICE.key, ALICE.secret, lab.ms, 5000, body)
    assert decoded(lab.ask("POST", "/v5/order/create", "", headers, body))["retCode"] == 10001


def test_a_body_is_signed_as_it_was_sent_whatever_its_spaces(lab):
    for separators in ((", ", ": "), (",", ":"), (" ,\n", " : ")):
        body = json.dumps(lab.order(), separators=separators).encode()
        headers = request_headers(ALICE.key, ALICE.secret, lab.ms, 5000, body)
        assert decoded(lab.ask("POST", "/v5/order/create", "", headers, body))["retCode"] == 0
    assert len(lab.live()) == 3


def test_accounts_see_their_own(lab):
    order_id = lab.post("order/create", **lab.order())["result"]["orderId"]
    assert [row["orderId"] for row in lab.live()] == [order_id]
    assert lab.live(BOB) == []
    assert lab.post("order/cancel", BOB, category="linear", symbol=BTC, orderId=order_id)["retCode"] == 110001
    assert lab.post("order/cancel", category="linear", symbol=BTC, orderId=order_id)["retCode"] == 0


def test_headers_count_the_budget_down_and_the_eleventh_order_of_a_second_is_refused(lab):
    began = lab.ms
    for left in range(9, -1, -1):
        headers = lab.post_raw("order/create", **lab.order()).headers
        assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("10", str(left))
    response = lab.post_raw("order/create", **lab.order())
    assert decoded(response)["retCode"] == 10006
    assert response.headers["X-Bapi-Limit-Reset-Timestamp"] == str(began + 1000)
    assert len(lab.live()) == 10
    assert lab.post("order/create", BOB, **lab.order())["retCode"] == 0
    lab.run(1000)
    assert lab.post("order/create", **lab.order())["retCode"] == 0


def test_the_trade_socket_shares_the_budget(lab):
    socket = lab.trade()
    for _ in range(5):
        assert socket.ask("order.create", lab.order())["retCode"] == 0
        assert lab.post("order/create", **lab.order())["retCode"] == 0
    assert socket.ask("order.create", lab.order())["retCode"] == 10006


def test_a_batch_costs_one_unit_an_order_and_fails_from_where_the_budget_ends(lab):
    lab.post("order/create-batch", category="linear", request=[lab.order() for _ in range(7)])
    told = lab.post("order/create-batch", category="linear", request=[lab.order() for _ in range(5)])
    assert [row["code"] for row in told["retExtInfo"]["list"]] == [0, 0, 0, 10006, 10006]
    assert [bool(row["orderId"]) for row in told["result"]["list"]] == [True] * 3 + [False] * 2
    refused = lab.post("order/create-batch", category="linear", request=[lab.order()])
    assert refused["retCode"] == 10006
    assert lab.post("order/create", **lab.order())["retCode"] == 0


def test_the_address_is_locked_out_when_it_asks_too_often_but_not_this_machine(lab):
    answers = [lab.ask("GET", "/v5/market/time", address=ELSEWHERE).status for _ in range(602)]
    assert answers == [200] * 600 + [403] * 2
    assert all(lab.ask("GET", "/v5/market/time").status == 200 for _ in range(700))


def test_limits_can_hold_for_this_machine_too():
    lab = Lab(limits_loopback=True)
    answers = [lab.ask("GET", "/v5/market/time").status for _ in range(601)]
    assert answers[-2:] == [200, 403]
    sockets = [lab.connect("/v5/public/linear").connection for _ in range(501)]
    assert [socket is None for socket in sockets] == [False] * 500 + [True]


def test_a_saved_exchange_goes_on_in_another_life(lab):
    order_id = lab.post("order/create", **lab.order(orderLinkId="mine"))["result"]["orderId"]
    lab.post("order/create", BOB, **lab.order(orderType="Market", stopLoss=lab.price(-0.05)))
    money = lab.get("account/wallet-balance", BOB, accountType="UNIFIED")["result"]["list"][0]["totalWalletBalance"]
    kept = lab.local.save()

    again = Lab()
    again.local.restore(kept)
    again.run(10)
    assert [(row["orderId"], row["orderLinkId"]) for row in again.live()] == [(order_id, "mine")]
    position = again.get("position/list", BOB, category="linear", symbol=BTC)["result"]["list"][0]
    assert (position["side"], position["size"]) == ("Buy", "0.010")
    assert position["stopLoss"]
    wallet = again.get("account/wallet-balance", BOB, accountType="UNIFIED")["result"]["list"][0]
    assert wallet["totalWalletBalance"] == money
    assert again.post("order/create", **again.order(orderLinkId="mine"))["retCode"] == 110072
    assert again.post("order/cancel", category="linear", symbol=BTC, orderLinkId="mine")["retCode"] == 0


def test_the_exchanges_own_requests_tell_and_do(lab):
    assert json.loads(lab.tell("GET", "status").body)["symbols"] == [BTC]
    assert lab.tell("POST", "weather", {"profile": "storm"}).status == 200
    assert json.loads(lab.tell("GET", "status").body)["weather"] == "storm"
    assert lab.tell("POST", "weather", {"profile": "sunshine"}).status == 400
    assert lab.tell("POST", "weather", {"wind": 1}).status == 400
    assert lab.tell("GET", "nothing").status == 404
    assert json.loads(lab.tell("GET", "profiles").body)["storm"]["troubles"]["lost answer"] == 0.04
    lab.tell("POST", "weather", {"profile": None})
    socket = lab.connect("/v5/public/linear")
    assert json.loads(lab.tell("POST", "cut", {"stream": "private"}).body) == {"cut": 0}
    assert json.loads(lab.tell("POST", "cut", {"stream": "public"}).body) == {"cut": 1}
    assert socket.is_cut


def test_a_market_that_is_held_stands_still_and_catches_up(lab):
    def shown():
        return lab.get("market/orderbook", category="linear", symbol=BTC, limit=50)["result"]

    assert json.loads(lab.tell("POST", "hold", {"market": True}).body) == {"held": True}
    before = shown()
    lab.run(2_000)
    after = shown()
    assert (after["b"], after["a"], after["seq"]) == (before["b"], before["a"], before["seq"])
    assert lab.post("order/create", **lab.order(orderType="Market"))["retCode"] == 0
    lab.tell("POST", "hold", {"market": False})
    lab.run(1)
    assert shown()["seq"] > after["seq"]


def test_a_position_without_a_stop_is_noted_for_as_long_as_it_lasts(lab):
    began = lab.ms
    lab.post("order/create", **lab.order(orderType="Market"))
    lab.run(30)
    assert json.loads(lab.tell("GET", "audit").body)[0]["since"] // 1_000_000 == began
    lab.post("position/trading-stop", category="linear", symbol=BTC, stopLoss=lab.price(-0.05), tpslMode="Full")
    lab.run(50)
    (stretch,) = json.loads(lab.tell("GET", "audit").body)
    assert (stretch["uid"], stretch["symbol"], stretch["until"] - stretch["since"]) == (1, BTC, 30_000_000)
