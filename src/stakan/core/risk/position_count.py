"""Only so many positions at once, entries in flight included."""

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.plugins import AccountView, Refusal, RiskRule


class PositionCount(RiskRule, frozen=True, kw_only=True):
    """Limit on positions over all instruments."""

    max_positions: int = 5

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:  # noqa: ARG002 - a rule sees both
        """Refuse one more than the limit."""
        if account.open_positions >= self.max_positions:
            detail = f"{account.open_positions} open or on their way, limit {self.max_positions}"
            return Refusal(Reason.TOO_MANY_POSITIONS, detail)
        return None
