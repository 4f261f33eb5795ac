"""Requests of the local exchange: REST as raw bytes in and out, and the signed operations that the trade socket shares."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from stakan.apps.exchange.accounts import OPERATIONS
from stakan.apps.exchange.faults import Chaos, Trouble
from stakan.apps.exchange.gate import UNAUTHORISED, Caller, Gate, Unsigned
from stakan.apps.exchange.quota import (
    SOCKET_REQUESTS,
    TOO_MANY,
    WINDOW_MS,
    AddressQuota,
    Allowance,
    Quotas,
    RollingQuota,
)
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused
from stakan.apps.exchange.replies import Reply
from stakan.apps.exchange.requests import MarketRequests
from stakan.core.domain.units import MILLISECOND

PREFIX = "/v5/"
SERVER_ERROR = 10_016
TOO_MANY_OVER_SOCKETS = 10_403
_BATCH = "-batch"
_TOO_MANY_TEXT = "Too many visits. Exceeded the API Rate Limit."
_LOOPBACK = frozenset(("127.0.0.1", "::1", ""))
_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request as it came over the wire."""

    method: str
    path: str
    query: str = ""
    """Raw, without `?`."""
    headers: Mapping[str, str] = {}
    """By lower-case name."""
    body: bytes = b""
    address: str = ""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    is_lost: bool = False
    """The connection is cut instead of an answer."""


class Outcome(msgspec.Struct, frozen=True):
    """A signed operation's answer and how it is delivered."""

    reply: Reply
    allowance: Allowance
    trouble: Trouble | None = None


