"""Every payload of the collection: read by our decoders, refused by a named error, or out of scope by name and reason.

`READ` says who reads which files, `PASSED_OVER` why others are not ours. A file that neither names fails the test, and
so does a pattern that names no file.
"""

import fnmatch
import json
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from stakan.adapters.exchanges.bybit import messages
from stakan.adapters.exchanges.bybit.decode import BybitDecoder
from stakan.adapters.exchanges.bybit.errors import CODES, Kind
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.exchanges.bybit.private import Translator
from stakan.adapters.exchanges.bybit.rest import judge
from stakan.adapters.wire import LevelReader, grid_of
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import instrument_id
from stakan.core.domain.instrument import Category, Instrument

FINE = Decimal("1e-9")


class Reading:
    """What the readers made of the files."""

    def __init__(self):
        self.events = Counter()
        self.codes = Counter()

    def envelope(self, text, row=None, wanted=None):
        """The result of an answer; some collections have the result alone."""
        raw = msgspec.json.decode(text, type=msgspec.Raw)
        if b'"retCode"' in text:
            answer = messages.read(messages.Envelope, text, "answer")
            self.codes[answer.ret_code] += 1
            assert judge(Kind.QUERY, answer.ret_code, answer.ret_msg, answer.result).text
            raw = answer.result
        if wanted is not None:
            return messages.read(wanted, raw, "result")
        if row is not None:
            return [messages.read(row, part, "row") for part in messages.read(messages.Page, raw, "result").rows]
        return raw


def translator(rows):
    symbols = {row.symbol for row in rows}
    rules = {
        instrument_id("bybit", "linear", symbol): Instrument(
            id=instrument_id("bybit", "linear", symbol),
            category=Category.LINEAR,
            base="X",
            quote="USDT",
            settle="USDT",
            tick_size=FINE,
            lot_size=FINE,
        )
        for symbol in symbols
    }
    return Translator(rules, "bybit")


def read_rows(kind):
    """Rows of orders, executions or positions, told as events."""

    def read(text, reading):
        if b'"topic"' in text:
            frame = messages.read(messages.PrivateFrame, text, "frame")
            rows = messages.read(list[kind], frame.data, frame.topic)
        else:
            rows = reading.envelope(text, kind)
        target = translator(rows)
        tell = {
            messages.OrderRow: target.orders,
            messages.ExecutionRow: target.executions,
            messages.PositionRow: target.positions,
        }[kind]
        events = list(tell(rows, 1))
        events += target.expire(10**15)
        reading.events.update(type(event).__name__ for event in events)

    return read


def read_wallet(text, reading):
    if b'"topic"' in text:
        frame = messages.read(messages.PrivateFrame, text, "frame")
        rows = messages.read(list[messages.WalletRow], frame.data, frame.topic)
    else:
        rows = reading.envelope(text, messages.WalletRow)
    target = Translator({}, "bybit")
    target.wallet(rows)
    assert target.coins
    reading.events["Coin"] += len(target.coins)


def read_as(wanted):
    def read(text, reading):
        assert reading.envelope(text, wanted=wanted) is not None

    return read


def read_list(row):
    def read(text, reading):
        reading.events[row.__name__] += len(reading.envelope(text, row))

    return read


def read_envelope(text, reading):
    reading.envelope(text)


def read_trade_frame(text, reading):
    if json.loads(text) == {"op": "ping"}:
        return
    frame = messages.read(messages.TradeFrame, text, "trade socket")
    reading.codes[frame.ret_code] += 1
    if frame.op == "order.create" and frame.req_id:
        assert messages.read(messages.OrderIds, frame.data, "answer").order_id
        assert frame.header.left.isdigit()


def read_private_answer(text, reading):
    messages.read(messages.PrivateFrame, text, "private stream")
    reading.events["answer"] += 1


