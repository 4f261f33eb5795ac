"""What looking at a bot costs it: a step that says nothing, a line of the log, a scrape of its metrics."""

import itertools
import logging
import tempfile
from pathlib import Path

from prometheus_client import generate_latest

from bench import frames
from bench._rows import Options, Row, interleaved, rate
from bench.book import BYBIT_BTC, heavy_frames
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.apps.config import settings_from
from stakan.apps.exchange.listing import synthetic_symbols
from stakan.apps.live.bot import Bot, BotPlan, paper_exchange
from stakan.apps.live.observation import Observation
from stakan.apps.logs import LogPlan, Logs, get_logger
from stakan.apps.sections import MetricsSection
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.step import Step

_A_STEP_PER_S = 1e9 / 300
"""At most 0.3 µs a step."""
_SYMBOLS = 100


def run(options: Options) -> list[Row]:
    """Rows `observing.*`."""
    return [_step(options), _line(options), _scrape(options)]


class _Time:
    """A clock that only counts, and calls nothing."""

    def __init__(self) -> None:
        self._ticks = itertools.count(1)

    def now(self) -> int:
        return next(self._ticks)

    def call_at(self, at: int, call: object) -> "_Time":  # noqa: ARG002 - the signature of a clock
        return self

    def cancel(self) -> None:
        """Nothing is planned."""


def _observed(folder: Path, instruments: list[Instrument]) -> tuple[Bot, Observation]:
    rules = {one.id: one for one in instruments}
    settings = settings_from({})
    plan = BotPlan(
        mode="paper",
        settings=settings,
        instruments=rules,
        run_folder=folder / "runs" / "bench",
        epoch="bench",
        market="bench",
    )
    time = _Time()
    bot = Bot(plan, paper_exchange(settings, rules), time, refresh=lambda _key: None)
    return bot, Observation(bot, MetricsSection(port=0), time.now)


def _step(options: Options) -> Row:
    decode = BybitDecoder({BYBIT_BTC.id: BYBIT_BTC}, Category.LINEAR).decode
    (event,) = decode(heavy_frames(options, 20)[0], 1)
    step = Step(1, 1)
    times = options.count(500_000)
    with tempfile.TemporaryDirectory() as folder:
        bot, observation = _observed(Path(folder), [BYBIT_BTC])
        observe = observation.observe

        def work() -> None:
            for _ in range(times):
                observe(event, step)

        (ours,) = interleaved(options.repetitions, lambda: rate(times, work))
        bot.discard()
    return Row(
        name="observing.step",
        what="narrator, invariants, metrics: one step without facts",
        unit="steps/s",
        event="one step",
        data=frames.DATA,
        ours=ours,
        bar=_A_STEP_PER_S,
    )


def _line(options: Options) -> Row:
    times = options.count(5_000)
    with tempfile.TemporaryDirectory() as folder:
        plan = LogPlan(program="bench", folder=Path(folder), terminal_level=logging.CRITICAL, most_waiting=10 * times)
        with Logs(plan, ["a-secret-of-a-bench", "another-secret"]):
            say = get_logger("bench").info

            def work() -> None:
                for number in range(times):
                    say("fill", trace="e-1", order="s-abc", instrument=BYBIT_BTC.id, price="64000.1", size=number)

            (ours,) = interleaved(options.repetitions, lambda: rate(times, work))
    return Row(
        name="observing.log_line",
        what="a line of five fields, redacted, handed over and written by its thread meanwhile",
        unit="lines/s",
        event="one line",
        data="made up",
        ours=ours,
    )


def _scrape(options: Options) -> Row:
    times = options.count(100)
    instruments = [one.instrument for one in synthetic_symbols(_SYMBOLS)]
    with tempfile.TemporaryDirectory() as folder:
        bot, observation = _observed(Path(folder), instruments)

        def work() -> None:
            for _ in range(times):
                generate_latest(observation.server.registry)

        (ours,) = interleaved(options.repetitions, lambda: rate(times, work))
        parts = sum(1 for _ in observation.server.registry.collect())
        bot.discard()
    return Row(
        name="observing.scrape",
        what=f"all metrics of a bot with {_SYMBOLS} symbols as text; answered in {parts} parts",
        unit="scrapes/s",
        event="one scrape",
        data="made up",
        ours=ours,
    )
