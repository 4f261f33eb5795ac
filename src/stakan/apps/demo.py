"""The live demo: a local exchange, a bot that trades on it over real sockets, and the console, each its own process."""

import json
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from stakan.apps.exchange.faults import profile_named
from stakan.apps.processes import START_S, Child, ChildFailed
from stakan.apps.projection import SOCKET_FILE

API_KEY = "stakan-key"
API_SECRET = "stakan-secret"  # noqa: S105 - of the local exchange, whose money is not real
OPERATOR = "operator"
_EAGER = (
    '{name = "imbalance", parameters = {buy_threshold = 0.6, sell_threshold = 0.4, clear_bps = 0.0, stop_bps = 8.0, '
    "take_profit_bps = 8.0, horizon_s = 20.0}}"
)
SETTINGS = (
    "engine.candle_interval=5s",
    "engine.cooldown=2s",
    "densities.min_notional=50000",
    f'strategies=[{_EAGER}, {{name = "density_breakout"}}, {{name = "density_bounce"}}]',
)
"""Where no file says otherwise: minutes must show entries, stops and exits, so it trades far more often than is wise."""

Say = Callable[[str], None]


class DemoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is started."""

    folder: Path
    """Logs, state and the run's record go into it."""
    symbols: int = 3
    seed: int = 7
    replay: tuple[Path, ...] = ()
    """Recorded data instead of the generator: a store folder or files; looped."""
    chaos: str | None = None
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    console_port: int = 8000
    """0 takes a free one."""
    with_console: bool = True


class Demo(msgspec.Struct, kw_only=True):
    """A running demo."""

    plan: DemoPlan
    exchange: Child
    bot: Child
    console: Child | None
    exchange_url: str
    console_url: str
    password: str
    start_bot: Callable[[], Child]

    @property
    def state(self) -> Path:
        """The bot's state folder."""
        return self.plan.folder / "state"

    def ended(self) -> Child | None:
        """A program of it that is not running any more."""
        children = (self.exchange, self.bot, self.console)
        return next((child for child in children if child is not None and child.code is not None), None)

    def restart_bot(self) -> None:
        """Start another bot on the state folder of the one that has ended; it may take a while until it trades."""
        (self.state / SOCKET_FILE).unlink(missing_ok=True)
        self.bot = self.start_bot()

    @property
    def is_trading(self) -> bool:
        """Whether the bot has come up."""
        return self.bot.code is None and (self.state / SOCKET_FILE).exists()

    def watch(self, until: float | None) -> None:
        """Wait for a time (`time.monotonic`), or for ever; raises ChildFailed where a program ends by itself."""
        while until is None or time.monotonic() < until:
            ended = self.ended()
            if ended is not None:
                raise ChildFailed(f"{ended.name} ended with {ended.code}, see {ended.log}:\n{ended.tail()}")
            time.sleep(0.2)


@contextmanager
def running(plan: DemoPlan, say: Say = lambda _: None) -> Iterator[Demo]:
    """Start the programs in order, and end them in the opposite one: the bot before the exchange that it trades on.

    Raises ChildFailed with the last lines of its log where one does not come up, ConfigError for an unknown profile.
    """
    if plan.chaos:
        profile_named(plan.chaos)
    plan.folder.mkdir(parents=True, exist_ok=True)
    state = plan.folder / "state"
    password = secrets.token_urlsafe(9)
    with ExitStack() as stack:
        say("starting the local exchange (the first time numeric kernels are compiled, about a minute)")
        exchange = stack.enter_context(Child("exchange", _exchange(plan), plan.folder))
        port = exchange.until(plan.folder / "exchange.json")["port"]
        url = f"http://127.0.0.1:{port}"
        console = None
        console_url = ""
        if plan.with_console:
            say("starting the console")
            words = ("console", "--state", str(state), "--port", str(plan.console_port))
            ready = plan.folder / "console.json"
            console = stack.enter_context(
                Child("console", (*words, "--ready-file", str(ready)), plan.folder, {"APP_PASSWORD": password})
            )
            console_url = console.until(ready)["url"]
        say("starting the bot")
        keys = {"BYBIT_API_KEY": API_KEY, "BYBIT_API_SECRET": API_SECRET}
        to_trade = _bot(plan, url, state, _symbols(url))

        def start_bot() -> Child:
            return stack.enter_context(Child("bot", to_trade, plan.folder, keys))

        bot = start_bot()
        _wait_for(state / SOCKET_FILE, bot)
        if plan.chaos:
            # Not before: pre-flight rightly refuses to start where, say, the exchange's clock is wrong.
            _change_weather(url, plan.chaos)
        demo = Demo(
            plan=plan,
            exchange=exchange,
            bot=bot,
            console=console,
            exchange_url=url,
            console_url=console_url,
            password=password,
            start_bot=start_bot,
        )
        yield demo
        # The bot first: it cancels its entries while there is still an exchange.
        demo.bot.stop()


def _exchange(plan: DemoPlan) -> list[str]:
    words = ["exchange", "--port", "0", "--ready-file", str(plan.folder / "exchange.json"), "--reply-delay", "0ms"]
    if plan.replay:
        for path in plan.replay:
            words += ["--data", str(path)]
        words += ["--loop"]
    else:
        words += ["--symbols", str(plan.symbols), "--seed", str(plan.seed)]
    return words


def _change_weather(url: str, profile: str) -> None:
    body = json.dumps({"profile": profile}).encode()
    asked = urllib.request.Request(f"{url}/local/v1/weather", data=body)  # noqa: S310 - our own
    with urllib.request.urlopen(asked, timeout=10):  # noqa: S310
        pass


def _symbols(url: str) -> list[str]:
    """What the exchange lists."""
    with urllib.request.urlopen(f"{url}/v5/market/instruments-info?category=linear", timeout=10) as reply:  # noqa: S310 - our own
        listed = json.load(reply)
    return [row["symbol"] for row in listed["result"]["list"]]


def _bot(plan: DemoPlan, url: str, state: Path, symbols: list[str]) -> list[str]:
    own = () if plan.config else SETTINGS
    local = (
        "venue.environment=local",
        f"venue.local_url={url}",
        f"trade.state={state}",
        f"instruments={json.dumps(symbols)}",
    )
    words: list[str] = ["trade", "--mode", "testnet"]
    if plan.config:
        words += ["--config", str(plan.config)]
    for override in (*own, *plan.overrides, *local):
        words += ["--set", override]
    return words


def _wait_for(socket: Path, bot: Child) -> None:
    deadline = time.monotonic() + START_S
    while not socket.exists():
        if bot.code is not None or time.monotonic() > deadline:
            raise ChildFailed(f"the bot did not come up ({bot.code}):\n{bot.tail()}")
        time.sleep(0.05)