def read_public(text, reading):
    """Linear frames decode; others name an instrument that is not linear, and are refused by that name."""
    frame = json.loads(text)
    if not frame.get("topic"):
        return
    symbol = frame["topic"].rsplit(".", 1)[-1]
    name = instrument_id("bybit", "linear", symbol)
    rules = Instrument(
        id=name, category=Category.LINEAR, base="X", quote="USDT", settle="USDT", tick_size=FINE, lot_size=FINE
    )
    events = BybitDecoder({name: rules}, Category.LINEAR).decode(text, 1)
    reading.events.update(type(event).__name__ for event in events)
    if events:
        with pytest.raises(DataError, match=symbol):
            BybitDecoder({}, Category.LINEAR).decode(text, 1)


def read_nothing(text, reading):
    assert not BybitDecoder({}, Category.LINEAR).decode(text, 1)
    reading.events["nothing"] += 1


def read_book(text, reading):
    name = instrument_id("bybit", "linear", "BOOK")
    rules = Instrument(
        id=name, category=Category.LINEAR, base="X", quote="USDT", settle="USDT", tick_size=FINE, lot_size=FINE
    )
    levels, bids, update = LevelReader(grid_of(rules)).read(text)
    assert len(levels) > bids > 0
    assert update > 0


def refuse_book(text, reading):
    """Levels as objects are a client library's shape, not the exchange's."""
    with pytest.raises(DataError, match="bids and asks should each be one list"):
        read_book(text, reading)
    reading.events["refused"] += 1


def read_instruments(text, reading):
    """Linear and spot become instruments; others are refused by their category."""
    category = json.loads(text)["result"]["category"]
    if category in ("linear", "spot"):
        reading.events["Instrument"] += len(decode_instruments(text))
    else:
        with pytest.raises(DataError, match=category):
            decode_instruments(text)


def refuse_fast(text, reading):
    """`execution.fast` has neither fee nor, for makers, our id: it is not subscribed to and is refused by name."""
    frame = messages.read(messages.PrivateFrame, text, "frame")
    if frame.topic:
        with pytest.raises(DataError, match=r"execution\.fast"):
            Translator({}, "bybit").frame(frame, 1)
        reading.events["refused"] += 1


ORDERS, EXECUTIONS, POSITIONS = (
    read_rows(messages.OrderRow),
    read_rows(messages.ExecutionRow),
    read_rows(messages.PositionRow),
)
IDS = read_as(messages.OrderIds)
DOCS, HIRO, ENDPOINTS = "bybit-docs/", "hirokisan/v5-", "jkorf/Endpoints/V5Api/"
SUBSCRIPTIONS, SOCKET, REPLIES = "jkorf/Subscriptions/V5/", "jkorf/Socket/V5Api/", "jkorf/JsonResponses/"

