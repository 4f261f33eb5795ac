"""What every run is recorded by, backtest and live alike: its fingerprint, and what its report is made of."""

from collections.abc import Mapping

from stakan.apps.results import Fingerprint, RunRecorder
from stakan.apps.results.recorder import MID_INTERVAL
from stakan.core.domain.events import AnyEvent, BookEvent
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.step import Step
from stakan.core.engine import Engine


class RunWatch:
    """Sees every event with its step, right after the engine made it."""

    def __init__(self, engine: Engine, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self.fingerprint = Fingerprint()
        self._engine = engine
        self._instruments = instruments
        self._recorder: RunRecorder | None = None
        self._next_mid: dict[InstrumentId, int] = {}

    @property
    def recorder(self) -> RunRecorder:
        """What was recorded; empty where nothing happened."""
        return self._recorder or self._fresh(0)

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Take an event and what the engine made of it."""
        self.fingerprint.update(step)
        recorder = self._recorder
        if recorder is None:
            recorder = self._recorder = self._fresh(step.ts)
        if isinstance(event, BookEvent) and event.ts_recv >= self._next_mid.get(event.instrument, 0):
            book = self._engine.state.instruments[event.instrument].market.book
            if book.is_usable:
                self._next_mid[event.instrument] = event.ts_recv + MID_INTERVAL
                recorder.observe_mid(event.instrument, event.ts_recv, book.mid)
        recorder.observe(event, step)

    def _fresh(self, ts: int) -> RunRecorder:
        return RunRecorder(self._instruments, self._engine.config.starting_balance, ts)
