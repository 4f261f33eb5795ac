"""A day may lose only so much: then everything is closed and nothing opens until the next UTC day or a release."""

from decimal import Decimal

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.plugins import AccountView, Refusal, RiskRule


class DailyLoss(RiskRule, frozen=True, kw_only=True):
    """Limit on the loss since the start of the risk day, unrealised included."""

    max_share: Decimal = Decimal("0.02")
    """Of the equity at the start of the day."""

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:  # noqa: ARG002 - a rule sees both
        """Refuse entries once the limit is reached."""
        return self.breach(account)

    def breach(self, account: AccountView) -> Refusal | None:
        """Whether the limit is reached: the engine then flattens and halts."""
        loss = account.day_start_equity - account.equity
        limit = self.max_share * account.day_start_equity
        if loss >= limit:
            return Refusal(Reason.DAILY_LOSS, f"{loss} lost since the day began, limit {limit}")
        return None