READ = {
    # what the private stream and the queries of an account say
    DOCS + "websocket__private__order__*": ORDERS,
    DOCS + "order__open-order__1.json": ORDERS,
    DOCS + "order__order-list__1.json": ORDERS,
    HIRO + "get-open-orders.json": ORDERS,
    HIRO + "get-history-orders.json": ORDERS,
    ENDPOINTS + "Trading/GetOrders.txt": ORDERS,
    ENDPOINTS + "Trading/GetOrderHistory.txt": ORDERS,
    SUBSCRIPTIONS + "Private/Order.txt": ORDERS,
    DOCS + "websocket__private__execution__*": EXECUTIONS,
    DOCS + "order__execution__1.json": EXECUTIONS,
    HIRO + "execution-get-execution-list.json": EXECUTIONS,
    ENDPOINTS + "Trading/GetUserTrades.txt": EXECUTIONS,
    SUBSCRIPTIONS + "Private/UserTrades.txt": EXECUTIONS,
    DOCS + "websocket__private__fast-execution__*": refuse_fast,
    SUBSCRIPTIONS + "Private/MinimalUserTrades.txt": refuse_fast,
    DOCS + "websocket__private__position__*": POSITIONS,
    DOCS + "position__position__1.json": POSITIONS,
    HIRO + "position-get-position-info.json": POSITIONS,
    ENDPOINTS + "Trading/GetPositions.txt": POSITIONS,
    REPLIES + "V5/Trading/GetPositionsAsync*.txt": POSITIONS,
    SUBSCRIPTIONS + "Private/Position.txt": POSITIONS,
    DOCS + "websocket__private__wallet__*": read_wallet,
    DOCS + "account__wallet-balance__1.json": read_wallet,
    HIRO + "account-get-wallet-balance.json": read_wallet,
    ENDPOINTS + "Account/GetBalances.txt": read_wallet,
    SUBSCRIPTIONS + "Private/Balance.txt": read_wallet,
    # orders and settings
    DOCS + "order__create-order__1.json": IDS,
    DOCS + "order__amend-order__1.json": IDS,
    DOCS + "order__cancel-order__1.json": IDS,
    HIRO + "create-order.json": IDS,
    HIRO + "amend-order.json": IDS,
    HIRO + "cancel-order.json": IDS,
    ENDPOINTS + "Trading/PlaceOrder.txt": IDS,
    ENDPOINTS + "Trading/EditOrder.txt": IDS,
    ENDPOINTS + "Trading/CancelOrder.txt": IDS,
    DOCS + "order__cancel-all__1.json": read_list(messages.OrderIds),
    HIRO + "cancel-all-orders.json": read_list(messages.OrderIds),
    ENDPOINTS + "Trading/CancelAllOrder.txt": read_list(messages.OrderIds),
    DOCS + "websocket__trade__guideline__*": read_trade_frame,
    SOCKET + "Private/*.txt": read_trade_frame,
    DOCS + "websocket__wss-authentication__*": read_private_answer,
    DOCS + "account__account-info__1.json": read_as(messages.AccountInfo),
    HIRO + "account-get-account-info.json": read_as(messages.AccountInfo),
    ENDPOINTS + "Account/GetMarginAccountInfo.txt": read_as(messages.AccountInfo),
    DOCS + "account__fee-rate__1.json": read_list(messages.FeeRow),
    ENDPOINTS + "Account/GetFeeRate.txt": read_list(messages.FeeRow),
    DOCS + "market__time__1.json": read_as(messages.Time),
    # settings whose answer is their code alone, and answers that the client does not ask for but would judge
    DOCS + "account__set-margin-mode__1.json": read_envelope,
    DOCS + "account__set-price-limit__1.json": read_envelope,
    DOCS + "position__leverage__1.json": read_envelope,
    DOCS + "position__batch-lvg__1.json": read_envelope,
    DOCS + "position__position-mode__1.json": read_envelope,
    DOCS + "position__trading-stop__1.json": read_envelope,
    DOCS + "position__auto-add-margin__1.json": read_envelope,
    DOCS + "position__manual-add-margin__1.json": read_envelope,
    DOCS + "position__confirm-mmr__1.json": read_envelope,
    DOCS + "position__close-pnl__1.json": read_envelope,
    DOCS + "position__close-position__1.json": read_envelope,
    DOCS + "order__batch-*__1.json": read_envelope,
    DOCS + "order__pre-check-order__1.json": read_envelope,
    DOCS + "order__dcp__1.json": read_envelope,
    DOCS + "rate-limit__*": read_envelope,
    HIRO + "position-set-*.json": read_envelope,
    HIRO + "position-switch-*.json": read_envelope,
    HIRO + "position-get-closed-pnl.json": read_envelope,
    ENDPOINTS + "Account/Set[LP]*.txt": read_envelope,
    ENDPOINTS + "Account/SetMarginMode.txt": read_envelope,
    ENDPOINTS + "Account/SetRiskLimit.txt": read_envelope,
    ENDPOINTS + "Account/SetTakeProfitStopLossMode.txt": read_envelope,
    ENDPOINTS + "Account/SetAutoAddMargin.txt": read_envelope,
    ENDPOINTS + "Account/AddOrReduceMargin.txt": read_envelope,
    ENDPOINTS + "Account/Switch*.txt": read_envelope,
    ENDPOINTS + "Trading/SetTradingStop.txt": read_envelope,
    ENDPOINTS + "Trading/GetClosedProfitLoss.txt": read_envelope,
    ENDPOINTS + "Trading/*MultipleOrders.txt": read_envelope,
    ENDPOINTS + "Trading/PreCheckOrder.txt": read_envelope,
    ENDPOINTS + "Trading/SetDisconnectCancelAll.txt": read_envelope,
    REPLIES + "V5/Account/AddOrReduceMarginAsync.txt": read_envelope,
    # public
    DOCS + "websocket__public__orderbook__1.json": read_public,
    DOCS + "websocket__public__trade__1.json": read_public,
    DOCS + "websocket__public__kline__1.json": read_public,
    DOCS + "websocket__public__ticker__*": read_public,
    SUBSCRIPTIONS + "Linear/Trades.txt": read_public,
    DOCS + "market__orderbook__1.json": read_book,
    HIRO + "market-get-orderbook.json": refuse_book,
    ENDPOINTS + "ExchangeData/GetOrderbook.txt": read_book,
    DOCS + "market__instrument__*": read_instruments,
    ENDPOINTS + "ExchangeData/GetLinearInverseSymbols*.txt": read_instruments,
    ENDPOINTS + "ExchangeData/GetSpotSymbols.txt": read_instruments,
    ENDPOINTS + "ExchangeData/GetOptionSymbols.txt": read_instruments,
    # public frames that decode to nothing, because nothing in the engine reads them
    DOCS + "websocket__public__adl-alert__1.json": read_nothing,
    DOCS + "websocket__public__all-liquidation__1.json": read_nothing,
    DOCS + "websocket__public__full-ob__1.json": read_nothing,
    DOCS + "websocket__public__insurance-pool__*": read_nothing,
    DOCS + "websocket__public__order-price-limit__*": read_nothing,
    DOCS + "websocket__public__orderbook-rpi__*": read_nothing,
    DOCS + "websocket__system__system-status__*": read_nothing,
    SUBSCRIPTIONS + "Linear/Liquidations.txt": read_nothing,
    SUBSCRIPTIONS + "Linear/Ticker.txt": read_public,
    # answers about linear perpetuals whose envelope is judged; their rows are not asked for by an account
    DOCS + "market__adl-alert__1.json": read_envelope,
    DOCS + "market__fee-group-info__1.json": read_envelope,
    DOCS + "market__history-fund-rate__1.json": read_envelope,
    DOCS + "market__*kline__1.json": read_envelope,
    DOCS + "market__insurance__1.json": read_envelope,
    DOCS + "market__long-short-ratio__1.json": read_envelope,
    DOCS + "market__open-interest__1.json": read_envelope,
    DOCS + "market__order-price-limit__1.json": read_envelope,
    DOCS + "market__recent-trade__1.json": read_envelope,
    DOCS + "market__rpi-orderbook__1.json": read_envelope,
    DOCS + "market__tickers__*": read_envelope,
    DOCS + "market__index-components__1.json": read_envelope,
    DOCS + "account__transaction-log__1.json": read_envelope,
    DOCS + "account__get-user-setting-config__1.json": read_envelope,
    DOCS + "account__instrument__*": read_envelope,
    DOCS + "account__dcp-info__1.json": read_envelope,
    DOCS + "account__smp-group__1.json": read_envelope,
    DOCS + "account__trade-info-for-analysis__1.json": read_envelope,
    HIRO + "market-get-funding-rate-history.json": read_envelope,
    HIRO + "market-get-*kline.json": read_envelope,
    HIRO + "market-get-insurance.json": read_envelope,
    HIRO + "market-get-open-interest.json": read_envelope,
    HIRO + "market-get-public-trading-history.json": read_envelope,
    HIRO + "market-get-risk-limit.json": read_envelope,
    HIRO + "account-get-transaction-log.json": read_envelope,
    ENDPOINTS + "Account/GetTransactionHistory.txt": read_envelope,
    ENDPOINTS + "Account/GetAnalysisTradeInfo.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetFundingRateHistory.txt": read_envelope,
    ENDPOINTS + "ExchangeData/Get*Klines.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetInsurance.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetLinearInverseTickers.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetLongShortRatio.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetOpenInterest.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetOrderPriceLimit.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetRiskLimit.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetTradeHistory.txt": read_envelope,
    ENDPOINTS + "ExchangeData/GetSystemStatus.txt": read_envelope,
}

