"""No entry without a stop on the right side: not so close that noise takes it, not too wide, before liquidation."""

from decimal import Decimal

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.plugins import AccountView, Refusal, RiskRule
from stakan.core.risk._protection import unprotected

_MAINTENANCE = Decimal("0.005")
"""First tier of liquid contracts; where the instrument's own tiers are not known."""


class MandatoryStop(RiskRule, frozen=True, kw_only=True):
    """Bounds on the distance from entry to stop, as a share of the entry price."""

    min_distance: Decimal = Decimal("0.0005")
    max_distance: Decimal = Decimal("0.02")

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:
        """Refuse entries whose stop does not protect."""
        signal = intent.signal
        missing = unprotected(intent, account)
        if missing is not None:
            return missing
        distance = abs(Decimal(signal.entry - signal.stop_loss)) / signal.entry
        if distance < self.min_distance:
            return Refusal(Reason.STOP_TOO_CLOSE, f"{distance:.6f} of the price, at least {self.min_distance}")
        if distance > self.max_distance:
            return Refusal(Reason.STOP_TOO_WIDE, f"{distance:.6f} of the price, at most {self.max_distance}")
        reach = _liquidation_distance(intent, account)
        if distance >= reach:
            detail = f"stop {distance:.6f} of the price away, liquidation {reach:.6f} at leverage {account.leverage}"
            return Refusal(Reason.LEVERAGE, detail)
        return None


def _liquidation_distance(intent: Intent, account: AccountView) -> Decimal:
    """How far from its entry an isolated position is liquidated, as a share of the price; the fees come on top.

    Margin and loss meet the maintenance margin at (1/L - R) / (1 - R) below a long, (1/L - R) / (1 + R) above a short;
    a tier's deduction only moves it away.
    """
    rules, side = account.instrument, intent.signal.side
    if not rules.is_linear:
        return Decimal(1)
    value = rules.notional(intent.signal.entry, intent.size)
    rate = next((tier.maintenance_rate for tier in rules.margin_tiers if value <= tier.notional_limit), _MAINTENANCE)
    leverage = min(account.leverage, rules.max_leverage)
    return (1 / leverage - rate) / (1 - side * rate)
