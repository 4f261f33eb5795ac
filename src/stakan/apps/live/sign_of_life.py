"""What a bot says of itself in its heartbeat."""

import os

from stakan.apps.live.bot import Bot
from stakan.apps.live.heartbeat import Beat, Held


def beat_of(bot: Bot, now: int) -> Beat:
    """What there is to say of a bot at `now`."""
    state, plan = bot.engine.state, bot.plan
    return Beat(
        ts=now,
        pid=os.getpid(),
        mode=plan.mode,
        environment=plan.settings.venue.environment,
        account=plan.settings.account.name,
        run=plan.run_folder.name,
        trading=state.trading,
        halted_for=state.halted_for.value if state.halted_for is not None else "",
        positions=tuple(
            Held(
                instrument=key,
                side=position.side,
                size=state.instruments[key].rules.size(position.size),
                has_stop=position.stop_loss is not None,
            )
            for key, position in state.portfolio.positions.live.items()
            if position.size
        ),
        entries=len(bot.live_entries),
        reconciled_ts=state.agreed_ts,
    )
