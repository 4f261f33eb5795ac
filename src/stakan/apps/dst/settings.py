"""The configuration of the simulated bot."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from stakan.apps.config import settings_from
from stakan.apps.dst import restless
from stakan.apps.dst.plan import Plan
from stakan.apps.settings import Settings

MAX_NOTIONAL = Decimal(1000)
"""Room for two entries of three, so that every third one is refused."""
MAX_SHARE = Decimal("0.5")


def settings_of(plan: Plan) -> Settings:
    """The bot's configuration: it trades far more often than is wise, and close to its limits."""
    strategy = {
        "name": "restless",
        "file": str(Path(restless.__file__)),
        "parameters": {"seed": plan.seed},
    }
    table: dict[str, Any] = {
        "engine": {"candle_interval": "5s", "cooldown": "1s", "entry_timeout": "3s"},
        "account": {"leverage": "10"},
        "sizing": {"notional": "450"},
        "strategies": [strategy],
        "risk": [
            {"name": "mandatory_stop", "parameters": {"min_distance": "0.0002"}},
            {"name": "order_size"},
            {"name": "position_count", "parameters": {"max_positions": 3}},
            {"name": "exposure", "parameters": _exposure()},
            {"name": "daily_loss", "parameters": {"max_share": str(plan.daily_loss)}},
        ],
        "trade": {"journal_interval": plan.journal_interval},
        "venue": {"environment": "local", "depth": 50, "best_quotes": False},
    }
    return settings_from(table)


def _exposure() -> dict[str, str]:
    """Wide for each instrument: that it takes no second entry is not for this rule to see to."""
    return {
        "max_notional": str(MAX_NOTIONAL),
        "max_equity_share": str(MAX_SHARE),
        "max_position_share": str(MAX_SHARE),
    }
