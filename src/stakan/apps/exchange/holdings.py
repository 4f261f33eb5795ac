"""Positions of one account as the protocol tells of them, and what closing them earned."""

from decimal import Decimal

import msgspec
from msgspec import UNSET

from stakan.adapters.exchanges.simulated.margin import margin_tier
from stakan.adapters.exchanges.simulated.orders import Execution
from stakan.adapters.exchanges.simulated.views import PositionView
from stakan.apps.exchange.orders import SIDE_NAMES
from stakan.apps.exchange.rows import AddedMargin, ClosedPnlRow, PositionRow
from stakan.apps.exchange.text import EMPTY, eight, optional_price, price_text, size_text, trimmed
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side
from stakan.core.portfolio.money import ZERO, minus, per_unit, plus, share

_LEAST_FEE = Decimal("0.00055")
"""Of the break-even price, whatever the account pays."""


class Holding(msgspec.Struct, kw_only=True):
    """What the matching core does not keep of a symbol's position; times in milliseconds."""

    symbol: str
    lots: int = 0
    """Signed, after the last execution that was told."""
    created_ms: int = 0
    updated_ms: int = 0
    opened_ms: int = 0
    sequence: int = 0
    """Of the last execution."""
    auto_add_margin: int = 0
    legs: dict[str, str] = msgspec.field(default_factory=dict)
    """Order ids of the position's stop, take-profit and trailing stop by `stopOrderType`."""
    partial_legs: list[str] = msgspec.field(default_factory=list)
    """Order ids of legs for parts of the position; some may be over."""

    def executed(self, sequence: int, at_ms: int, moved: int = 0, closed: int = 0) -> None:
        """One more execution of signed lots, `closed` of them closing; or a payment."""
        self.sequence = sequence
        self.updated_ms = at_ms
        self.lots += moved
        if self.lots and abs(self.lots) == abs(moved) - closed:
            self.created_ms = self.created_ms or at_ms
            self.opened_ms = at_ms


class Closing(msgspec.Struct, kw_only=True):
    """What one closing order earned so far."""

    ordinal: int
    symbol: str
    order_id: str
    side: Side
    order_type: str
    order_price: str
    qty: str
    exec_type: str
    leverage: Decimal
    lots: int = 0
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    open_fee: Decimal = ZERO
    close_fee: Decimal = ZERO
    fills: int = 0
    created_ms: int
    updated_ms: int

    def add(self, done: Execution, size: int, fee: Decimal, at_ms: int) -> None:
        """One more execution of the order: what it closed of its `size` lots."""
        self.lots += done.closed
        self.entry_value = plus(self.entry_value, done.entry_value)
        self.exit_value = plus(self.exit_value, share(done.value, done.closed, size))
        self.open_fee = plus(self.open_fee, done.open_fee)
        self.close_fee = plus(self.close_fee, share(fee, done.closed, size))
        self.fills += 1
        self.updated_ms = at_ms

    @property
    def net(self) -> Decimal:
        """Entry and exit value compared, less both fees."""
        gain = minus(self.exit_value, self.entry_value)
        return minus(gain if self.side is Side.SELL else gain.copy_negate(), plus(self.open_fee, self.close_fee))

    def row(self, rules: Instrument) -> ClosedPnlRow:
        """As Bybit writes it."""
        size = rules.size(self.lots)
        return ClosedPnlRow(
            symbol=self.symbol,
            order_id=self.order_id,
            side=SIDE_NAMES[self.side],
            qty=self.qty,
            order_price=self.order_price,
            order_type=self.order_type,
            exec_type=self.exec_type,
            closed_size=size_text(rules, self.lots),
            cum_entry_value=trimmed(self.entry_value),
            avg_entry_price=eight(per_unit(self.entry_value, size)),
            cum_exit_value=trimmed(self.exit_value),
            avg_exit_price=eight(per_unit(self.exit_value, size)),
            closed_pnl=trimmed(self.net),
            fill_count=str(self.fills),
            leverage=trimmed(self.leverage),
            open_fee=trimmed(self.open_fee),
            close_fee=trimmed(self.close_fee),
            created_time=str(self.created_ms),
            updated_time=str(self.updated_ms),
        )


def position_row(
    holding: Holding, rules: Instrument, now: PositionView, mark: Decimal, taker_fee: Decimal, *, is_pushed: bool
) -> PositionRow:
    """The position as Bybit writes it; a flat one has no side."""
    margin, maintenance = eight(now.margin), eight(now.maintenance)
    lots = abs(now.lots)
    side = Side.BUY if now.lots > 0 else Side.SELL
    tier = margin_tier(rules, now.cost)
    average = eight(now.entry)
    return PositionRow(
        entry_price=average if is_pushed else UNSET,
        avg_price=UNSET if is_pushed else average,
        risk_id=rules.margin_tiers.index(tier) + 1 if tier in rules.margin_tiers else 1,
        risk_limit_value=trimmed(tier.notional_limit) if tier.notional_limit.is_finite() else EMPTY,
        symbol=holding.symbol,
        side=SIDE_NAMES[side] if lots else EMPTY,
        size=size_text(rules, lots),
        leverage=trimmed(now.leverage),
        break_even_price=_break_even(now, rules, taker_fee) if lots else EMPTY,
        position_value=eight(rules.value_at(mark, lots)) if lots else "0",
        position_balance=margin,
        mark_price=trimmed(mark),
        position_im=margin,
        position_im_by_mp=margin,
        position_mm=maintenance,
        position_mm_by_mp=maintenance,
        take_profit=optional_price(rules, now.legs.take_profit),
        stop_loss=optional_price(rules, now.legs.stop_loss),
        trailing_stop=price_text(rules, now.trailing.distance) if now.trailing else "0",
        unrealised_pnl=eight(now.unrealised),
        cur_realised_pnl=eight(now.realised),
        cum_realised_pnl=eight(now.realised_ever),
        created_time=str(holding.created_ms),
        updated_time=str(holding.updated_ms),
        open_time=str(holding.opened_ms) if lots else "0",
        liq_price=_liquidation_text(rules, now.liquidation_price, side),
        auto_add_margin=holding.auto_add_margin,
        seq=holding.sequence,
    )


def added_margin(row: PositionRow) -> AddedMargin:
    """The part of a position that `position/add-margin` answers with."""
    return AddedMargin(**{name: getattr(row, name) for name in AddedMargin.__struct_fields__})


def _break_even(now: PositionView, rules: Instrument, taker_fee: Decimal) -> str:
    """(E q - realised) / (q - |q| max(f, 0.055 %)) with a signed q."""
    size = rules.size(now.lots)
    value = now.cost if now.lots > 0 else now.cost.copy_negate()
    return eight((value - now.realised) / (size - abs(size) * max(taker_fee, _LEAST_FEE)))


def _liquidation_text(rules: Instrument, price: Decimal | None, side: Side) -> str:
    """Rounded to the tick that comes first; empty outside the prices that there can be."""
    if price is None:
        return EMPTY
    ticks = rules.price_up(price) if side is Side.BUY else rules.price_down(price)
    return price_text(rules, ticks) if rules.min_price <= ticks <= rules.max_price else EMPTY
