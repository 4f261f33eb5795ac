"""Signatures of Bybit v5: both sides of the wire make them the same way, over the very bytes that travel."""

import hashlib
import hmac


def sign(secret: str, payload: bytes) -> str:
    """Lower-case hexadecimal HMAC-SHA256."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def request_payload(timestamp: str, key: str, receive_window: str, content: bytes) -> bytes:
    """What a REST request signs; `content` is the raw body of a POST, the raw query (without `?`) of a GET."""
    return f"{timestamp}{key}{receive_window}".encode() + content


def sign_request(secret: str, timestamp: str, key: str, receive_window: str, content: bytes) -> str:
    """Signature of a REST request; times in milliseconds, as they stand in the headers."""
    return sign(secret, request_payload(timestamp, key, receive_window, content))


def sign_login(secret: str, expires: int | str) -> str:
    """Signature of a socket's login, valid until `expires` (milliseconds)."""
    return sign(secret, f"GET/realtime{expires}".encode())


def request_headers(key: str, secret: str, timestamp: int, receive_window: int, content: bytes) -> dict[str, str]:
    """Headers of a signed REST request; times in milliseconds."""
    moment, window = str(timestamp), str(receive_window)
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": moment,
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": sign_request(secret, moment, key, window, content),
        "X-BAPI-SIGN-TYPE": "2",
    }
