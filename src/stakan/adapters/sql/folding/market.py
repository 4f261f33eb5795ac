"""Rows of the market: closed candles, one picture a minute, and the rules of instruments."""

from decimal import Decimal

import msgspec

from stakan.adapters.sql.batch import Values
from stakan.adapters.sql.folding.draft import Draft, builtins, side_name
from stakan.adapters.sql.folding.state import Sample
from stakan.adapters.sql.tables import instruments, level_tests, market_snapshots, market_stats
from stakan.core.domain.events import BestQuote, InstrumentChanged, Ticker, TradePrint
from stakan.core.domain.facts import CandleClosed, LevelTested
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MINUTE
from stakan.core.portfolio.money import ZERO, plus


def candle_closed(draft: Draft, fact: CandleClosed) -> None:
    """A candle is final."""
    rules = draft.rules(fact.instrument)
    draft.insert(
        market_stats,
        instrument=fact.instrument,
        open_ts=fact.open_ts,
        interval_ns=fact.interval_ns,
        close=rules.price(fact.close),
        volume=rules.size(fact.volume),
    )


def level_tested(draft: Draft, fact: LevelTested) -> None:
    """A touch of a level has ended."""
    names = ("instrument", "strength", "touches", "holds", "breaks", "began_ts", "touched_ts", "ts_event")
    draft.insert(
        level_tests,
        trace_id=draft.trace(fact),
        side=side_name(fact.side),
        price_ticks=fact.price,
        is_held=fact.held,
        **{name: getattr(fact, name) for name in names},
    )


def quoted(draft: Draft, event: BestQuote) -> None:
    """Best bid and ask."""
    rules, sample = draft.rules(event.instrument), _sample(draft, event.instrument)
    sample.bid, sample.bid_size = rules.price(event.bid_price), rules.size(event.bid_size)
    sample.ask, sample.ask_size = rules.price(event.ask_price), rules.size(event.ask_size)


def told(draft: Draft, event: Ticker) -> None:
    """Mark, index, funding: what the message does not carry stays."""
    sample = _sample(draft, event.instrument)
    sample.mark = _newer(event.mark, sample.mark)
    sample.index_price = _newer(event.index, sample.index_price)
    sample.last = _newer(event.last, sample.last)
    sample.funding_rate = _newer(event.funding_rate, sample.funding_rate)
    sample.open_interest = _newer(event.open_interest, sample.open_interest)


def printed(draft: Draft, event: TradePrint) -> None:
    """Somebody's trade."""
    rules, sample = draft.rules(event.instrument), _sample(draft, event.instrument)
    sample.last = rules.price(event.price)
    sample.prints += 1
    sample.volume = plus(sample.volume, rules.size(event.size))


def _newer(told: Decimal | None, known: Decimal | None) -> Decimal | None:
    return known if told is None else told


def _sample(draft: Draft, instrument: InstrumentId) -> Sample:
    """The picture to draw on; that of a minute which is over becomes a row first, with the minute's end as its time."""
    minute = draft.ts // MINUTE
    sample = draft.state.samples.get(instrument)
    if sample is None:
        sample = draft.state.samples[instrument] = Sample(minute=minute)
    elif minute > sample.minute:
        values: Values = msgspec.structs.asdict(sample)
        end = (values.pop("minute") + 1) * MINUTE
        draft.insert(market_snapshots, ts=end, instrument=instrument, **values)
        sample.minute, sample.prints, sample.volume = minute, 0, ZERO
    return sample


# --- rules ------------------------------------------------------------------------------------------------------------


def take_rules(draft: Draft, rules: Instrument) -> None:
    """Rules that hold from now on."""
    state = draft.state
    state.rules[rules.id] = rules
    values = {name: getattr(rules, name) for name in ("base", "quote", "settle", "tick_size", "lot_size")}
    values |= {"category": rules.category.value, "rules": builtins(rules)}
    if rules.id in state.known_instruments:
        draft.change(instruments, (rules.id,), **values)
    else:
        state.known_instruments.add(rules.id)
        draft.batch.insert(instruments, {"id": rules.id, **values})


def rules_changed(draft: Draft, event: InstrumentChanged) -> None:
    """New rules; on another grid they wait until nothing of ours is expressed in the old one, as in the engine."""
    rules, old = event.rules, draft.rules(event.rules.id)
    draft.note(type(event).__name__, rules.id, event, draft.trace())
    if (rules.tick_size, rules.lot_size) == (old.tick_size, old.lot_size):
        draft.state.new_rules.pop(rules.id, None)
        take_rules(draft, rules)
    else:
        draft.state.new_rules[rules.id] = rules


def settle_rules(draft: Draft) -> None:
    """At the end of a moment: rules that waited hold now, where nothing of ours is in the way."""
    state = draft.state
    for key in list(state.new_rules):
        is_busy = state.position_in(key) is not None or any(row.instrument == key for row in state.orders.values())
        if not is_busy:
            take_rules(draft, state.new_rules.pop(key))
