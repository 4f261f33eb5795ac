"""The sum of what is at stake stays under its limits, orders in flight counted as filled."""

from decimal import Decimal

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.plugins import AccountView, Refusal, RiskRule


class Exposure(RiskRule, frozen=True, kw_only=True):
    """Notional limits; the tightest binds."""

    max_notional: Decimal = Decimal(10_000)
    """All positions and entries in flight, settlement currency."""
    max_equity_share: Decimal = Decimal("0.5")
    """The same as a share of equity."""
    max_position_share: Decimal = Decimal("0.05")
    """One position as a share of equity."""

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:
        """Refuse what would go over one of the limits, at mark or at the entry price, whichever is higher."""
        price = max(account.mark, account.instrument.price(intent.signal.entry))
        value = account.instrument.value_at(price, intent.size)
        limit = min(self.max_notional, self.max_equity_share * account.equity)
        if account.exposure + value > limit:
            return Refusal(Reason.EXPOSURE, f"{account.exposure} at stake and {value} more, limit {limit}")
        own_limit = self.max_position_share * account.equity
        if account.instrument_exposure + value > own_limit:
            detail = f"{account.instrument_exposure} in this instrument and {value} more, limit {own_limit}"
            return Refusal(Reason.EXPOSURE, detail)
        leverage = account.leverage if account.instrument.is_linear else Decimal(1)
        needed = value / leverage + value * account.instrument.taker_fee * 2
        if needed > account.free_balance:
            return Refusal(Reason.BALANCE, f"needs {needed} with the fees, {account.free_balance} is free")
        return None
