"""`stakan trade`: one bot on a venue's market, from its pre-flight to its report."""

import numpy as np

from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.journal.reading import secure
from stakan.apps.doctor import venue_of
from stakan.apps.feature_store import feature_store
from stakan.apps.live.bot import BotPlan
from stakan.apps.live.clock import WallClock
from stakan.apps.live.fitness import Say, account_of, fit, instruments_of, origin_of
from stakan.apps.live.mode import Mode
from stakan.apps.live.past import recall
from stakan.apps.live.session import Ended, Session, Stopping
from stakan.apps.live.state_folder import RUNS, StateFolder
from stakan.apps.logs import Logs
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.apps.secrets import bybit_keys
from stakan.apps.settings import Settings
from stakan.apps.shared_budget import shared_budget
from stakan.apps.tracing import spans_to_collector
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import split_instrument_id


async def trade(
    settings: Settings,
    mode: Mode,
    state: StateFolder,
    stopping: Stopping,
    say: Say,
    logs: Logs | None = None,
    *,
    take_over: bool = False,
) -> Ended:
    """Run a bot until it is asked to stop; at an exchange it carries on the last run of the state folder.

    `take_over` lets the first run of a state folder begin on an account that holds something. Raises DataError where
    the last run cannot be carried on, ConfigError, NotFit or VenueError where it cannot begin, BotFailed where it ended
    by itself, StorageError.
    """
    clock = WallClock()
    venue = venue_of(settings)
    keys = bybit_keys()
    if mode.is_at_exchange and keys is None:
        raise ConfigError(f"--mode {mode} needs BYBIT_API_KEY and BYBIT_API_SECRET in the environment or in .env")
    past = recall(state.runs(), mode, settings.account.name) if mode.is_at_exchange else None
    if past is not None:
        secure(state.folder / RUNS / past.run / JOURNAL_FOLDER)
        clock.not_before(past.engine.state.now)
        say(f"carrying on {past.run}: {past.folded} steps after its last snapshot")
    chance = np.random.default_rng()
    async with (
        spans_to_collector(settings.tracing, logs) as spans,
        MarketClient(venue, clock=clock.now, chance=chance, keys=keys) as market,
        shared_budget(settings, market.shared.limiter, keys, clock.now, say) as budget,
        feature_store(settings, clock.now, say) as features,
    ):
        chosen = await instruments_of(market, settings, past)
        instruments = chosen.instruments
        say(f"{mode} on {venue.name}: {', '.join(split_instrument_id(key)[2] for key in instruments)}")
        whose = ""
        if mode.is_at_exchange:
            whose = await account_of(market, past)
            listed = {key: rules for key, rules in instruments.items() if key not in chosen.gone}
            is_taken_over = take_over or past is not None
            settings = await fit(market, settings, listed, say, is_taken_over=is_taken_over, lead_ns=clock.lead)
        origin = await origin_of(venue)
        run = state.new_run(mode)
        plan = BotPlan(
            mode=mode,
            settings=settings,
            instruments=instruments,
            run_folder=run,
            epoch=state.epoch_of(run),
            past=past,
            venue_account=whose,
            gone=chosen.gone,
            changed=chosen.changed,
            market=origin.market,
            is_synthetic=origin.is_synthetic,
        )
        session = Session(plan, market, venue, keys, clock, chance, logs)
        session.observation.shared_budget = budget
        session.observation.keep_features_in(features)
        if spans is not None:
            session.observation.tell_of_orders(spans)
        return await session.live(state.folder, stopping, say)
