"""HTTP as it is: what is signed is what travels, and what comes back, or does not, is judged."""

import asyncio
import time
from urllib.parse import parse_qsl

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit import auth
from stakan.adapters.exchanges.bybit.client import Faults
from stakan.adapters.exchanges.bybit.errors import Kind, Reaction
from stakan.adapters.exchanges.bybit.limits import Group, RateLimiter
from stakan.adapters.exchanges.bybit.messages import OrderIds
from stakan.adapters.exchanges.bybit.rest import (
    HttpTransport,
    Keys,
    Line,
    Pause,
    Reply,
    ServerClock,
    get,
    measure_clock,
    pages,
    patiently,
    post,
)
from stakan.core.domain.errors import DataError, OutcomeUnknown, RequestRefused, VenueUnavailable
from stakan.core.domain.units import MILLISECOND, SECOND

KEYS = Keys("KEY", "SECRET")
OK = '{"retCode":0,"retMsg":"OK","result":{},"unheard":1}'


def against(handler, procedure, keys=KEYS, timeout_ns=SECOND):
    """Carry a procedure out against a server on loopback."""

    async def main():
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        clock, faults = ServerClock(time.time_ns), Faults()
        async with aiohttp.ClientSession() as session:
            transport = HttpTransport(
                session,
                f"http://127.0.0.1:{port}",
                keys,
                clock,
                clock=time.time_ns,
                timeout_ns=timeout_ns,
                failed=faults.add,
            )
            line = Line(transport, RateLimiter(), clock, clock=time.time_ns, timers=faults.timers)
            faults.line = line
            try:
                result = await asyncio.wait_for(line.carry_out(procedure(clock)), 10)
            finally:
                await transport.close()
                await runner.cleanup()
        return result, line

    return asyncio.run(main())


def asked(request):
    return lambda _: patiently(request, attempts=2, pause_ns=1)


def test_what_is_signed_is_what_travels():
    seen = []

    async def handler(request):
        content = await request.read() if request.method == "POST" else request.rel_url.raw_query_string.encode()
        head = request.headers
        expected = auth.sign_request(
            "SECRET", head["X-BAPI-TIMESTAMP"], head["X-BAPI-API-KEY"], head["X-BAPI-RECV-WINDOW"], content
        )
        seen.append((request.method, request.path, content, head["X-BAPI-SIGN"] == expected))
        return web.Response(text=OK)

    odd = get(Kind.QUERY, Group.ORDERS, "/v5/order/realtime", symbol="A B&C/ü", cursor="x%3A2,1", empty="")
    against(handler, asked(odd))
    against(handler, asked(post(Kind.SET, Group.SETTINGS, "/v5/position/set-leverage", symbol="BTCUSDT", price="1.50")))
    assert [entry[3] for entry in seen] == [True, True]
    assert parse_qsl(seen[0][2].decode()) == [("symbol", "A B&C/ü"), ("cursor", "x%3A2,1")]
    assert seen[1][:3] == ("POST", "/v5/position/set-leverage", b'{"symbol":"BTCUSDT","price":"1.50"}')


@pytest.mark.parametrize(
    ("status", "text", "kind", "error"),
    [
        (200, '{"retCode":10001,"retMsg":"params error"}', Kind.QUERY, RequestRefused),
        (200, '{"retCode":10016,"retMsg":"server error"}', Kind.QUERY, VenueUnavailable),
        (200, '{"retCode":10016,"retMsg":"server error"}', Kind.SET, OutcomeUnknown),
        (401, "", Kind.QUERY, RequestRefused),
        (502, "<html>bad gateway</html>", Kind.QUERY, VenueUnavailable),
        (502, "<html>bad gateway</html>", Kind.SET, OutcomeUnknown),
        (403, "access too frequent", Kind.QUERY, RequestRefused),
        (200, "[1, 2]", Kind.SET, OutcomeUnknown),
    ],
)
def test_answers_are_judged_by_code_and_status(status, text, kind, error):
    async def handler(_):
        return web.Response(status=status, text=text)

    request = get(kind, Group.ACCOUNT, "/v5/account/info")
    with pytest.raises(error, match="/v5/account/info"):
        against(handler, asked(request))


