"""What plans are drawn: every kind of fault, and disk kills that hit what they are for."""

from collections import Counter

from stakan.apps.dst.plan import KillAtDisk, Script, Weather, draw
from stakan.apps.dst.settings import settings_of
from stakan.apps.exchange.faults import PROFILES, Trouble

PLANS = [draw(seed) for seed in range(1, 301)]


def test_most_kills_at_the_disk_are_in_the_commit_that_an_order_waits_for():
    """Flushes that nothing waits for are nearly all that a journal does: a kill that does not aim meets one of them."""
    kills = [fault for plan in PLANS for fault in plan.faults if isinstance(fault, KillAtDisk)]
    aimed = Counter(kill.operations for kill in kills if kill.after == "order")
    assert aimed.keys() == {1, 2}
    assert min(aimed.values()) > len(kills) / 5
    assert len({kill.operations for kill in kills if not kill.after}) > 5


def test_journals_go_to_the_disk_more_or_less_often_by_the_ordinary_setting():
    assert {plan.journal_interval for plan in PLANS} == {"50ms", "200ms", "1s"}
    assert all(settings_of(plan).trade.journal_interval == plan.journal_interval for plan in PLANS[:10])


def test_every_trouble_of_a_request_comes_up():
    scripted = {fault.trouble for plan in PLANS for fault in plan.faults if isinstance(fault, Script)}
    by_weather = {
        trouble
        for plan in PLANS
        for fault in plan.faults
        if isinstance(fault, Weather)
        for trouble in PROFILES[fault.profile].troubles
    }
    assert scripted | by_weather == set(Trouble)
    partial = [fault for plan in PLANS for fault in plan.faults if getattr(fault, "trouble", None) == "partial cancel"]
    assert {fault.operation for fault in partial} == {"order/cancel"}
    assert len(partial) > len(PLANS) / 10