class Gateway:
    """Routes requests; never raises for what a client sends."""

    def __init__(
        self,
        gate: Gate,
        market: MarketRequests,
        chaos: Chaos,
        pump: Callable[[], int],
        flush: Callable[[], None],
        *,
        rate_factor: float = 1.0,
        limits_loopback: bool = False,
        unauthorised_status: int = 200,
    ) -> None:
        """`pump` lives up to the present and returns the time, `flush` lets private streams tell what happened."""
        self.gate = gate
        self._market = market
        self._market_paths = frozenset(market.paths)
        self._chaos = chaos
        self._pump = pump
        self._flush = flush
        self._rate_factor = rate_factor
        self._limits_loopback = limits_loopback
        self._unauthorised_status = unauthorised_status
        self._quotas: dict[int, Quotas] = {}
        self._addresses = AddressQuota()
        self._over_sockets = RollingQuota(SOCKET_REQUESTS, WINDOW_MS)
        self.requests = 0
        """Signed operations so far."""
        self._traces = 0

    # --- REST -------------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer a REST request."""
        now = self._pump()
        now_ms = now // MILLISECOND
        if self.limits(request.address) and not self._addresses.allows(request.address, now_ms):
            return Response(status=403, body=b"access too frequent")
        operation = request.path.removeprefix(PREFIX)
        try:
            if request.path in self._market_paths:
                return self._public(request, now)
            if request.path == "/v5/system/status":
                return self._answer(Reply({"list": []}), now_ms)
            if request.path.startswith(PREFIX) and operation in OPERATIONS:
                return self._signed(request, operation, now)
        except Refused as refused:
            status = 200
            if isinstance(refused, Unsigned) or refused.code in UNAUTHORISED:
                status = self._unauthorised_status
            return self._answer(Reply({}, refused.code, refused.message), now_ms, status=status)
        return Response(status=404, body=b"404 page not found")

    def _public(self, request: Request, now: int) -> Response:
        if request.method != "GET":
            return Response(status=404, body=b"404 page not found")
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        return self._answer(Reply(self._market.answer(request.path, query, now)), now // MILLISECOND)

    def _signed(self, request: Request, operation: str, now: int) -> Response:
        if request.method != OPERATIONS[operation]:
            return Response(status=404, body=b"404 page not found")
        is_get = request.method == "GET"
        if is_get and request.body:
            return Response(status=403, body=b"Forbidden")
        content = request.query.encode() if is_get else request.body
        now_ms = now // MILLISECOND
        caller = self.gate.request(request.headers, content, now_ms, request.address)
        params = dict(parse_qsl(request.query, keep_blank_values=True)) if is_get else _parameters(request.body)
        outcome = self.carry_out(caller, operation, params, now)
        match outcome.trouble:
            case Trouble.HTTP_503:
                return Response(status=503, body=b"Service Unavailable")
            case Trouble.HTTP_403:
                return Response(status=403, body=b"access too frequent")
            case Trouble.LOST_ANSWER:
                return Response(is_lost=True)
            case _:
                return self._answer(outcome.reply, now_ms, limit_headers(outcome.allowance))

    # --- what REST and the trade socket share -----------------------------------------------------------------------

    def over_socket(self, caller: Caller, operation: str, params: Mapping[str, Any], address: str) -> Outcome:
        """A signed operation that came over a trade socket; raises Refused with 10403 where they are too many."""
        now = self._pump()
        if self.limits(address) and not self._over_sockets.allows(address, now // MILLISECOND):
            raise Refused(TOO_MANY_OVER_SOCKETS, "Exceeded the IP rate limit.")
        return self.carry_out(caller, operation, params, now, over_socket=True)

    def carry_out(
        self, caller: Caller, operation: str, params: Mapping[str, Any], now: int, *, over_socket: bool = False
    ) -> Outcome:
        """A signed operation at the present `now`: budget, faults, and the account's answer."""
        account, key = caller
        self.requests += 1
        quotas = self._quotas.get(account.uid)
        if quotas is None:
            quotas = self._quotas[account.uid] = Quotas(self._rate_factor)
        items = params.get("request") if operation.endswith(_BATCH) else None
        units = len(items) if isinstance(items, list) else 1
        allowance = quotas.take(operation, now // MILLISECOND, max(units, 1))
        if not allowance.granted:
            return Outcome(Reply({}, TOO_MANY, _TOO_MANY_TEXT), allowance)
        has_stop = operation == "position/trading-stop" or bool(params.get("stopLoss"))
        trouble = self._chaos.trouble(operation, over_socket=over_socket, has_stop=has_stop)
        refusal = _refusal(trouble)
        if refusal is not None:
            return Outcome(refusal, allowance, trouble)
        allowed = allowance.granted if operation.endswith(_BATCH) else None
        if trouble is Trouble.PARTIAL_CANCEL:
            account.trade_half(params, now)
        reply = account.handle(operation, params, now, key, allowed)
        self._flush()
        if trouble is Trouble.LIE:
            reply = Reply({}, SERVER_ERROR, "Server error.")
        return Outcome(reply, allowance, trouble)

    def limits(self, address: str) -> bool:
        """Whether the limits per address hold for it."""
        return self._limits_loopback or address not in _LOOPBACK

    def trace(self) -> str:
        """A number for an answer, by which to find it again."""
        self._traces += 1
        return f"{self._traces:016x}"

    def _answer(self, reply: Reply, now_ms: int, headers: dict[str, str] | None = None, status: int = 200) -> Response:
        body = _encode(
            {
                "retCode": reply.code,
                "retMsg": reply.message,
                "result": reply.result,
                "retExtInfo": reply.ext,
                "time": now_ms,
            }
        )
        extra = {"Ret_code": str(reply.code)} if reply.code else {}
        always = {"Timenow": str(now_ms), "Traceid": self.trace()}
        return Response(status=status, body=body, headers={**always, **extra, **(headers or {})})


def limit_headers(allowance: Allowance) -> dict[str, str]:
    """`X-Bapi-Limit*`; empty where limits are off."""
    if not allowance.limit:
        return {}
    return {
        "X-Bapi-Limit": str(allowance.limit),
        "X-Bapi-Limit-Status": str(allowance.left),
        "X-Bapi-Limit-Reset-Timestamp": str(allowance.reset_ms),
    }


def _refusal(trouble: Trouble | None) -> Reply | None:
    """The answer where a trouble keeps a request from being carried out."""
    match trouble:
        case Trouble.TOO_MANY:
            return Reply({}, TOO_MANY, _TOO_MANY_TEXT)
        case Trouble.SERVER_ERROR | Trouble.HTTP_503 | Trouble.HTTP_403:
            return Reply({}, SERVER_ERROR, "Server error.")
        case Trouble.STOP_REFUSED:
            return Reply({}, PARAMETER_ERROR, "sl refused: base_price moved")
        case _:
            return None


def _parameters(body: bytes) -> dict[str, Any]:
    try:
        params = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(PARAMETER_ERROR, f"params error: the body is no JSON ({error})") from None
    if not isinstance(params, dict):
        raise Refused(PARAMETER_ERROR, "params error: the body should be one JSON object")
    return params
