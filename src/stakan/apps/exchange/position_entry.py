"""Requests that change positions: leverage, margin, modes, stops."""

from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType

from stakan.adapters.exchanges.simulated.requests import ChangeMargin, SetLeverage, SetTradingStop
from stakan.adapters.exchanges.simulated.views import PositionView
from stakan.apps.exchange import grids, legs, parameters
from stakan.apps.exchange.holdings import added_margin
from stakan.apps.exchange.order_entry import attached_of, check_index, rules_of
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.rows import AddedMargin
from stakan.apps.exchange.trading import Trading
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import TriggerSource
from stakan.core.domain.units import MILLISECOND, Lots, Side, Ticks

PARTIAL_LIMIT = 20
"""Legs for parts of one position."""
_LEVERAGE_STEP = Decimal("0.01")
_MARGIN_STEP = Decimal("1E-8")
_UNCHANGED = Refused(34040, "not modified")

NewPrice = Ticks | None | UnsetType
"""Set, taken away, left."""


def set_leverage(trading: Trading, asked: parameters.SetLeverage, now: int) -> None:
    """`position/set-leverage`; raises Refused, 110043 where it is in force already."""
    rules = rules_of(trading, asked.symbol)
    leverage = grids.amount(asked.buy_leverage, "buyLeverage")
    if leverage != grids.amount(asked.sell_leverage, "sellLeverage"):
        raise Refused(PARAMETER_ERROR, "params error: buyLeverage and sellLeverage must be equal in one-way mode")
    if not 1 <= leverage <= rules.max_leverage or leverage % _LEVERAGE_STEP:
        raise Refused(PARAMETER_ERROR, f"params error: leverage should be from 1 to {rules.max_leverage} by 0.01")
    trading.carry_out(SetLeverage(instrument=rules.id, leverage=leverage), asked.symbol, now)


def switch_mode(trading: Trading, asked: parameters.SwitchMode, _now: int) -> None:
    """`position/switch-mode`: one-way is in force; hedge mode is a limit of this exchange (110029)."""
    if asked.symbol is None and asked.coin is None:
        raise Refused(PARAMETER_ERROR, "params error: symbol or coin is required")
    if asked.symbol is not None:
        rules_of(trading, asked.symbol)
    if asked.mode:
        raise Refused(110029, "hedge mode is not supported by the local exchange")
    raise Refused(110025, "Position mode is not modified")


def switch_isolated(_trading: Trading, _asked: parameters.OfSymbol, _now: int) -> None:
    """`position/switch-isolated`: not for unified accounts."""
    raise Refused(100028, "The API cannot be accessed by unified account users.")


def add_margin(trading: Trading, asked: parameters.AddMargin, now: int) -> AddedMargin:
    """`position/add-margin`; raises Refused."""
    rules = rules_of(trading, asked.symbol)
    check_index(asked.position_idx)
    if grids.amount(asked.margin.copy_abs(), "margin") % _MARGIN_STEP:
        raise Refused(PARAMETER_ERROR, "params error: margin has too many decimals")
    trading.carry_out(ChangeMargin(instrument=rules.id, amount=asked.margin), asked.symbol, now)
    view = trading.venue.position(rules)
    return added_margin(trading.position_row(asked.symbol, view, is_pushed=False))


def set_auto_add_margin(trading: Trading, asked: parameters.AutoAddMargin, now: int) -> None:
    """`position/set-auto-add-margin`: kept and shown. Nothing is added by itself: a limit of this exchange."""
    rules_of(trading, asked.symbol)
    check_index(asked.position_idx)
    if asked.auto_add_margin:
        raise Refused(10005, "auto-add-margin is not supported by the local exchange")
    holding = trading.holding(asked.symbol)
    holding.updated_ms = now // MILLISECOND


def trading_stop(trading: Trading, asked: parameters.TradingStop, now: int) -> None:
    """`position/trading-stop`: Full modifies, Partial adds; raises Refused, 34040 where nothing changes."""
    rules = rules_of(trading, asked.symbol)
    check_index(asked.position_idx)
    view = trading.venue.position(rules)
    if asked.tpsl_mode == "Partial":
        _add_partial(trading, rules, asked, view, now)
        return
    attached_of(rules, asked, None, None)
    change = _change(rules, asked, view)
    if change is None:
        raise _UNCHANGED
    if not view.lots:
        raise Refused(PARAMETER_ERROR, "can not set tp/sl/ts for zero position")
    trading.carry_out(change, asked.symbol, now)


def _change(rules: Instrument, asked: parameters.TradingStop, view: PositionView) -> SetTradingStop | None:
    """What is to change of the position's legs; None where nothing is."""
    stop = _new_price(rules, asked.stop_loss, view.legs.stop_loss, "stopLoss")
    take = _new_price(rules, asked.take_profit, view.legs.take_profit, "takeProfit")
    trailing, activation = _trailing(rules, asked, view)
    change = SetTradingStop(
        instrument=rules.id,
        stop_loss=stop,
        take_profit=take,
        stop_source=_source(asked.sl_trigger_by, stop, view.legs.stop_loss, view.legs.stop_source),
        take_source=_source(asked.tp_trigger_by, take, view.legs.take_profit, view.legs.take_source),
        trailing=trailing,
        activation=activation,
    )
    return None if change == SetTradingStop(instrument=rules.id) else change


