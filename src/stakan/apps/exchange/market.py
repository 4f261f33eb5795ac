"""The market that the exchange shows: a source's rows, moved to the exchange's time."""

from collections.abc import Callable, Mapping

from stakan.core.domain.batch import MarketBatch
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.ports import MarketHistory


class LiveMarket:
    """Reads a source lazily. Batches have `ts_event = ts_exchange = ts_recv` = whole milliseconds of exchange time."""

    def __init__(  # noqa: PLR0913
        self,
        history: Callable[[], MarketHistory],
        listed: Mapping[InstrumentId, Instrument],
        start: int,
        *,
        speed: float = 1.0,
        loop: bool = False,
    ) -> None:
        """`listed`: by the *source's* id, the rules under which it is listed (their id is the batches')."""
        raise NotImplementedError

    def take(self, until: int) -> list[MarketBatch]:
        """Rows due up to and including `until`, one batch per instrument that has any."""
        raise NotImplementedError

    def next_due(self) -> int | None:
        """Time of the next row; None at the source's end."""
        raise NotImplementedError


def for_accounts(batch: MarketBatch) -> MarketBatch:
    """Rows that decide about orders: books, prints, interruptions; mark and index come from `Board.take_tickers`."""
    raise NotImplementedError
