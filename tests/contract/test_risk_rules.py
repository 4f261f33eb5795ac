"""Laws of every risk rule; a new file under `core/risk` is found by itself."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.facts import IntentRefused
from stakan.core.domain.instrument import Category
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import Side
from stakan.core.plugins import AccountView, Refusal, RiskRule, load, names, spec_of
from tests.core.engine.builders import an_instrument
from tests.core.risk.builders import ENTRY, an_account, an_intent

PACKAGE = "stakan.core.risk"
ALL = names(PACKAGE)

money = st.decimals(-1_000, 50_000, places=2)
intents = st.builds(
    lambda side, entry, distance, size: an_intent(side, entry, entry - side * distance, size),
    st.sampled_from(Side),
    st.integers(ENTRY - 2_000, ENTRY + 2_000),
    st.integers(-2_000, 20_000),
    st.integers(0, 200),
)
accounts = st.builds(
    AccountView,
    instrument=st.sampled_from([an_instrument(), an_instrument(category=Category.SPOT)]),
    mark=st.decimals(63_000, 65_000, places=2),
    equity=money,
    day_start_equity=money,
    free_balance=money,
    exposure=st.decimals(0, 20_000, places=2),
    instrument_exposure=st.decimals(0, 1_000, places=2),
    open_positions=st.integers(0, 8),
    leverage=st.integers(1, 100).map(Decimal),
)
amounts = st.decimals(0, 5_000, places=2)


def rule_named(name):
    return load(PACKAGE, RiskRule, name, {})


@pytest.mark.parametrize("name", ALL)
def test_it_has_usable_defaults_and_says_what_it_does(name):
    rule = rule_named(name)
    module = __import__(f"{PACKAGE}.{name}", fromlist=["x"])
    assert module.__doc__
    assert spec_of(module, RiskRule).__doc__
    assert msgspec.json.decode(msgspec.json.encode(rule), type=type(rule)) == rule
    assert hash(rule) == hash(rule_named(name))


def test_the_defaults_let_a_modest_entry_pass():
    refused = {name: rule_named(name).refusal(an_intent(), an_account()) for name in ALL}
    assert refused == dict.fromkeys(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_or_mistyped_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"'{name}'.*no_such_parameter"):
        load(PACKAGE, RiskRule, name, {"no_such_parameter": 1})
    for parameter in type(rule_named(name)).__struct_fields__:
        for wrong in ("not a number", []):
            with pytest.raises(ConfigError, match=f"'{name}'.*{parameter}"):
                load(PACKAGE, RiskRule, name, {parameter: wrong})


@pytest.mark.parametrize("name", ALL)
def test_numbers_may_be_written_as_text_or_as_numbers(name):
    for parameter in type(rule_named(name)).__struct_fields__:
        assert load(PACKAGE, RiskRule, name, {parameter: "3"}) == load(PACKAGE, RiskRule, name, {parameter: 3})


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=100)
@given(intent=intents, account=accounts)
def test_a_refusal_has_its_reason_and_its_numbers(name, intent, account):
    for refusal in (rule_named(name).refusal(intent, account), rule_named(name).breach(account)):
        if refusal is not None:
            assert isinstance(refusal, Refusal)
            assert isinstance(refusal.reason, Reason)
            assert any(letter.isdigit() for letter in refusal.detail) or refusal.reason is Reason.NO_STOP
            fact = IntentRefused(intent=intent, rule=name, reason=refusal.reason, detail=refusal.detail)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(fact), type=IntentRefused) == fact


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=200)
@given(intent=intents, account=accounts, exposure=amounts, own=amounts, loss=amounts, positions=st.integers(0, 3))
def test_a_worse_account_never_makes_a_refusal_an_approval(name, intent, account, exposure, own, loss, positions):
    rule = rule_named(name)
    worse = account._replace(
        exposure=account.exposure + exposure,
        instrument_exposure=account.instrument_exposure + own,
        equity=account.equity - loss,
        free_balance=account.free_balance - loss,
        open_positions=account.open_positions + positions,
    )
    if rule.refusal(intent, account) is not None:
        assert rule.refusal(intent, worse) is not None
    if rule.breach(account) is not None:
        assert rule.breach(worse) is not None


@pytest.mark.parametrize("name", ALL)
@given(intent=intents, account=accounts)
def test_equal_questions_have_equal_answers(name, intent, account):
    assert rule_named(name).refusal(intent, account) == rule_named(name).refusal(intent, account)


@pytest.mark.parametrize("name", ALL)
@given(account=accounts)
def test_what_halts_trading_refuses_every_entry_too(name, account):
    rule = rule_named(name)
    if rule.breach(account) is not None:
        assert rule.refusal(an_intent(), account) is not None


def test_the_questions_of_this_suite_make_every_rule_refuse_and_approve():
    found = set()

    @settings(max_examples=300, derandomize=True, database=None)
    @given(intent=intents, account=accounts)
    def look(intent, account):
        found.update((name, rule_named(name).refusal(intent, account) is None) for name in ALL)

    look()
    assert found == {(name, passes) for name in ALL for passes in (True, False)}
