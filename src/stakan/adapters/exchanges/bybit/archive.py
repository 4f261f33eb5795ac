"""Fetches Bybit's public history: archive files by day, candles and instrument rules by REST."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile

import aiohttp
import msgspec

from stakan.core.domain.errors import DataError, StorageError, VenueUnavailable
from stakan.core.domain.events import Candle
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.units import MILLISECOND, Nanos

T = TypeVar("T")

CANDLES_PER_PAGE = 1000
TEMPORARY = ".tmp"
_BLOCK = 1 << 18
_PLAIN = {"Accept-Encoding": "identity"}
"""Archive files are compressed already; a server that says so in a header must not make the client unpack them."""
_SERVER_ERROR = 500
_NOT_FOUND = 404
_TOO_MANY = 429
_FIRST_OB200 = date(2025, 8, 21)
"""Books of linear contracts are 500 levels deep before and 200 from about here on; the other one is tried too."""


class ArchiveKind(StrEnum):
    """What the archive has by day."""

    TRADES = "trades"
    BOOKS = "books"


class Hosts(msgspec.Struct, frozen=True):
    """Where Bybit's public history is."""

    trades: str = "https://public.bybit.com"
    books: str = "https://quote-saver.bycsi.com"
    rest: str = "https://api.bybit.com"


class Retries(msgspec.Struct, frozen=True):
    """How stubborn to be on time-outs and server errors: waits first, 2 · first, 4 · first and so on."""

    attempts: int = 5
    first_wait_s: float = 0.5
    timeout_s: float = 30.0


class _KlineResult(msgspec.Struct):
    rows: list[tuple[str, str, str, str, str, str, str]] = msgspec.field(name="list")


