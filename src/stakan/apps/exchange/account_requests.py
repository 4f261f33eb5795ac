"""Requests about the account itself: modes, money, fees, settings."""

from typing import Any

from stakan.apps.exchange import parameters
from stakan.apps.exchange.order_entry import chosen_symbols, rules_of
from stakan.apps.exchange.refusal import Refused
from stakan.apps.exchange.replies import Reply
from stakan.apps.exchange.text import trimmed
from stakan.apps.exchange.trading import Trading
from stakan.core.portfolio.money import ZERO

MARGIN_MODE = "ISOLATED_MARGIN"
_SETTLE = "USDT"


def info(_trading: Trading, _asked: parameters.Nothing, _now: int) -> dict[str, Any]:
    """`account/info`: a unified account in isolated mode."""
    return {
        "marginMode": MARGIN_MODE,
        "updatedTime": "0",
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def wallet_balance(trading: Trading, asked: parameters.Wallet, _now: int) -> dict[str, Any]:
    """`account/wallet-balance`: one coin; others are left out."""
    row = trading.wallet_row()
    if asked.coin is not None and _SETTLE not in asked.coin.split(","):
        row.coin = []
    return {"list": [row]}


def fee_rate(trading: Trading, asked: parameters.FeeRate, _now: int) -> dict[str, Any]:
    """`account/fee-rate`: of one symbol, or of all."""
    if asked.category != "linear":
        return {"category": asked.category, "list": []}
    rows = []
    for symbol in sorted(chosen_symbols(trading, asked.symbol, asked.base_coin)):
        fees = trading.venue.fees(rules_of(trading, symbol))
        rows.append({"symbol": symbol, "takerFeeRate": trimmed(fees.taker), "makerFeeRate": trimmed(fees.maker)})
    return {"category": "linear", "list": rows}


def set_margin_mode(_trading: Trading, asked: parameters.MarginMode, _now: int) -> Reply:
    """`account/set-margin-mode`: isolated is in force; the others are a limit of this exchange (3400045)."""
    if asked.set_margin_mode == MARGIN_MODE:
        return Reply({"reasons": []})
    reason = {"reasonCode": "3400000", "reasonMsg": f"{asked.set_margin_mode} is not supported by the local exchange"}
    return Reply({"reasons": [reason]}, 3400045, "Set margin mode failed")


def user_settings(trading: Trading, _asked: parameters.Nothing, _now: int) -> dict[str, Any]:
    """`account/user-setting-config`."""
    return {"lpaSpot": False, "lpaPerp": not trading.moves_price, "smsef": False, "fmsef": False}


def set_limit_price_action(trading: Trading, asked: parameters.LimitPriceAction, _now: int) -> dict[str, Any]:
    """`account/set-limit-px-action`: move a price beyond the band to its edge, or refuse the order."""
    if asked.category == "linear":
        trading.moves_price = asked.modify_enable
    return {}


def withdrawal(trading: Trading, asked: parameters.Withdrawal, _now: int) -> dict[str, Any]:
    """`account/withdrawal`: what neither positions nor orders bind."""
    free = trimmed(max(trading.venue.wallet().available, ZERO))
    amounts = {coin: free if coin == _SETTLE else "0" for coin in asked.coin_name.split(",")}
    return {"availableWithdrawal": next(iter(amounts.values())), "availableWithdrawalMap": amounts}


def instruments_info(trading: Trading, asked: parameters.Symbols, _now: int) -> dict[str, Any]:
    """`account/instruments-info`: the public row and what the account may do with RPI orders."""
    names = sorted(trading.market.instruments) if asked.symbol is None else [asked.symbol]
    after = [name for name in names if name > asked.cursor]
    page = after[: asked.limit]
    rows = []
    for symbol in page:
        rules_of(trading, symbol)
        rows.append({**trading.market.info(symbol), "isPublicRpi": False, "myRpiPermission": False})
    return {"category": "linear", "list": rows, "nextPageCursor": page[-1] if len(after) > len(page) else ""}


def coins(trading: Trading, asked: parameters.Coins, _now: int) -> dict[str, Any]:
    """`asset/coin/query-info`: coins of the listed instruments; none of them can be moved."""
    listed = trading.market.instruments.values()
    names = sorted({rules.base for rules in listed} | {rules.settle for rules in listed})
    if asked.coin is not None:
        names = [name for name in names if name == asked.coin]
    return {"rows": [{"name": name, "coin": name, "remainAmount": "0", "chains": []} for name in names]}


def disconnect_cancel(_trading: Trading, _asked: parameters.Nothing, _now: int) -> dict[str, Any]:
    """`order/disconnected-cancel-all`: for institutions only."""
    raise Refused(10005, "Permission denied, please check your API key permissions.")
