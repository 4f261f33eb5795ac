"""Rows of private answers and pushes under Bybit's names; one shape for REST and streams except where they differ.

What is empty or constant here has no meaning for isolated USDT perpetuals of a one-way account, or is deprecated.
"""

import msgspec
from msgspec import UNSET, UnsetType


class OrderRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """An order: `order` topic, `order/realtime`, `order/history`."""

    category: str = "linear"
    symbol: str
    order_id: str
    order_link_id: str
    parent_order_link_id: str
    block_trade_id: str = ""
    side: str
    position_idx: int = 0
    order_status: str
    create_type: str
    cancel_type: str
    reject_reason: str
    time_in_force: str
    is_leverage: str = ""
    price: str
    qty: str
    avg_price: str
    leaves_qty: str
    leaves_value: str
    cum_exec_qty: str
    cum_exec_value: str
    cum_exec_fee: str
    cum_fee_detail: dict[str, str]
    closed_pnl: str
    order_type: str
    stop_order_type: str
    order_iv: str = ""
    trigger_price: str
    trigger_direction: int
    trigger_by: str
    take_profit: str
    stop_loss: str
    tp_trigger_by: str
    sl_trigger_by: str
    tp_limit_price: str
    sl_limit_price: str
    tpsl_mode: str
    last_price_on_created: str
    close_on_trigger: bool
    reduce_only: bool
    smp_type: str
    smp_group: int = 0
    smp_order_id: str = ""
    place_type: str = ""
    market_unit: str = ""
    oco_trigger_by: str = ""
    slippage_tolerance_type: str
    slippage_tolerance: str
    fee_currency: str = "USDT"
    extra_fees: str = ""
    rpi_taker_access: bool
    rpi_matched_qty: str = "0"
    created_time: str
    updated_time: str


class ExecutionRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One execution: `execution` topic, `execution/list`; also what is kept of it."""

    category: str = "linear"
    symbol: str
    order_id: str
    order_link_id: str
    side: str
    order_price: str
    order_qty: str
    leaves_qty: str
    order_type: str
    stop_order_type: str
    create_type: str
    exec_id: str
    exec_price: str
    exec_qty: str
    exec_value: str
    exec_fee: str
    fee_rate: str
    fee_currency: str = "USDT"
    exec_pnl: str
    exec_type: str
    exec_time: str
    is_maker: bool
    closed_size: str
    mark_price: str
    index_price: str
    underlying_price: str = ""
    mark_iv: str = ""
    trade_iv: str = ""
    block_trade_id: str = ""
    is_leverage: str = "0"
    market_unit: str = ""
    extra_fees: str = ""
    seq: int


class FastExecutionRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One trade on `execution.fast`; the owner's id is hidden from makers."""

    category: str = "linear"
    symbol: str
    exec_id: str
    exec_price: str
    exec_qty: str
    order_id: str
    order_link_id: str
    side: str
    is_maker: bool
    exec_time: str
    seq: int


class PositionRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """A position: `position` topic, `position/list`; the average price has two names."""

    category: str = "linear"
    position_idx: int = 0
    trade_mode: int = 0
    risk_id: int
    risk_limit_value: str
    symbol: str
    side: str
    size: str
    avg_price: str | UnsetType = UNSET
    """`position/list`."""
    entry_price: str | UnsetType = UNSET
    """`position` topic."""
    leverage: str
    break_even_price: str
    position_value: str
    position_balance: str
    mark_price: str
    position_im: str = msgspec.field(name="positionIM")
    position_im_by_mp: str = msgspec.field(name="positionIMByMp")
    position_mm: str = msgspec.field(name="positionMM")
    position_mm_by_mp: str = msgspec.field(name="positionMMByMp")
    take_profit: str
    stop_loss: str
    trailing_stop: str
    unrealised_pnl: str
    cur_realised_pnl: str
    cum_realised_pnl: str
    session_avg_price: str = ""
    created_time: str
    updated_time: str
    open_time: str
    tpsl_mode: str = "Full"
    liq_price: str
    bust_price: str = ""
    position_status: str = "Normal"
    """A take-over is instantaneous here."""
    adl_rank_indicator: int = 0
    auto_add_margin: int
    leverage_sys_updated_time: str = ""
    mmr_sys_updated_time: str = ""
    seq: int
    is_reduce_only: bool = False


class ClosedPnlRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """What one closing order earned, `position/closed-pnl`; net of both fees."""

    symbol: str
    order_id: str
    side: str
    qty: str
    order_price: str
    order_type: str
    exec_type: str
    closed_size: str
    cum_entry_value: str
    avg_entry_price: str
    cum_exit_value: str
    avg_exit_price: str
    closed_pnl: str
    fill_count: str
    leverage: str
    open_fee: str
    close_fee: str
    created_time: str
    updated_time: str


class TransactionRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One change of the wallet, `account/transaction-log`: change = cashFlow + funding - fee."""

    id: str
    symbol: str
    category: str = "linear"
    side: str
    transaction_time: str
    type: str
    trans_sub_type: str = ""
    qty: str
    size: str
    currency: str = "USDT"
    trade_price: str
    funding: str
    fee: str
    cash_flow: str
    change: str
    cash_balance: str
    fee_rate: str
    bonus_change: str = ""
    trade_id: str
    order_id: str
    order_link_id: str
    extra_fees: str = ""


class CoinRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One coin of the wallet."""

    coin: str = "USDT"
    equity: str
    usd_value: str
    wallet_balance: str
    available_to_withdraw: str = ""
    available_to_borrow: str = ""
    borrow_amount: str = "0"
    accrued_interest: str = "0"
    total_order_im: str = msgspec.field(name="totalOrderIM")
    total_position_im: str = msgspec.field(name="totalPositionIM")
    total_position_mm: str = msgspec.field(name="totalPositionMM")
    unrealised_pnl: str
    cum_realised_pnl: str
    bonus: str = "0"
    collateral_switch: bool = True
    margin_collateral: bool = True
    locked: str = "0"
    spot_hedging_qty: str = "0"
    spot_borrow: str = "0"
    col_res: str = ""


class WalletRow(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """The wallet: `wallet` topic, `account/wallet-balance`. Account-wide rates have no meaning in isolated mode."""

    account_type: str = "UNIFIED"
    account_ltv: str = msgspec.field(default="", name="accountLTV")
    account_im_rate: str = msgspec.field(default="", name="accountIMRate")
    account_im_rate_by_mp: str = msgspec.field(default="", name="accountIMRateByMp")
    account_mm_rate: str = msgspec.field(default="", name="accountMMRate")
    account_mm_rate_by_mp: str = msgspec.field(default="", name="accountMMRateByMp")
    total_equity: str
    total_wallet_balance: str
    total_margin_balance: str = ""
    total_available_balance: str = ""
    total_perp_upl: str = msgspec.field(name="totalPerpUPL")
    total_initial_margin: str = ""
    total_initial_margin_by_mp: str = ""
    total_maintenance_margin: str = ""
    total_maintenance_margin_by_mp: str = ""
    coin: list[CoinRow]


class AddedMargin(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """Answer of `position/add-margin`: what it names of the position."""

    category: str = "linear"
    symbol: str
    position_idx: int = 0
    risk_id: int
    risk_limit_value: str
    size: str
    position_value: str
    avg_price: str | UnsetType
    liq_price: str
    bust_price: str
    mark_price: str
    leverage: str
    auto_add_margin: int
    position_status: str
    position_im: str = msgspec.field(name="positionIM")
    position_mm: str = msgspec.field(name="positionMM")
    unrealised_pnl: str
    cum_realised_pnl: str
    stop_loss: str
    take_profit: str
    trailing_stop: str
    created_time: str
    updated_time: str
