"""`/data` and `/trading`: the market and our part in it, as the bot sees them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from stakan.apps.api import shown
from stakan.apps.api.access import Context, CurrentContext, Viewer
from stakan.apps.api.answers import answer, answers
from stakan.apps.api.problems import Problem
from stakan.apps.projection import BOOK_LEVELS, BookView
from stakan.core.domain.instrument import Instrument
from stakan.core.features.catalogue import FEATURE_SET

data = APIRouter(prefix="/data", tags=["data"])
trading = APIRouter(prefix="/trading", tags=["trading"])

Limit = Annotated[int, Query(ge=1, le=1_000, description="The newest so many")]


@data.get("/pairs", **answers(list[shown.Pair]))
async def pairs(_: Viewer, context: CurrentContext) -> Response:
    """The instruments that the bot looks at."""
    return answer([shown.pair(instrument) for instrument in context.link.model.instruments.values()])


@data.get("/orderbook/{symbol}", **answers(shown.Book))
async def orderbook(
    symbol: str, _: Viewer, context: CurrentContext, depth: Annotated[int, Query(ge=1, le=BOOK_LEVELS)] = BOOK_LEVELS
) -> Response:
    """The book of one instrument."""
    view, instrument = _book(context, symbol)
    return answer(shown.book(view, instrument, depth))


@data.get("/metrics", **answers(list[shown.Metrics]))
async def all_metrics(_: Viewer, context: CurrentContext) -> Response:
    """Spread, sizes and health of every book."""
    model = context.link.model
    return answer([shown.metrics(view, model.instruments[name]) for name, view in model.books.items()])


@data.get("/metrics/{symbol}", **answers(shown.Metrics))
async def metrics(symbol: str, _: Viewer, context: CurrentContext) -> Response:
    """Spread, sizes and health of one book."""
    view, instrument = _book(context, symbol)
    return answer(shown.metrics(view, instrument))


@data.get("/candles/{symbol}", **answers(list[shown.Candle]))
async def candles(symbol: str, _: Viewer, context: CurrentContext, limit: Limit = 500) -> Response:
    """Candles of one instrument, oldest first."""
    instrument = context.instrument(symbol)
    return answer([shown.candle(view, instrument) for view in context.link.model.candles(instrument.id, limit)])


@data.get("/densities/{symbol}", **answers(list[shown.Density]))
async def densities(symbol: str, _: Viewer, context: CurrentContext) -> Response:
    """Large resting orders in one book."""
    view, instrument = _book(context, symbol)
    return answer(shown.densities(view, instrument))


@data.get("/features/{symbol}", **answers(shown.Features))
async def features(symbol: str, _: Viewer, context: CurrentContext) -> Response:
    """The newest feature vector of one instrument."""
    instrument = context.instrument(symbol)
    view = context.link.model.features.get(instrument.id)
    if view is None:
        raise Problem(503, "no-features-yet", f"there is no feature vector of {instrument.id} yet")
    if view.version != FEATURE_SET:
        raise Problem(503, "other-features", f"the bot computes feature set {view.version}, this console {FEATURE_SET}")
    return answer(shown.features(view))


@trading.get("/signals", **answers(list[shown.Decision]))
async def signals(_: Viewer, context: CurrentContext, limit: Limit = 100) -> Response:
    """The decision feed, oldest first: signals, what became of them and why."""
    return answer([shown.decision(view) for view in context.link.model.decisions.newest(limit)])


@trading.get("/balance", **answers(shown.Balance))
async def balance(_: Viewer, context: CurrentContext) -> Response:
    """The account's money."""
    now = shown.status(context.link)
    return answer(shown.Balance(balance=now.balance, equity=now.equity, exposure=now.exposure))


@trading.get("/equity", **answers(list[shown.Equity]))
async def equity(_: Viewer, context: CurrentContext, limit: Limit = 1_000) -> Response:
    """The equity curve, oldest first."""
    return answer([shown.equity(view) for view in context.link.model.equity.newest(limit)])


@trading.get("/positions", **answers(list[shown.Position]))
async def positions(_: Viewer, context: CurrentContext) -> Response:
    """Positions that are not closed."""
    model = context.link.model
    return answer([shown.position(view, model.instruments[view.instrument]) for view in model.positions])


@trading.get("/orders", **answers(list[shown.Order]))
async def orders(_: Viewer, context: CurrentContext) -> Response:
    """Orders that live."""
    model = context.link.model
    alive = [view for view in model.orders if not view.status.is_terminal]
    return answer([shown.order(view, model.instruments[view.instrument]) for view in alive])


@trading.get("/fills", **answers(list[shown.Fill]))
async def fills(_: Viewer, context: CurrentContext, limit: Limit = 100) -> Response:
    """Our executions, oldest first."""
    model = context.link.model
    return answer([shown.fill(view, model.instruments[view.instrument]) for view in model.fills.newest(limit)])


@trading.get("/trades", **answers(list[shown.Trade]))
async def trades(_: Viewer, context: CurrentContext, limit: Limit = 100) -> Response:
    """Closed positions, oldest first."""
    model = context.link.model
    return answer([shown.trade(view, model.instruments[view.instrument]) for view in model.trades.newest(limit)])


@trading.get("/execution-stats", **answers(shown.ExecutionStats))
async def execution_stats(_: Viewer, context: CurrentContext) -> Response:
    """Fees, maker share and latencies over what is kept."""
    model = context.link.model
    kept = model.fills.newest(model.fills.count), model.trades.newest(model.trades.count)
    return answer(shown.execution_stats(*kept, shown.stages(context.link)))


@trading.get("/risk-status", **answers(shown.RiskStatus))
async def risk_status(_: Viewer, context: CurrentContext) -> Response:
    """What limits trading now."""
    now = shown.status(context.link)
    held = context.link.model.positions
    return answer(
        shown.RiskStatus(
            trading=now.trading,
            halted_for=now.halted_for,
            paused=now.paused,
            equity=now.equity,
            exposure=now.exposure,
            positions=len(held),
            unprotected=sum(view.stop_loss is None and view.size > 0 for view in held),
        )
    )


def _book(context: Context, symbol: str) -> tuple[BookView, Instrument]:
    instrument = context.instrument(symbol)
    view = context.link.model.books.get(instrument.id)
    if view is None:
        raise Problem(503, "no-book-yet", f"nothing was heard of {instrument.id} yet")
    return view, instrument
