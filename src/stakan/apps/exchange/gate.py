"""Who may ask: signatures, receive window, bound addresses (Bybit v5, "Integration guidance" and "Connect")."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from stakan.adapters.exchanges.bybit.auth import sign_login, sign_request
from stakan.apps.exchange.accounts import Account, Accounts, ApiKey
from stakan.apps.exchange.numbers import whole
from stakan.apps.exchange.refusal import PARAMETER_ERROR, Refused

DEFAULT_WINDOW_MS = 5_000
AHEAD_MS = 1_000
"""A timestamp may be ahead of the exchange's clock by less than this, however large the window is."""
_DIGITS = 18
"""Of a number of milliseconds, at most."""
BAD_TIMESTAMP = 10_002
BAD_KEY = 10_003
BAD_SIGNATURE = 10_004
BAD_ADDRESS = 10_010
EXPIRED = 33_004
UNAUTHORISED = frozenset((BAD_KEY, BAD_SIGNATURE, BAD_ADDRESS, EXPIRED))
"""Codes of callers that are not who they should be."""

Caller = tuple[Account, ApiKey]


class Unsigned(Refused):
    """A request without a signature, where one is asked for."""


class Gate:
    """Checks what callers sign. Times are milliseconds."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def request(self, headers: Mapping[str, str], content: bytes, now_ms: int, address: str) -> Caller:
        """The caller of a signed REST request; `headers` by lower-case name, `content` the raw query or body.

        Raises Refused with 10001 to 10004, 10010 or 33004; `Unsigned` where headers are missing.
        """
        key, timestamp, signature = (headers.get(f"x-bapi-{name}", "") for name in ("api-key", "timestamp", "sign"))
        if not (key and timestamp and signature):
            raise Unsigned(
                PARAMETER_ERROR,
                f"empty value: apiTimestamp[{timestamp}] apiKey[{key}] apiSignature[{signature}]",
            )
        window = headers.get("x-bapi-recv-window", "") or str(DEFAULT_WINDOW_MS)
        caller = self._known(key, now_ms, address)
        check_time(timestamp, window, now_ms)
        secret = caller[1].secret
        # Some clients sign the query as they wrote it, before their HTTP library encoded it.
        spellings = {content, unquote(content.decode(errors="replace")).encode()}
        expected = [sign_request(secret, timestamp, key, window, spelling) for spelling in spellings]
        if not any(hmac.compare_digest(one.encode(), signature.encode()) for one in expected):
            raise Refused(BAD_SIGNATURE, "error sign! please check your signature generation algorithm.")
        return caller

    def login(self, args: Sequence[Any], now_ms: int, address: str) -> Caller:
        """The caller of a socket's `auth`: key, expiry in milliseconds (number or text), signature.

        Raises Refused with 10001, 10003, 10004, 10010 or 33004.
        """
        until = whole(str(args[1]), _DIGITS) if len(args) == 3 else None
        if until is None:
            raise Refused(PARAMETER_ERROR, "Params Error")
        key, expires, signature = (str(arg) for arg in args)
        caller = self._known(key, now_ms, address)
        if until <= now_ms:
            raise Refused(BAD_SIGNATURE, "Params Error: expires is in the past")
        if not hmac.compare_digest(sign_login(caller[1].secret, expires).encode(), signature.encode()):
            raise Refused(BAD_SIGNATURE, "error sign! please check your signature generation algorithm.")
        return caller

    def _known(self, key: str, now_ms: int, address: str) -> Caller:
        caller = self._accounts.find(key)
        if caller is None:
            raise Refused(BAD_KEY, "API key is invalid.")
        if 0 < caller[1].expires_ms <= now_ms:
            raise Refused(EXPIRED, "Your api key has expired.")
        if caller[1].ips and address not in caller[1].ips:
            raise Refused(BAD_ADDRESS, "Unmatched IP, please check your API key's bound IP addresses.")
        return caller


def check_time(timestamp: str, window: str, now_ms: int) -> None:
    """Raises Refused with 10002 unless `now - window <= timestamp < now + 1000`."""
    at, within = whole(timestamp, _DIGITS), whole(window, _DIGITS)
    if at is None or within is None:
        raise Refused(PARAMETER_ERROR, f"timestamp[{timestamp}] and recv_window[{window}] should be milliseconds")
    if not now_ms - within <= at < now_ms + AHEAD_MS:
        raise Refused(
            BAD_TIMESTAMP,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{timestamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )
