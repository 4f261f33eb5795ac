"""Leverage and extra margin of one instrument, changed while orders and a position may stand."""

from decimal import Decimal

from stakan.adapters.exchanges.simulated.checks import check_leverage, reserved
from stakan.adapters.exchanges.simulated.desk import Desk
from stakan.adapters.exchanges.simulated.refusals import Refused
from stakan.adapters.exchanges.simulated.requests import ChangeMargin, SetLeverage
from stakan.core.portfolio.money import plus


def set_leverage(desk: Desk, request: SetLeverage, ts: int) -> None:
    """Margin position and orders anew; raises Refused, then nothing changed.

    Refused are: what is no leverage (10001), the one in force (110043), more than the instrument or the tier of
    position and orders allows (110013), what the wallet does not carry (110012), what would liquidate at once (110011).
    """
    rules, account, leverage = desk.rules, desk.account, request.leverage
    if not rules.is_linear or leverage < 1:
        raise Refused(10001, f"leverage {leverage} is not possible here")
    old = desk.terms.leverage
    if leverage == old:
        raise Refused(110043, "leverage not modified")
    if leverage > rules.max_leverage:
        raise Refused(110013, f"leverage {leverage} is above the {rules.max_leverage} of the instrument")
    check_leverage(rules, desk.resting(), desk.position, leverage)
    before = account.leverages.get(rules.id)
    account.leverages[rules.id] = leverage
    try:
        _bind(desk, is_dearer=leverage < old, code=110012)
    except Refused:
        if before is None:
            del account.leverages[rules.id]
        else:
            account.leverages[rules.id] = before
        account.bind(rules, desk.terms)
        raise
    desk.settle(ts)


def change_margin(desk: Desk, request: ChangeMargin) -> None:
    """Add margin to a position or take back what was added; raises Refused, then nothing changed.

    Refused are: no position (110034), nothing to change (110027), taking back more than was added (10001), what the
    wallet does not carry (110014), what would liquidate at once (110011).
    """
    rules, account, position = desk.rules, desk.account, desk.position
    if not position.lots or not rules.is_linear:
        raise Refused(110034, "no position whose margin could change")
    if not request.amount:
        raise Refused(110027, "margin not modified")
    before = position.extra_margin
    after = plus(before, request.amount)
    if after < 0:
        raise Refused(10001, f"only {before} was added and can be taken back")
    position.extra_margin = after
    try:
        _bind(desk, is_dearer=request.amount > 0, code=110014)
    except Refused:
        position.extra_margin = before
        account.bind(rules, desk.terms)
        raise


def _bind(desk: Desk, *, is_dearer: bool, code: int) -> None:
    """Bind the margin that follows from new terms; raises Refused where it cannot be."""
    rules, account, terms = desk.rules, desk.account, desk.terms
    account.bind(rules, terms)
    needed = reserved(rules, desk.resting(), desk.position.lots, terms)
    free = account.available(without=rules.id)
    if is_dearer and needed > free:
        raise Refused(code, f"insufficient balance: {needed - free} is missing")
    limit, mark = account.liquidation_price(rules.id), desk.reference.mark
    if limit is not None and mark is not None and _is_beyond(desk, mark, limit):
        raise Refused(110011, f"the position would be liquidated at once: mark {mark}, liquidation price {limit}")


def _is_beyond(desk: Desk, mark: Decimal, limit: Decimal) -> bool:
    return desk.position.side * mark <= desk.position.side * limit
