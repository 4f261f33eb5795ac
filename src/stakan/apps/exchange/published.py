"""What accounts ask of the public market, answered by the board."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from stakan.apps.exchange import listing
from stakan.apps.exchange.board import Board
from stakan.apps.exchange.symbol import SymbolBoard
from stakan.apps.exchange.venue import Quote
from stakan.core.domain.batch import BatchBuilder, MarketBatch
from stakan.core.domain.events import BookSnapshot, Ticker, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Lots, Side, Ticks


class BoardView:
    """`Published` over a board: prices as the public sees them."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._instruments = {symbol: shown.rules for symbol, shown in board.symbols.items()}
        self._tickers: dict[InstrumentId, Ticker] = {}

    def note(self, ticker: Ticker) -> None:
        """A ticker was published: mark and index in force from now on."""
        self._tickers[ticker.instrument] = ticker

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Linear instruments by symbol."""
        return self._instruments

    def quote(self, symbol: str) -> Quote:
        """Prices as last published."""
        shown = self._board.symbols[symbol]
        ticker = self._tickers.get(shown.rules.id)
        last = Decimal(shown.prints[-1].price) if shown.prints else None
        return Quote(mark=ticker.mark if ticker else None, index=ticker.index if ticker else None, last=last)

    def level(self, symbol: str, side: Side, rank: int) -> int | None:
        """Price in ticks of the n-th best level of a side, from 1; None where there is none."""
        levels = self._board.symbols[symbol].book.depth(side, rank)
        return int(levels[rank - 1, 0]) if len(levels) >= rank else None

    def present(self, symbol: str) -> MarketBatch | None:
        """Last print, book and ticker as rows of the present; None where there is no book."""
        shown, now = self._board.symbols[symbol], self._board.now
        if not shown.book.is_usable:
            return None
        builder = BatchBuilder(shown.rules.id)
        if shown.prints:
            builder.add(_last_print(shown, now), 0)
        builder.add(_snapshot(shown, now), 1)
        ticker = self._tickers.get(shown.rules.id)
        if ticker is not None:
            builder.add(
                Ticker(
                    instrument=shown.rules.id,
                    ts_event=now,
                    ts_recv=now,
                    mark=ticker.mark,
                    index=ticker.index,
                    last=ticker.last,
                    funding_rate=ticker.funding_rate,
                    next_funding_ts=ticker.next_funding_ts,
                ),
                2,
            )
        return builder.build()

    def info(self, symbol: str) -> Mapping[str, Any]:
        """The row of `instruments-info`."""
        number = list(self._instruments).index(symbol) + 1
        return listing.info(self._instruments[symbol], number)


def _last_print(shown: SymbolBoard, now: int) -> TradePrint:
    last, rules = shown.prints[-1], shown.rules
    return TradePrint(
        instrument=rules.id,
        ts_event=now,
        ts_recv=now,
        price=Ticks(int(Decimal(last.price) / rules.tick_size)),
        size=Lots(int(Decimal(last.size) / rules.lot_size)),
        side=Side.BUY if last.side == "Buy" else Side.SELL,
        trade_id=last.id,
    )


def _snapshot(shown: SymbolBoard, now: int) -> BookSnapshot:
    book = shown.book
    bids, asks = book.depth(Side.BUY), book.depth(Side.SELL)
    return BookSnapshot(
        instrument=shown.rules.id,
        ts_event=now,
        ts_recv=now,
        sequence=book.sequence,
        previous_sequence=book.sequence - 1,
        levels=np.concatenate([bids, asks]),
        bid_count=len(bids),
    )
