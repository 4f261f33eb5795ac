"""No entry without a stop on the right side, neither so close that noise takes it nor wider than the limit."""

from decimal import Decimal

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.domain.units import Side
from stakan.core.plugins import AccountView, Refusal, RiskRule


class MandatoryStop(RiskRule, frozen=True, kw_only=True):
    """Bounds on the distance from entry to stop, as a share of the entry price."""

    min_distance: Decimal = Decimal("0.0005")
    max_distance: Decimal = Decimal("0.02")

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:
        """Refuse entries whose stop does not protect."""
        signal = intent.signal
        mark = account.instrument.price_nearest(account.mark)
        reference = min(signal.entry, mark) if signal.side is Side.BUY else max(signal.entry, mark)
        if signal.stop_loss <= 0:
            return Refusal(Reason.NO_STOP, "an entry needs a stop")
        if (reference - signal.stop_loss) * signal.side <= 0:
            detail = f"stop {signal.stop_loss} is not behind entry {signal.entry} and mark {mark} (ticks)"
            return Refusal(Reason.STOP_WRONG_SIDE, detail)
        distance = abs(Decimal(signal.entry - signal.stop_loss)) / signal.entry
        if distance < self.min_distance:
            return Refusal(Reason.STOP_TOO_CLOSE, f"{distance:.6f} of the price, at least {self.min_distance}")
        if distance > self.max_distance:
            return Refusal(Reason.STOP_TOO_WIDE, f"{distance:.6f} of the price, at most {self.max_distance}")
        return None