@pytest.mark.parametrize("where", ["answer", "timer"])
def test_a_bug_of_ours_in_a_callback_is_raised_where_somebody_waits(where, monkeypatch, caplog):
    async def handler(_):
        return web.Response(text=OK)

    def procedure(_):
        yield Pause(1)
        yield get(Kind.QUERY, Group.ACCOUNT, "/v5/account/info")

    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Line, "_judge" if where == "answer" else "ask", broken)
    with pytest.raises(ZeroDivisionError):
        against(handler, procedure)
    assert "a bug" in caplog.text


def test_an_answer_that_does_not_come_is_unknown_and_no_connection_is_not():
    async def handler(_):
        await asyncio.sleep(0.5)
        return web.Response(text=OK)

    def reply(request):
        def procedure(_):
            return (yield request)

        return procedure

    change = post(Kind.CREATE, Group.CREATE, "/v5/order/create", symbol="X")
    lost, _ = against(handler, reply(change), timeout_ns=SECOND // 20)
    assert (lost.reaction, lost.was_sent) == (Reaction.AMBIG, True)
    unsent, _ = against(handler, reply(change), keys=None)
    assert (unsent.reaction, unsent.was_sent) == (Reaction.RETRY, False)


def test_what_the_client_library_refuses_to_send_is_answered_without_showing_it():
    async def handler(request):
        return web.Response(text=OK)

    request = get(Kind.QUERY, Group.KEY, "/v5/user/query-api")
    with pytest.raises(VenueUnavailable, match="ValueError") as refused:
        against(handler, asked(request), keys=Keys("line\nbreak", "SECRET"))
    assert "break" not in str(refused.value)


def test_headers_of_answers_steer_the_limits():
    async def handler(_):
        ahead = str(time.time_ns() // 1_000_000 + 800)
        head = {"X-Bapi-Limit": "50", "X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": ahead}
        return web.Response(text=OK, headers=head)

    _, line = against(handler, asked(get(Kind.QUERY, Group.ORDERS, "/v5/order/realtime")))
    assert line._limiter.acquire(Group.ORDERS, time.time_ns(), SECOND, over_http=True) > 0


def test_all_pages_are_read_and_an_endless_cursor_is_refused():
    async def handler(request):
        page = int(request.query.get("cursor", "0"))
        after = page + 1 if page < 2 or request.path == "/endless" else ""
        text = f'{{"retCode":0,"result":{{"list":[{{"orderId":"{page}"}}],"nextPageCursor":"{after}"}}}}'
        return web.Response(text=text)

    rows, _ = against(handler, lambda _: pages(get(Kind.QUERY, Group.MARKET, "/list"), OrderIds))
    assert [row.order_id for row in rows] == ["0", "1", "2"]
    with pytest.raises(DataError, match="cursor"):
        against(handler, lambda _: pages(get(Kind.QUERY, Group.MARKET, "/endless"), OrderIds), timeout_ns=9 * SECOND)


def test_the_clock_of_the_exchange_is_measured():
    async def handler(_):
        return web.Response(text=f'{{"retCode":0,"result":{{"timeNano":"{time.time_ns() + 3 * SECOND}"}}}}')

    clocks = []

    def procedure(clock):
        clocks.append(clock)
        return measure_clock(clock, time.time_ns)

    against(handler, procedure)
    assert abs(clocks[0].offset - 3 * SECOND) < SECOND
    assert clocks[0].is_synced


def test_the_quickest_answer_counts_until_the_clocks_disagree():
    clock = ServerClock(lambda: 0)
    clock.observe(0, 100, 1_050)
    assert (clock.offset, clock.error) == (1_000, 50)
    clock.observe(1_000, 1_400, 2_210)
    assert (clock.offset, clock.error) == (1_000, 50)
    clock.observe(2_000, 2_020, 3_010)
    assert clock.error == 10
    clock.observe(3_000, 3_400, 9_200)
    assert (clock.offset, clock.error) == (6_000, 200)


@given(st.integers(-5_000_000, 5_000_000), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**11))
def test_a_moment_that_is_certainly_past_is_never_ahead_of_the_exchange(true_offset, there, back, later):
    """Whatever the two ways of the question took, and however fast our clock is slewed."""
    now = 1_700_000_000 * SECOND
    clock = ServerClock(lambda: now)
    clock.observe(now, now + there + back, now + there + true_offset)
    now += there + back + later
    slewed = later // 2_000
    for drift in (-slewed, 0, slewed):
        assert clock.past_millis() <= (now + true_offset + drift) // MILLISECOND
    assert clock.past_millis() >= (now + true_offset - there - back - 2 * slewed) // MILLISECOND - 1


def test_an_unmeasured_clock_knows_no_past():
    assert ServerClock(lambda: 1_700_000_000 * SECOND).past_millis() == 0


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("form", ["code", "text", "result", "garbage"])
def test_an_answer_that_quotes_the_key_does_not_show_it(form, status):
    keys = Keys("aB3dE6gH9jK2mN5pQ8", "s3cret" * 6)
    quoted = f"error sign! origin_string[1690000000000{keys.key}5000category=linear] {keys.secret}"
    text = {
        "code": f'{{"retCode":10004,"retMsg":"{quoted}","result":{{}}}}',
        "text": f'{{"retCode":10001,"retMsg":"{quoted}"}}',
        "result": f'{{"retCode":0,"retMsg":"OK","result":{{"orderId":"{quoted}"}}}}',
        "garbage": quoted,
    }[form]

    async def handler(_):
        return web.Response(status=status, text=text)

    def procedure(_):
        return (yield get(Kind.QUERY, Group.ACCOUNT, "/v5/account/info"))

    reply, _ = against(handler, procedure, keys=keys)
    shown = f"{reply} {reply.why} {bytes(reply.result)!r}"
    assert keys.key not in shown
    assert keys.secret not in shown
    assert "origin_string[1690000000000***5000" in shown or form == "garbage"


def test_a_connection_error_that_quotes_the_key_does_not_show_it():
    keys = Keys("aB3dE6gH9jK2mN5pQ8", "s3cret" * 6)

    def echo(reader, writer):
        writer.write(f"HTTP/1.1 {keys.key} {keys.secret}\r\n\r\n".encode())
        writer.close()

    async def ask():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        answer = asyncio.get_running_loop().create_future()
        async with server, aiohttp.ClientSession() as session, asyncio.timeout(10):
            clock = ServerClock(time.time_ns)
            transport = HttpTransport(session, url, keys, clock, clock=time.time_ns, failed=answer.set_exception)
            transport(get(Kind.QUERY, Group.KEY, "/v5/user/query-api"), answer.set_result)
            try:
                return await answer
            finally:
                await transport.close()

    answer = asyncio.run(ask())
    assert "***" in answer.why
    assert keys.key not in answer.why
    assert keys.secret not in answer.why


def test_keys_show_nothing():
    for text in (repr(KEYS), str(KEYS), f"{KEYS}", repr([KEYS]), repr({"keys": KEYS})):
        assert "KEY" not in text
        assert "SECRET" not in text


@pytest.mark.parametrize("chance", [None, np.random.default_rng(1)])
def test_pauses_are_spread_by_chance_and_never_shorter(chance):
    waits = []
    line = Line(
        lambda _request, _done: None,
        RateLimiter(),
        ServerClock(lambda: 0),
        clock=lambda: 0,
        timers=lambda ns, _call: waits.append(ns),
        chance=chance,
    )

    def procedure():
        yield Pause(100, spread=50)

    for _ in range(200):
        line.run(procedure(), lambda _: None, lambda _: None)
    assert min(waits) == 100
    assert max(waits) == (100 if chance is None else 150)


def test_a_question_that_is_not_answered_is_asked_again_after_longer_and_longer_spread_pauses():
    asking = patiently(get(Kind.QUERY, Group.ACCOUNT, "/v5/account/info"), attempts=4, pause_ns=100)
    busy = Reply(Reaction.RETRY, -1, "busy")
    next(asking)
    pauses = []
    for _ in range(3):
        pauses.append(asking.send(busy))
        asking.send(None)
    with pytest.raises(VenueUnavailable):
        asking.send(busy)
    assert pauses == [Pause(100, 50), Pause(200, 100), Pause(400, 200)]
