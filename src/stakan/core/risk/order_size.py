"""Orders are neither dust nor larger than one order may be."""

from decimal import Decimal

from stakan.core.domain.orders import OrderType
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.plugins import AccountView, Refusal, RiskRule


class OrderSize(RiskRule, frozen=True, kw_only=True):
    """Bounds on one entry, in settlement currency; the instrument's own minimum holds where it is higher."""

    min_notional: Decimal = Decimal(5)
    max_notional: Decimal = Decimal(10_000)

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:
        """Refuse dust and giants."""
        instrument = account.instrument
        value = instrument.notional(intent.signal.entry, intent.size)
        least = max(self.min_notional, instrument.min_notional)
        if intent.size < instrument.min_size or value < least:
            return Refusal(Reason.ORDER_TOO_SMALL, f"{value} is under the minimum of {least} or of the lot")
        most = instrument.max_market_size if intent.signal.type is OrderType.MARKET else instrument.max_limit_size
        if intent.size > most or value > self.max_notional:
            return Refusal(Reason.ORDER_TOO_LARGE, f"{value} is over the maximum of {self.max_notional}")
        return None
