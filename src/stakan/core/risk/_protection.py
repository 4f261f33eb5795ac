"""What every entry must meet, whatever rules are configured: a size that can be sent and a stop that protects."""

from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import Intent
from stakan.core.domain.units import Side
from stakan.core.plugins import AccountView, Refusal


def unprotected(intent: Intent, account: AccountView) -> Refusal | None:
    """Why the stop does not protect: there is none, or it is not behind both entry and mark."""
    signal = intent.signal
    if signal.stop_loss <= 0:
        return Refusal(Reason.NO_STOP, "an entry needs a stop")
    mark = account.instrument.price_nearest(account.mark)
    reference = min(signal.entry, mark) if signal.side is Side.BUY else max(signal.entry, mark)
    if (reference - signal.stop_loss) * signal.side <= 0:
        detail = f"stop {signal.stop_loss} is not behind entry {signal.entry} and mark {mark} (ticks)"
        return Refusal(Reason.STOP_WRONG_SIDE, detail)
    return None


def too_small(intent: Intent, account: AccountView) -> Refusal | None:
    """Why the exchange would not take the size."""
    least = account.instrument.min_size
    if intent.size < least:
        return Refusal(Reason.ORDER_TOO_SMALL, f"{intent.size} lots, the least is {least}")
    return None
