"""The console's main page: NiceGUI makes the page, its buttons and its questions; our own scripts show what moves.

The scripts read `/ws` and `/ws/book/{symbol}` like any other client, so a viewer costs this process one JSON document
per change and one small binary frame per update, and a browser that loses either knows it by itself.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from nicegui import events, ui
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

from stakan.apps.api.access import CONSOLE, Context, Identity, identify
from stakan.apps.api.asking import KeyReused
from stakan.apps.api.users import Role
from stakan.apps.projection import Answer
from stakan.core.domain.errors import StakanError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.trading import TradingState

_STATIC = Path(__file__).parent / "static"
_URL = f"{CONSOLE}/static"
_HALT_WORD = "HALT"
_HEAD = f"""
<script src="{_URL}/theme.js"></script>
<link rel="stylesheet" href="{_URL}/base.css"><link rel="stylesheet" href="{_URL}/console.css">
<script type="module" src="{_URL}/main.js"></script>
"""
_ICONS = {
    "theme": '<path d="M8 1.5a6.5 6.5 0 1 0 0 13z" fill="currentColor"/><circle cx="8" cy="8" r="6.2" fill="none" '
    'stroke="currentColor" stroke-width="1.4"/>',
    "palette": '<circle cx="5.6" cy="8" r="4.1" fill="none" stroke="currentColor" stroke-width="1.4"/>'
    '<circle cx="10.4" cy="8" r="4.1" fill="none" stroke="currentColor" stroke-width="1.4"/>',
    "help": '<path d="M5.6 6.2a2.4 2.4 0 1 1 3.4 2.2c-.7.3-1 .7-1 1.5M8 12.6v.1" fill="none" stroke="currentColor" '
    'stroke-width="1.6" stroke-linecap="round"/>',
    "account": '<circle cx="8" cy="5.4" r="2.9" fill="none" stroke="currentColor" stroke-width="1.4"/>'
    '<path d="M2.4 14c.6-3 2.8-4.4 5.6-4.4s5 1.4 5.6 4.4" fill="none" stroke="currentColor" stroke-width="1.4"/>',
}
_TITLES = {
    "theme": "Dark or light (T)",
    "palette": "Colours that everybody can tell apart (C)",
    "help": "Keys (?)",
    "account": "Account",
}


def install_console(app: FastAPI, context: Context) -> None:
    """Put the console under `/console` of an application; once per process, NiceGUI knows one application only."""
    app.mount(_URL, StaticFiles(directory=_STATIC), name="console-static")
    live = (_STATIC / "live.html").read_text()

    @ui.page("/", title="stakan")
    def main_page(request: Request) -> None:
        identity = identify(request, context)
        ui.add_head_html(_HEAD)
        Desk(context, identity).build()
        ui.html(live, sanitize=False)

    ui.run_with(
        app,
        mount_path=CONSOLE,
        title="stakan",
        favicon=_STATIC / "icon.svg",
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )


class Desk:
    """The bar with what an operator can do, for one open page."""

    def __init__(self, context: Context, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._is_operator = identity.user.role is Role.OPERATOR

    def build(self) -> None:
        """The bar and the dialogs behind it."""
        with ui.element("header").classes("bar"):
            ui.html(f'<img src="{_URL}/icon.svg" alt=""><span>stakan</span>', sanitize=False).classes("brand")
            ui.html(
                '<span class="chip" id="mode">…</span> <span class="chip" id="synthetic">synthetic'
                '<span class="long">market</span></span> <span class="chip" id="link" role="status">'
                '<span id="link-text">…</span></span>',
                sanitize=False,
            ).style("display: flex; gap: 7px")
            ui.element("span").classes("grow")
            if self._is_operator:
                self._actions()
            else:
                ui.html('<span class="chip">viewer</span>', sanitize=False)
            ui.html("".join(_icon(name) for name in _ICONS), sanitize=False).style("display: flex; gap: 5px")

    def _actions(self) -> None:
        with ui.element("div").classes("acts"):
            _button("Pause", self._pause, "on-running on-active", "Open nothing new (P)")
            _button("Resume", self._resume, "on-paused on-active", "Open entries again (P)")
            _button("Flatten all", self._ask_flatten, "danger", "Close every position (F)")
            _button("Halt", self._ask_halt, "danger on-active", "Flatten all and stay out (H)")
            _button("Release", self._ask_release, "on-halted", "End the halt (H)")
        ui.on("flatten_one", self._flatten_one)
        ui.on("key_pause", self._toggle_pause)
        ui.on("key_flatten", self._ask_flatten)
        ui.on("key_halt", self._toggle_halt)

    # --- what is asked ----------------------------------------------------------------------------------------------

    async def _pause(self) -> None:
        await self._do("Entries are paused", self._context.asking.pause)

    async def _resume(self) -> None:
        await self._do("Entries are open again", self._context.asking.resume)

    async def _toggle_pause(self) -> None:
        now = self._context.link.model.status
        await (self._resume() if now is not None and now.paused else self._pause())

    def _toggle_halt(self) -> None:
        now = self._context.link.model.status
        is_halted = now is not None and now.trading is TradingState.HALTED
        (self._ask_release if is_halted else self._ask_halt)()

    def _ask_flatten(self) -> None:
        count = len(self._context.link.model.positions)
        held = "1 position is" if count == 1 else f"{count} positions are" if count else "No position is"
        _confirm(
            "Flatten all?",
            f"{held} open. Entries are cancelled and positions closed at the market. New entries stay possible.",
            "Flatten all",
            lambda: self._do("Flatten all is asked for", lambda user: self._context.asking.flatten(user, None)),
        )

    def _flatten_one(self, event: events.GenericEventArguments) -> None:
        instrument = InstrumentId(str(event.args["instrument"]))
        symbol = str(event.args["symbol"])
        if instrument not in self._context.link.model.instruments:
            return
        _confirm(
            f"Flatten {symbol}?",
            f"The position in {symbol} is closed at the market and its entries are cancelled.",
            f"Flatten {symbol}",
            lambda: self._do(
                f"Flatten {symbol} is asked for", lambda user: self._context.asking.flatten(user, instrument)
            ),
        )

    def _ask_halt(self) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("ask"):
            _text("Halt trading?", "Everything is flattened and nothing opens until an operator releases the halt.")
            why = ui.input("Why", value="operator").props("outlined dense maxlength=200").classes("w-full")
            typed = ui.input(f"Type {_HALT_WORD} to confirm").props("outlined dense autofocus").classes("w-full")

            async def halt() -> None:
                if typed.value.strip().upper() != _HALT_WORD:
                    return
                dialog.close()
                reason = why.value.strip() or "operator"
                await self._do("The halt is asked for", lambda user: self._context.asking.halt(user, reason))

            with ui.element("div").classes("buttons"):
                _button("Cancel", dialog.close)
                button = _button("Halt", halt, "danger solid")
            button.set_enabled(False)
            typed.on_value_change(lambda: button.set_enabled(typed.value.strip().upper() == _HALT_WORD))
            typed.on("keydown.enter", halt)
        dialog.on("hide", dialog.delete)

    def _ask_release(self) -> None:
        now = self._context.link.model.status
        why = now.halted_for.replace("_", " ") if now is not None and now.halted_for else "an operator"
        _confirm(
            "Release the halt?",
            f"Trading was halted for: {why}. Strategies may open positions again.",
            "Release",
            lambda: self._do("The halt is released", self._context.asking.release),
        )

    async def _do(self, done: str, ask: Callable[[str], Awaitable[Answer]]) -> None:
        """Ask the bot, if the session that opened the page still may, and say what came of it."""
        user = self._context.users.get(self._identity.user.name)
        is_alive = self._context.sessions.is_alive(self._identity.session)
        if user is None or user.role is not Role.OPERATOR or not is_alive:
            ui.notify("This session may not do that: log in again", type="negative", position="top")
            return
        try:
            answer = await ask(user.name)
        except (StakanError, KeyReused) as error:
            ui.notify(f"Not done: {error}", type="negative", position="top", timeout=8000)
            return
        if answer.is_accepted:
            ui.notify(done, type="positive", position="top")
        else:
            ui.notify(f"The bot refused: {answer.why}", type="warning", position="top", timeout=8000)


def _confirm(title: str, text: str, action: str, do: Callable[[], Awaitable[None]]) -> None:
    with ui.dialog(value=True) as dialog, ui.card().classes("ask"):
        _text(title, text)

        async def go() -> None:
            dialog.close()
            await do()

        with ui.element("div").classes("buttons"):
            _button("Cancel", dialog.close).props("autofocus")
            _button(action, go, "danger solid")
    dialog.on("hide", dialog.delete)


def _text(title: str, text: str) -> None:
    with ui.element("h3"):
        ui.label(title)
    with ui.element("p"):
        ui.label(text)


def _button(text: str, on_click: Callable[..., object], classes: str = "", title: str = "") -> ui.button:
    button = ui.button(text, on_click=on_click, color=None).props("unelevated no-caps :ripple=false").classes(classes)
    return button.props(f'title="{title}"') if title else button


def _icon(name: str) -> str:
    title = _TITLES[name]
    picture = f'<svg viewBox="0 0 16 16" aria-hidden="true">{_ICONS[name]}</svg>'
    hidden = ' hide-small"' if name == "help" else '"'
    return f'<button class="icon{hidden} data-do="{name}" aria-label="{title}" title="{title}">{picture}</button>'