ORDER_OPS = ("order.create", "order.amend", "order.cancel", "order.create-batch")

BEFORE_V5 = "an interface before v5, which the exchange has shut down"
LOANS = "borrowing, collateral and repayment: isolated positions in USDT borrow nothing"
OTHER_CATEGORY = "spot, inverse, option or spread, not a linear perpetual"
OTHER_BUSINESS = "assets, transfers, sub-accounts, brokers, conversion: not trading, and no right of a bot's key"
MAKERS = "market-maker protection, greeks and strategy orders: options and the exchange's own bots"

PASSED_OVER = {
    REPLIES + "Derivatives/*": BEFORE_V5,
    REPLIES + "Spot/*": BEFORE_V5,
    REPLIES + "CopyTrading/*": BEFORE_V5,
    REPLIES + "General/*": BEFORE_V5,
    REPLIES + "V5/Account/Get*.txt": OTHER_BUSINESS,
    REPLIES + "V5/SubAccount/*": OTHER_BUSINESS,
    REPLIES + "V5/ExchangeData/GetSpotSymbolsAsync.txt": OTHER_CATEGORY,
    REPLIES + "V5/Trading/*Leverage*": OTHER_CATEGORY,
    DOCS + "account__*borrow*": LOANS,
    DOCS + "account__*repay*": LOANS,
    DOCS + "account__*collateral*": LOANS,
    DOCS + "account__pay-info__1.json": LOANS,
    DOCS + "account__unified-trans-amnt__1.json": OTHER_BUSINESS,
    DOCS + "account__upgrade-unified-account__1.json": OTHER_BUSINESS,
    DOCS + "account__coin-greeks__1.json": MAKERS,
    DOCS + "account__option-asset-info__1.json": MAKERS,
    DOCS + "account__*mmp*": MAKERS,
    DOCS + "account__set-delta-mode__1.json": MAKERS,
    DOCS + "account__set-spot-hedge__1.json": OTHER_CATEGORY,
    DOCS + "market__*delivery-price__1.json": OTHER_CATEGORY,
    DOCS + "market__iv__1.json": OTHER_CATEGORY,
    DOCS + "order__spot-borrow-quota__1.json": OTHER_CATEGORY,
    DOCS + "position__move-position*": OTHER_BUSINESS,
    DOCS + "websocket__private__greek__*": MAKERS,
    DOCS + "websocket__private__strategy__*": MAKERS,
    DOCS + "websocket__private__dcp__1.json": "disconnect-cancel-all: for institutions only, not subscribed to",
    HIRO + "account-*collateral*": LOANS,
    HIRO + "asset-*": OTHER_BUSINESS,
    HIRO + "market-get-historical-volatility.json": OTHER_CATEGORY,
    HIRO + "market-get-instruments-info-*": OTHER_CATEGORY + "; no envelope that says which",
    HIRO + "market-get-tickers-*": OTHER_CATEGORY,
    ENDPOINTS + "CryptoLoan/*": LOANS,
    ENDPOINTS + "Earn/*": OTHER_BUSINESS,
    ENDPOINTS + "Account/*Borrow*": LOANS,
    ENDPOINTS + "Account/*Collateral*": LOANS,
    ENDPOINTS + "Account/RepayLiabilities.txt": LOANS,
    ENDPOINTS + "Account/*SpotMargin*": LOANS,
    ENDPOINTS + "Account/SetSpotHedgingMode.txt": OTHER_CATEGORY,
    ENDPOINTS + "Account/*Spot*": OTHER_CATEGORY,
    ENDPOINTS + "Account/*Spread*": OTHER_CATEGORY,
    ENDPOINTS + "Account/*Option*": OTHER_CATEGORY,
    ENDPOINTS + "Account/GetAssetGreeks.txt": MAKERS,
    ENDPOINTS + "Account/*Convert*": OTHER_BUSINESS,
    ENDPOINTS + "Account/*Withdraw*": OTHER_BUSINESS,
    ENDPOINTS + "Account/*Small*": OTHER_BUSINESS,
    ENDPOINTS + "Account/*Broker*": OTHER_BUSINESS,
    ENDPOINTS + "Account/GetAsset[IO]*.txt": OTHER_BUSINESS,
    ENDPOINTS + "Account/GetAccountTypes.txt": OTHER_BUSINESS,
    ENDPOINTS + "Account/GetFundingTransactionHistory.txt": OTHER_BUSINESS,
    ENDPOINTS + "Account/DeleteApiKey.txt": OTHER_BUSINESS,
    ENDPOINTS + "Account/SignAgreement.txt": OTHER_BUSINESS,
    ENDPOINTS + "ExchangeData/GetAnnouncements.txt": OTHER_BUSINESS,
    ENDPOINTS + "ExchangeData/GetDeliveryPrice.txt": OTHER_CATEGORY,
    ENDPOINTS + "ExchangeData/GetHistoricalVolatility.txt": OTHER_CATEGORY,
    ENDPOINTS + "ExchangeData/*Leverage*": OTHER_CATEGORY,
    ENDPOINTS + "ExchangeData/GetOptionTickers.txt": OTHER_CATEGORY,
    ENDPOINTS + "ExchangeData/GetSpotTickers.txt": OTHER_CATEGORY,
    ENDPOINTS + "ExchangeData/*Spread*": OTHER_CATEGORY,
    ENDPOINTS + "Trading/*Spread*": OTHER_CATEGORY,
    ENDPOINTS + "Trading/*Leverage*": OTHER_CATEGORY,
    ENDPOINTS + "Trading/GetBorrowQuota.txt": LOANS,
    ENDPOINTS + "Trading/GetAssetExchangeHistory.txt": OTHER_BUSINESS,
    ENDPOINTS + "Trading/GetDeliveryHistory.txt": OTHER_CATEGORY,
    ENDPOINTS + "Trading/GetSettlementHistory.txt": OTHER_CATEGORY,
    SUBSCRIPTIONS + "Option/*": OTHER_CATEGORY,
    SUBSCRIPTIONS + "Spot/*": OTHER_CATEGORY,
    SUBSCRIPTIONS + "Private/Greeks.txt": MAKERS,
    SUBSCRIPTIONS + "Private/SpreadUserTrade.txt": OTHER_CATEGORY,
}