def _new_price(rules: Instrument, asked: Decimal | None, present: Ticks | None, name: str) -> NewPrice:
    if asked is None:
        return UNSET
    wanted = grids.optional_ticks(rules, asked, name)
    return UNSET if wanted == present else wanted


def _source(name: str | None, price: NewPrice, present: Ticks | None, old: TriggerSource) -> TriggerSource | UnsetType:
    """What a leg watches: a new one the last price unless it says otherwise, a moved one what it watched."""
    if name is not None:
        wanted = legs.SOURCES[name]
    elif isinstance(price, int) and present is None:
        wanted = TriggerSource.LAST
    else:
        return UNSET
    return UNSET if wanted == old else wanted


def _trailing(rules: Instrument, asked: parameters.TradingStop, view: PositionView) -> tuple[NewPrice, Ticks | None]:
    """Distance of the trailing stop and the price from which it trails."""
    present = view.trailing
    if asked.trailing_stop is None:
        return UNSET, None
    distance = grids.optional_ticks(rules, asked.trailing_stop, "trailingStop")
    activation = grids.optional_ticks(rules, asked.active_price, "activePrice")
    old = (None, None) if present is None else (present.distance, present.activation)
    if (distance, None if distance is None else activation) == old:
        return UNSET, None
    return distance, activation


def _add_partial(
    trading: Trading, rules: Instrument, asked: parameters.TradingStop, view: PositionView, now: int
) -> None:
    """Legs for a part of the position."""
    stop = grids.optional_ticks(rules, asked.stop_loss, "stopLoss")
    take = grids.optional_ticks(rules, asked.take_profit, "takeProfit")
    if asked.trailing_stop is not None:
        raise Refused(PARAMETER_ERROR, "params error: a trailing stop is for the whole position")
    if stop is None and take is None:
        raise _UNCHANGED
    if not view.lots:
        raise Refused(PARAMETER_ERROR, "can not set tp/sl/ts for zero position")
    size = _partial_size(trading, rules, asked, abs(view.lots), needs=(take is not None, stop is not None))
    live = [one for one in trading.holding(asked.symbol).partial_legs if one in trading.orders.live]
    if len(live) + (stop is not None) + (take is not None) > PARTIAL_LIMIT:
        raise Refused(110061, f"more than {PARTIAL_LIMIT} partial take-profits and stop-losses")
    side = Side.BUY if view.lots > 0 else Side.SELL
    _check_sides(rules, trading.market.quote(asked.symbol).last, side, stop, take)
    trading.at_ms = now // MILLISECOND
    legs.place(trading, asked.symbol, side, size, attached_of(rules, asked, stop, take), now)


def _partial_size(
    trading: Trading, rules: Instrument, asked: parameters.TradingStop, held: int, *, needs: tuple[bool, bool]
) -> Lots:
    """Size of both legs; raises Refused."""
    named = [size for size, needed in zip((asked.tp_size, asked.sl_size), needs, strict=True) if needed]
    if None in named or len(set(named)) != 1 or named[0] is None:
        raise Refused(PARAMETER_ERROR, "params error: tpSize and slSize are required and must be equal")
    size = grids.lots(rules, named[0], "tpSize", rounds=trading.uncertain.rounds_off_grid)
    if not size or size > held:
        raise Refused(PARAMETER_ERROR, "params error: the size is not within the position")
    if size < rules.min_size:
        raise Refused(110058, "the size is below the minimum")
    return size


def _check_sides(rules: Instrument, last: Decimal | None, side: Side, stop: int | None, take: int | None) -> None:
    """Both legs before either is placed: a pair comes whole or not at all."""
    if stop is not None and take is not None and side * stop >= side * take:
        raise Refused(PARAMETER_ERROR, "params error: stopLoss is beyond takeProfit")
    if last is None:
        return
    for price, sign, name in ((stop, side, "stopLoss"), (take, side.opposite, "takeProfit")):
        if price is not None and sign * rules.price(price) >= sign * last:
            raise Refused(PARAMETER_ERROR, f"params error: {name} is on the wrong side of the last price {last}")


def symbol_info(trading: Trading, asked: parameters.Symbols, _now: int) -> dict[str, Any]:
    """`position/symbol-info`: leverage and modes without a position."""
    names = sorted(trading.market.instruments) if asked.symbol is None else [asked.symbol]
    rows = []
    for symbol in names:
        view = trading.venue.position(rules_of(trading, symbol))
        leverage = str(view.leverage)
        rows.append(
            {
                "symbol": symbol,
                "category": "linear",
                "positionIdx": 0,
                "leverage": leverage,
                "buyLeverage": leverage,
                "sellLeverage": leverage,
                "autoAddMargin": trading.holding(symbol).auto_add_margin,
            }
        )
    return {"category": "linear", "list": rows, "nextPageCursor": ""}
