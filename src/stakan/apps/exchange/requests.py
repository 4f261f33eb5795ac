"""Public REST requests: `/v5/market/*`."""

from collections.abc import Mapping

from stakan.apps.exchange.board import Board


class MarketRequests:
    """Answers in Bybit's field names, ready to encode as `result` of the envelope."""

    def __init__(self, board: Board) -> None:
        raise NotImplementedError

    def answer(self, path: str, query: Mapping[str, str], now: int) -> object:
        """The `result` of a GET, e.g. of `/v5/market/tickers`.

        Raises Refused with the protocol's code; KeyError where the path is not one of `paths`.
        """
        raise NotImplementedError

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that it answers."""
        raise NotImplementedError