def is_request(document):
    """Whether it is what a client sends, not what the exchange says."""
    value = json.loads(document)
    return "args" in value and value.get("op") in ("auth", "subscribe", "ping", *ORDER_OPS)


def is_answer(document):
    """Whether it is the answer of a public or private socket to such a request."""
    value = json.loads(document)
    return "success" in value and value.get("op") in ("auth", "subscribe")


def documents(text):
    """The JSON texts of a file, which may have other lines around them."""
    decoder = json.JSONDecoder()
    text = text.removeprefix("\ufeff")
    at = 0
    while (at := min((p for p in (text.find("{", at), text.find("[", at)) if p >= 0), default=-1)) >= 0:
        try:
            _, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            at += 1
            continue
        yield text[at:end].encode()
        at = end


def matching(name, table):
    return [pattern for pattern in table if fnmatch.fnmatchcase(name, pattern)]


def test_every_payload_is_read_refused_or_passed_over_by_name(recorded):
    folder = recorded / "bybit-vectors"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    reading, used, was_read = Reading(), set(), 0
    for name in names:
        readers, reasons = matching(name, READ), matching(name, PASSED_OVER)
        assert readers or reasons, f"{name} is named by nobody"
        assert not (readers and reasons), f"{name} is both read and passed over"
        assert len(readers) <= 1, f"{name} has several readers: {readers}"
        used.update(readers, reasons)
        for pattern in readers:
            text = (folder / name).read_text(encoding="utf-8", errors="strict")
            found = list(documents(text))
            assert found, f"{name} holds no JSON"
            for document in found:
                if is_request(document):
                    reading.events["request"] += 1
                    continue
                reader = read_private_answer if is_answer(document) else READ[pattern]
                try:
                    reader(document, reading)
                except Exception as error:
                    raise AssertionError(f"{name}: {error}: {document[:100]!r}") from error
            was_read += 1
    assert set(READ) | set(PASSED_OVER) == used, "patterns that name no file"
    # If the collection shrinks or the readers stop reading, this notices.
    assert len(names) == 448
    assert was_read >= 150
    assert set(reading.codes) <= set(CODES)
    assert {"OrderFilled", "Coin", "Instrument", "TradePrint", "BookDelta"} <= set(reading.events)
