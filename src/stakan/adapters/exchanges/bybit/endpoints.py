"""Where Bybit v5 can be reached: mainnet, testnet, demo trading, and an exchange of one's own on this machine."""

from urllib.parse import urlsplit, urlunsplit

import msgspec

from stakan.adapters.exchanges.bybit.decode import VENUE
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.instrument import Category

LOCAL_VENUE = "local"
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of one environment of Bybit v5 and the venue that its instruments belong to."""

    name: str
    """mainnet, testnet, demo or local."""
    venue: str
    """First part of instrument ids: `bybit`, `bybit-testnet`, `bybit-demo`, `local`."""
    rest: str
    """Base of REST requests, without a slash at its end."""
    public: str
    """Base of public sockets; `public_socket` adds the category."""
    private: str
    trade: str | None
    """Socket for orders; None in demo trading, where orders go by REST."""

    def public_socket(self, category: Category) -> str:
        """Address of the public socket of a category."""
        return f"{self.public}/{category}"


def environment(name: str, *, local_url: str = "http://127.0.0.1:8080", host_suffix: str = "bybit.com") -> Environment:
    """The environment of that name; `host_suffix` is the domain of regional accounts.

    Raises ConfigError for an unknown name, or a local address that is not http or https.
    """
    match name:
        case "mainnet":
            return _hosted(name, VENUE, "", host_suffix)
        case "testnet":
            return _hosted(name, f"{VENUE}-testnet", "-testnet", host_suffix)
        case "demo":
            # Demo trading has accounts of its own but the public market of mainnet, and no trade socket.
            return msgspec.structs.replace(
                _hosted(name, f"{VENUE}-demo", "-demo", host_suffix),
                public=_hosted(name, VENUE, "", host_suffix).public,
                trade=None,
            )
        case "local":
            return _local(local_url)
        case _:
            raise ConfigError(f"environment should be mainnet, testnet, demo or local, got {name!r}")


def _hosted(name: str, venue: str, suffix: str, domain: str) -> Environment:
    return Environment(
        name=name,
        venue=venue,
        rest=f"https://api{suffix}.{domain}",
        public=f"wss://stream{suffix}.{domain}/v5/public",
        private=f"wss://stream{suffix}.{domain}/v5/private",
        trade=f"wss://stream{suffix}.{domain}/v5/trade",
    )


def _local(url: str) -> Environment:
    parts = urlsplit(url)
    if parts.scheme not in _WEBSOCKET_SCHEMES or not parts.netloc:
        raise ConfigError(f"the address of a local exchange should be http://host:port, got {url!r}")
    path = parts.path.rstrip("/")
    sockets = urlunsplit((_WEBSOCKET_SCHEMES[parts.scheme], parts.netloc, path, "", ""))
    return Environment(
        name="local",
        venue=LOCAL_VENUE,
        rest=urlunsplit((parts.scheme, parts.netloc, path, "", "")),
        public=f"{sockets}/v5/public",
        private=f"{sockets}/v5/private",
        trade=f"{sockets}/v5/trade",
    )