class _KlineReply(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")


_decode_reply = msgspec.json.Decoder(_KlineReply).decode
_decode_klines = msgspec.json.Decoder(_KlineResult).decode


class PublicHistory:
    """A session with the archive. Raises VenueUnavailable naming the host when it cannot be reached."""

    def __init__(self, session: aiohttp.ClientSession, hosts: Hosts, retries: Retries) -> None:
        self._session = session
        self._hosts = hosts
        self._retries = retries

    async def fetch_day(
        self,
        kind: ArchiveKind,
        symbol: str,
        category: Category,
        day: date,
        folder: Path,
        progress: Callable[[int], None],
    ) -> Path | None:
        """One file of the archive, in `folder`; None where the archive has none for the day (404).

        A file that is there already is kept. One appears under its name only when it is whole: a file that cannot be
        decompressed to its end is fetched again, and DataError is raised when it stays so.
        """
        addresses = self._addresses(kind, symbol, category, day)
        for address in addresses:
            present = folder / _name_of(address)
            if present.is_file():
                return present
        for address in addresses:
            path = folder / _name_of(address)
            if await self._retry(address, partial(self._download, address, path, progress)):
                return path
        return None

    async def candles(
        self, instrument: Instrument, interval: str, interval_ns: int, start: int, stop: int, now: int
    ) -> list[Candle]:
        """Closed candles that open in [start, stop), oldest first.

        Pages run backwards because the exchange answers newest first. The bar that is open at `now` is dropped.
        Raises DataError where a bar in the middle is missing or comes twice.
        """
        step = interval_ns // MILLISECOND
        first = -(-start // interval_ns) * step
        last = (min(stop, now) - 1) // interval_ns * step
        found: dict[int, Candle] = {}
        while first <= last:
            page = await self._kline_page(instrument, interval, first, last)
            rows = [row for row in page if first <= int(row[0]) <= last]
            if not rows:
                break
            for row in rows:
                found[int(row[0])] = _candle(instrument, interval_ns, row)
            last = min(int(row[0]) for row in rows) - step
        ordered = [found[key] for key in sorted(found)]
        closed = [candle for candle in ordered if candle.ts_event <= now]
        for before, after in pairwise(closed):
            if after.open_ts != before.open_ts + interval_ns:
                raise DataError(
                    f"{instrument.id}: candles are missing between {before.open_ts} and {after.open_ts} (ns): "
                    "the exchange has a hole there; download the stretches before and after it"
                )
        return closed

    async def instruments_page(self, category: Category, symbol: str) -> bytes:
        """The exchange's reply about one symbol."""
        address = f"{self._hosts.rest}/v5/market/instruments-info"
        return await self._get(address, {"category": category.value, "symbol": symbol})

    # --- requests ---------------------------------------------------------------------------------------------------

    def _addresses(self, kind: ArchiveKind, symbol: str, category: Category, day: date) -> list[str]:
        if kind is ArchiveKind.TRADES:
            folder = "trading" if category is Category.LINEAR else "spot"
            name = f"{symbol}{day}.csv.gz" if category is Category.LINEAR else f"{symbol}_{day}.csv.gz"
            return [f"{self._hosts.trades}/{folder}/{symbol}/{name}"]
        depths = (200, 500) if day >= _FIRST_OB200 or category is Category.SPOT else (500, 200)
        base = f"{self._hosts.books}/orderbook/{category.value}/{symbol}"
        return [f"{base}/{day}_{symbol}_ob{depth}.data.zip" for depth in depths]

    async def _kline_page(
        self, instrument: Instrument, interval: str, first: int, last: int
    ) -> list[tuple[str, str, str, str, str, str, str]]:
        query = {
            "category": instrument.category.value,
            "symbol": instrument.id.rsplit(":", 1)[1],
            "interval": interval,
            "start": str(first),
            "end": str(last),
            "limit": str(CANDLES_PER_PAGE),
        }
        body = await self._get(f"{self._hosts.rest}/v5/market/kline", query)
        try:
            reply = _decode_reply(body)
            if reply.ret_code != 0:
                raise DataError(f"{instrument.id}: the exchange refused the candles: {reply.ret_code} {reply.ret_msg}")
            return _decode_klines(reply.result).rows
        except msgspec.MsgspecError as error:
            raise DataError(f"{instrument.id}: the reply with candles is not what it should be: {error}") from error

    async def _get(self, address: str, query: dict[str, str]) -> bytes:
        async def once() -> bytes:
            async with self._response(address, query) as response:
                return await response.read()

        return await self._retry(address, once)

    async def _download(self, address: str, path: Path, progress: Callable[[int], None]) -> bool:
        temporary = path.with_name(f".{path.name}{TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            async with self._response(address, {}) as response:
                if response.status == _NOT_FOUND:
                    return False
                with temporary.open("wb") as file:
                    async for block in response.content.iter_chunked(_BLOCK):
                        file.write(block)
                        progress(len(block))
            verify_whole(temporary, address)
            temporary.replace(path)
        except OSError as error:
            if isinstance(error, aiohttp.ClientError | TimeoutError):
                raise
            raise StorageError(f"{path}: cannot write: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    @asynccontextmanager
    async def _response(self, address: str, query: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._retries.timeout_s, sock_read=self._retries.timeout_s
        )
        async with self._session.get(address, params=query, timeout=timeout, headers=_PLAIN) as response:
            if response.status >= _SERVER_ERROR or response.status == _TOO_MANY:
                raise VenueUnavailable(f"{address}: answered {response.status} {response.reason}")
            if response.status >= 400 and response.status != _NOT_FOUND:
                raise DataError(f"{address}: answered {response.status} {response.reason}")
            yield response

    async def _retry(self, address: str, once: Callable[[], Awaitable[T]]) -> T:
        why: Exception | None = None
        for attempt in range(self._retries.attempts):
            if attempt:
                await asyncio.sleep(self._retries.first_wait_s * 2 ** (attempt - 1))
            try:
                return await once()
            except (aiohttp.ClientError, TimeoutError, VenueUnavailable, _Incomplete) as error:
                why = error
        if isinstance(why, _Incomplete):
            raise DataError(f"{address}: arrived damaged {self._retries.attempts} times: {why}") from why
        host = urlsplit(address).netloc
        raise VenueUnavailable(
            f"{host} cannot be reached ({str(why) or type(why).__name__}): check the network, or name another host with "
            "--base-url; files that are here already are kept, so the command can simply be repeated"
        ) from why


class _Incomplete(Exception):
    """A file arrived that ends too early."""


def verify_whole(path: Path, address: str) -> None:
    """Read a compressed file to its end; raises `_Incomplete` where it is cut off or damaged."""
    try:
        if address.endswith(".zip"):
            with ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise _Incomplete(f"{damaged} in it is damaged")
            return
        inflate = zlib.decompressobj(wbits=31)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                while block:
                    inflate.decompress(block)
                    block = inflate.unused_data
                    if inflate.eof and block:
                        inflate = zlib.decompressobj(wbits=31)
        if not inflate.eof:
            raise _Incomplete("it ends in the middle")
    except (BadZipFile, zlib.error) as error:
        raise _Incomplete(str(error)) from error


def days(first: date, last: date) -> list[date]:
    """All days from first to last, both included."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def _name_of(address: str) -> str:
    return address.rsplit("/", 1)[1]


def _candle(instrument: Instrument, interval_ns: int, row: tuple[str, str, str, str, str, str, str]) -> Candle:
    opened = int(row[0]) * MILLISECOND
    open_, high, low, close = (instrument.ticks(Decimal(text)) for text in row[1:5])
    return Candle(
        instrument=instrument.id,
        ts_event=opened + interval_ns,
        ts_recv=opened + interval_ns,
        interval_ns=Nanos(interval_ns),
        open_ts=Nanos(opened),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=instrument.lots(Decimal(row[5])),
        turnover=Decimal(row[6]),
    )
