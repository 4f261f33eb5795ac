"""Who is let in, who is refused and with which code."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.auth import request_headers, sign_login
from stakan.apps.exchange.accounts import AccountConfig, Accounts, ApiKey
from stakan.apps.exchange.gate import Gate, Unsigned, check_time
from stakan.apps.exchange.refusal import Refused

NOW = 1_700_000_000_000
KEY = ApiKey("TESTKEY", "TESTSECRET")
BOUND = ApiKey("bound", "s", ips=("10.0.0.1",))
ENDED = ApiKey("ended", "s", expires_ms=NOW)


class NoMarket:
    instruments = {}  # noqa: RUF012 - nobody writes to it


def gate():
    return Gate(Accounts([AccountConfig(keys=(KEY, BOUND, ENDED))], NoMarket()))


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def let_in(content, signed=None, key=KEY, at=NOW, window=5000, now=NOW, address="1.1.1.1"):
    headers = request_headers(key.key, key.secret, at, window, content if signed is None else signed)
    return gate().request(lower(headers), content, now, address)[1]


def code(call, *args, **kwargs):
    with pytest.raises(Refused) as refused:
        call(*args, **kwargs)
    return refused.value.code


@pytest.mark.parametrize(
    ("content", "signature"),
    [
        (b"category=linear&symbol=BTCUSDT", "f805ff4f3587db4ed1b8f9c5414a19ff72e32d65e2ad9708222565091809de5b"),
        (
            b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"50000"}',
            "9095dcf35ce39d4931ca88b9781de9f8973f6d26c2171bea848f8f135c66829f",
        ),
    ],
)
def test_the_signatures_of_the_documentation_are_let_in(content, signature):
    headers = {
        "x-bapi-api-key": "TESTKEY",
        "x-bapi-timestamp": str(NOW),
        "x-bapi-recv-window": "5000",
        "x-bapi-sign": signature,
    }
    assert gate().request(headers, content, NOW, "")[1] == KEY


def test_the_login_of_the_documentation_is_let_in():
    signature = "0279bab66978fa6daf097fc63b357431eb1cdb9284e64d4191876b4fe0bab24e"
    for expires in (1_700_000_010_000, "1700000010000"):
        assert gate().login(["TESTKEY", expires, signature], NOW, "")[1] == KEY


@given(st.binary(max_size=80))
def test_the_very_bytes_are_signed(content):
    assert let_in(content) == KEY


@given(st.binary(min_size=1, max_size=40), st.data())
def test_any_other_byte_is_refused(content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    other = bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]])
    assert code(let_in, content, signed=other) == 10004


@given(st.dictionaries(st.sampled_from("abc"), st.text("xyz:,@ {}", min_size=1), min_size=1))
def test_a_query_may_be_signed_as_it_was_before_it_was_encoded(params):
    plain = "&".join(f"{name}={value}" for name, value in params.items())
    sent = "&".join(f"{name}={quote(value)}" for name, value in params.items())
    assert let_in(sent.encode(), signed=plain.encode()) == KEY


@given(st.integers(-20_000, 20_000), st.integers(0, 15_000))
def test_a_timestamp_counts_within_its_window_and_less_than_a_second_ahead(offset, window):
    if -window <= offset < 1000:
        check_time(str(NOW + offset), str(window), NOW)
        return
    with pytest.raises(Refused) as refused:
        check_time(str(NOW + offset), str(window), NOW)
    assert refused.value.code == 10002
    assert refused.value.message == (
        "invalid request, please check your server timestamp or recv_window param. "
        f"req_timestamp[{NOW + offset}],server_timestamp[{NOW}],recv_window[{window}]"
    )


def test_a_request_out_of_its_window_is_refused():
    assert code(let_in, b"", at=NOW - 5001) == 10002
    assert let_in(b"", at=NOW - 5000) == KEY
    assert code(let_in, b"", at=NOW + 1000, window=60_000) == 10002


def test_without_a_window_it_is_five_seconds():
    headers = lower(request_headers(KEY.key, KEY.secret, NOW - 5000, 5000, b""))
    del headers["x-bapi-recv-window"]
    assert gate().request(headers, b"", NOW, "")[1] == KEY
    assert code(gate().request, headers, b"", NOW + 1, "") == 10002


@pytest.mark.parametrize("missing", ["x-bapi-api-key", "x-bapi-timestamp", "x-bapi-sign"])
def test_a_missing_header_is_named(missing):
    headers = lower(request_headers(KEY.key, KEY.secret, NOW, 5000, b""))
    del headers[missing]
    with pytest.raises(Unsigned, match="empty value: apiTimestamp") as refused:
        gate().request(headers, b"", NOW, "")
    assert refused.value.code == 10001


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1.7e12", "²", "9" * 5000])
def test_a_timestamp_is_milliseconds(timestamp):
    assert code(check_time, timestamp, "5000", NOW) == 10001
    assert code(check_time, str(NOW), timestamp, NOW) == 10001


def test_strangers_expired_and_bound_keys_are_told_apart():
    assert code(let_in, b"", key=ApiKey("nobody", "s")) == 10003
    assert code(let_in, b"", key=ApiKey("TESTKEY", "another secret")) == 10004
    assert code(let_in, b"", key=ENDED) == 33004
    assert let_in(b"", key=ENDED, now=NOW - 1, at=NOW - 1) == ENDED
    assert code(let_in, b"", key=BOUND) == 10010
    assert let_in(b"", key=BOUND, address="10.0.0.1") == BOUND


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], 10001),
        (["TESTKEY", NOW + 1], 10001),
        (["TESTKEY", "later", "x"], 10001),
        (["TESTKEY", "²", "x"], 10001),
        (["TESTKEY", "9" * 5000, "x"], 10001),
        (["nobody", NOW + 1, "x"], 10003),
        (["TESTKEY", NOW + 1, "x"], 10004),
        (["TESTKEY", NOW, sign_login("TESTSECRET", NOW)], 10004),
        (["ended", NOW + 1, sign_login("s", NOW + 1)], 33004),
        (["bound", NOW + 1, sign_login("s", NOW + 1)], 10010),
        (["TESTKEY", NOW + 2, sign_login("TESTSECRET", NOW + 1)], 10004),
        ([{}, None, []], 10001),
    ],
)
def test_logins_that_cannot_be(args, expected):
    assert code(gate().login, args, NOW, "") == expected


def test_a_login_may_end_a_millisecond_from_now():
    assert gate().login(["TESTKEY", NOW + 1, sign_login("TESTSECRET", NOW + 1)], NOW, "")[1] == KEY


def test_a_signature_that_is_no_ascii_is_only_wrong():
    headers = lower(request_headers(KEY.key, KEY.secret, NOW, 5000, b"")) | {"x-bapi-sign": "é" * 64}
    assert code(gate().request, headers, b"", NOW, "") == 10004
