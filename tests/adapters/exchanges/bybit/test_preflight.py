"""What pre-flight finds, check by check."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from tests.adapters.exchanges.bybit.fakes import Bench

from stakan.adapters.exchanges.bybit.messages import ApiKey
from stakan.adapters.exchanges.bybit.preflight import Verdict, Wanted, is_fit, judge_key, preflight, reachable
from stakan.adapters.exchanges.bybit.rest import ServerClock
from stakan.core.domain.units import MILLISECOND, SECOND

NOW = datetime(2026, 8, 1, tzinfo=UTC)
GOOD = ApiKey(permissions={"ContractTrade": ["Order", "Position"]}, ips=["10.0.0.1"], uta=1)
WANTED = Wanted(symbols=("BTCUSDT",), leverage=Decimal(10))


def run(bench, procedure):
    found = []
    bench.venue.line.run(procedure, found.append, found.append)
    bench.time.run(60 * SECOND)
    (result,) = found
    return result


def checks(bench, wanted=WANTED):
    return {check.name: check for check in run(bench, preflight(wanted, lambda: NOW))}


def verdicts(key):
    return {check.name: check.verdict for check in judge_key(key, NOW)}


def test_a_good_account_is_fit():
    bench = Bench()
    found = checks(bench)
    assert is_fit(list(found.values()))
    assert {check.verdict for check in found.values()} == {Verdict.OK}
    assert set(found) == {
        *("key rights", "key address", "key life", "account", "margin mode", "position mode", "leverage"),
        *("open positions", "open orders", "wallet", "symbol BTCUSDT"),
    }


@pytest.mark.parametrize(
    ("changes", "name", "verdict"),
    [
        ({"permissions": {"ContractTrade": ["Order", "Position"], "Wallet": ["Withdraw"]}}, "key rights", Verdict.FAIL),
        ({"read_only": 1}, "key rights", Verdict.FAIL),
        ({"permissions": {"ContractTrade": ["Order"]}}, "key rights", Verdict.FAIL),
        ({"permissions": {"Spot": ["SpotTrade"]}}, "key rights", Verdict.FAIL),
        ({"ips": ["*"]}, "key address", Verdict.WARN),
        ({"ips": []}, "key address", Verdict.WARN),
        ({"expired_at": "2026-07-31T23:59:59Z"}, "key life", Verdict.FAIL),
        ({"expired_at": "2026-08-03T00:00:00Z"}, "key life", Verdict.WARN),
        ({"expired_at": "2026-10-03T00:00:00Z"}, "key life", Verdict.OK),
        ({"expired_at": "some day"}, "key life", Verdict.WARN),
    ],
)
def test_keys(changes, name, verdict):
    found = verdicts(msgspec.structs.replace(GOOD, **changes))
    assert found.pop(name) is verdict
    assert set(found.values()) == {Verdict.OK}


def test_findings_about_the_account_are_told_with_what_to_do():
    bench = Bench()
    bench.exchange.margin_mode = "REGULAR_MARGIN"
    bench.exchange._account_info = lambda query: (0, {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 3})
    bench.exchange.positions["BTCUSDT"] |= {"size": "0.010", "side": "Buy", "stopLoss": "", "leverage": "3"}
    bench.exchange.positions["ETHUSDT"] = {"size": "1", "side": "Buy", "positionIdx": 1}
    bench.exchange._account_wallet_balance = lambda query: (0, {"list": []})
    bench.exchange._market_instruments_info = lambda query: (0, {"list": [{"symbol": "BTCUSDT", "status": "Closed"}]})
    found = checks(bench)
    assert found["account"].verdict is found["position mode"].verdict is Verdict.FAIL
    assert found["wallet"].verdict is found["symbol BTCUSDT"].verdict is Verdict.FAIL
    assert found["margin mode"].verdict is found["leverage"].verdict is found["open positions"].verdict is Verdict.WARN
    assert "without a stop: BTCUSDT" in found["open positions"].finding
    assert all(check.mend for check in found.values() if check.verdict is not Verdict.OK)
    assert not is_fit(list(found.values()))


@pytest.mark.parametrize(("symbol", "finding"), [("OLDUSDT", "Closed"), ("NONEUSDT", "not listed")])
def test_a_symbol_that_does_not_trade_is_named_with_what_it_is(symbol, finding):
    found = checks(Bench(), Wanted(symbols=("BTCUSDT", symbol), leverage=Decimal(10)))
    assert found["symbol BTCUSDT"].verdict is Verdict.OK
    assert (found[f"symbol {symbol}"].verdict, found[f"symbol {symbol}"].finding) == (Verdict.FAIL, finding)


def test_hundreds_of_symbols_are_a_handful_of_questions():
    bench = Bench()
    asked = []
    carry = bench.exchange.carry
    bench.exchange.carry = lambda path, body: asked.append((path, "symbol" in body)) or carry(path, body)
    found = checks(bench, Wanted(symbols=("BTCUSDT",) * 300, leverage=Decimal(10), asks_of_flat=False))
    assert found["symbol BTCUSDT"].verdict is Verdict.OK
    assert ("/v5/market/instruments-info", False) in asked
    assert not any(is_of_one for _, is_of_one in asked)


def test_a_question_without_an_answer_is_a_failed_check():
    bench = Bench()
    bench.exchange.script["/v5/user/query-api"] = [10003]
    bench.exchange.script["/v5/account/info"] = ["silence"] * 9
    found = checks(bench)
    assert found["API key"].verdict is Verdict.FAIL
    assert "10003" in found["API key"].finding
    assert "no answer" in found["account"].finding
    assert found["wallet"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(0, Verdict.OK), (400 * MILLISECOND, Verdict.WARN), (-2 * SECOND, Verdict.FAIL)]
)
def test_the_clock_is_measured_against_the_exchange(ahead, verdict):
    bench = Bench()
    clock = ServerClock(bench.time.clock)
    bench.exchange._market_time = lambda query: (0, {"timeNano": str(bench.time.now + ahead)})
    found = {check.name: check for check in run(bench, reachable(clock, bench.time.clock))}
    assert found["exchange"].verdict is Verdict.OK
    assert found["clock"].verdict is verdict
    assert abs(clock.offset - ahead) < 5 * MILLISECOND


def test_an_exchange_that_does_not_answer():
    bench = Bench()
    bench.exchange.script["/v5/market/time"] = ["down"] * 9
    (check,) = run(bench, reachable(ServerClock(bench.time.clock), bench.time.clock))
    assert (check.name, check.verdict) == ("exchange", Verdict.FAIL)
