"""Intents and accounts for risk rules: a modest entry that every rule lets pass, and what differs from it."""

from decimal import Decimal

from tests.core.engine.builders import BTC, an_instrument

from stakan.core.domain.ids import IntentId
from stakan.core.domain.trading import Intent, Signal
from stakan.core.domain.units import Side
from stakan.core.plugins import AccountView

ENTRY = 640_000
"""64,000 USDT; a lot of 0.001 is worth 64 USDT."""


def an_intent(side=Side.BUY, entry=ENTRY, stop=None, size=5, **changes):
    stop = entry - side * 1_600 if stop is None else stop
    signal = Signal(
        instrument=BTC, side=side, strength=1.0, ts_event=1, entry=entry, stop_loss=stop, strategy="s", **changes
    )
    return Intent(id=IntentId("i-1"), signal=signal, size=size, ts_recv=1)


def an_account(rules=None, **changes):
    values = {
        "mark": Decimal(64_000),
        "equity": Decimal(10_000),
        "day_start_equity": Decimal(10_000),
        "free_balance": Decimal(10_000),
        "exposure": Decimal(0),
        "instrument_exposure": Decimal(0),
        "open_positions": 0,
        "leverage": Decimal(10),
    }
    rules = an_instrument(**(rules or {}))
    money = {key: Decimal(value) if isinstance(value, str) else value for key, value in changes.items()}
    return AccountView(instrument=rules, **{**values, **money})


def reason(rule, intent, account):
    refusal = rule.refusal(intent, account)
    return refusal and refusal.reason
