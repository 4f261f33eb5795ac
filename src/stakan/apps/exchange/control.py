"""The exchange's own requests under `/local/v1/`: what it is, and disasters on demand. For this machine only.

| request | does |
| --- | --- |
| GET status | market, seed, weather, counts of faults, requests, frames, connections |
| GET audit | stretches in which a position had no stop |
| GET profiles | chaos profiles: what each does, and how often |
| POST weather `{"profile": "storm"}` | another chaos profile; null is fair weather |
| POST script `{"operation": "order/create", "trouble": "lost answer", "count": 1}` | what the next requests meet |
| POST fault `{"topic": "orderbook.50.BTCUSDT", "kind": "gap"}` | gap, restart, cross, repeat or stale on an open book |
| POST cut `{"stream": "trade"}` | cut connections of a kind, or all |
| POST hold `{"market": true}` | the market stands still until it is let go; then it catches up |
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from stakan.apps.exchange.faults import PROFILES, Stream, Trouble, profile_named
from stakan.apps.exchange.gateway import Request, Response
from stakan.apps.exchange.local import LocalExchange
from stakan.core.domain.errors import ConfigError

PREFIX = "/local/v1/"
_LOOPBACK = frozenset(("127.0.0.1", "::1"))
_encode = msgspec.json.Encoder().encode


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the market is; fixed."""

    market: str
    """For people."""
    is_synthetic: bool
    seed: int
    symbols: tuple[str, ...]
    started_ms: int


class _Weather(msgspec.Struct, forbid_unknown_fields=True):
    profile: str | None = None


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    operation: str
    trouble: Trouble
    count: int = 1


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    kind: Literal["gap", "restart", "cross", "repeat", "stale"]


class _Cut(msgspec.Struct, forbid_unknown_fields=True):
    stream: Stream | None = None


class _Hold(msgspec.Struct, forbid_unknown_fields=True):
    market: bool


class Control:
    """Answers the exchange's own requests."""

    def __init__(self, local: LocalExchange, about: About, weather: str | None = None) -> None:
        self.about = about
        self._local = local
        self._weather_name = weather
        self._routes: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "status"): self._status,
            ("GET", "audit"): lambda _: self._local.audit(),
            ("GET", "profiles"): lambda _: PROFILES,
            ("POST", "weather"): self._weather,
            ("POST", "script"): self._script,
            ("POST", "fault"): self._fault,
            ("POST", "cut"): self._cut,
            ("POST", "hold"): self._hold,
        }

    def answers(self, path: str) -> bool:
        """Whether a path is one of the exchange's own."""
        return path.startswith(PREFIX)

    def handle(self, request: Request) -> Response:
        """Answer; 403 for other machines, 404 for an unknown request, 400 for a body that is not understood."""
        if request.address not in _LOOPBACK:
            return Response(status=403, body=b"for this machine only")
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX)))
        if route is None:
            return Response(status=404, body=b"no such request")
        try:
            return Response(body=_encode(route(request.body)))
        except (msgspec.MsgspecError, ConfigError) as error:
            return Response(status=400, body=str(error).encode())

    def status(self) -> dict[str, Any]:
        """What it is and what happened so far."""
        local = self._local
        return {
            **msgspec.structs.asdict(self.about),
            "now_ms": local.pump() // 1_000_000,
            "weather": self._weather_name,
            "faults": dict(sorted(local.chaos.counts.items())),
            "requests": local.gateway.requests,
            "frames": local.exchange.frames_out,
            "connections": len(local.exchange.open),
            "rows_pushed": dict(sorted(local.pushed.items())),
            "exposed": len(local.audit()),
            "blackouts": local.chaos.blackouts,
        }

    def _status(self, _body: bytes) -> dict[str, Any]:
        return self.status()

    def _weather(self, body: bytes) -> dict[str, Any]:
        asked = msgspec.json.decode(body, type=_Weather)
        self._local.chaos.set(None if asked.profile is None else profile_named(asked.profile))
        self._weather_name = asked.profile
        return {"weather": asked.profile}

    def _script(self, body: bytes) -> dict[str, Any]:
        asked = msgspec.json.decode(body, type=_Script)
        self._local.chaos.script(asked.operation, asked.trouble, asked.count)
        return {"scripted": asked.count}

    def _fault(self, body: bytes) -> dict[str, Any]:
        asked = msgspec.json.decode(body, type=_Fault)
        board = self._local.board
        faults = {
            "gap": board.skip,
            "restart": board.restart,
            "cross": board.cross,
            "repeat": board.repeat,
            "stale": board.go_back,
        }
        return {"done": faults[asked.kind](asked.topic)}

    def _cut(self, body: bytes) -> dict[str, Any]:
        asked = msgspec.json.decode(body or b"{}", type=_Cut)
        return {"cut": self._local.cut(asked.stream)}

    def _hold(self, body: bytes) -> dict[str, Any]:
        self._local.is_held = msgspec.json.decode(body, type=_Hold).market
        return {"held": self._local.is_held}
