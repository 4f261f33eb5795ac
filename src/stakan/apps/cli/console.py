"""`stakan console`: API and browser console of a bot that runs on the same state folder."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stakan.apps.cli.output import errors, out, reports_errors
from stakan.apps.config import load_settings
from stakan.apps.logs import Logs, plan_of
from stakan.apps.secrets import secrets_to_hide


@reports_errors
def console_command(
    *,
    state: Annotated[
        Path | None, typer.Option("--state", help="The bot's state folder; trade.state by default.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Written as JSON with the `url` once it listens, for scripts.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. console.session=1h")] = None,
) -> None:
    """Serve the browser console and the API of a bot.

    The first start makes the user `operator` with a random password, which is printed once; APP_PASSWORD sets it
    instead. The console finds the bot by its state folder, waits for it, and finds it again after a restart.
    """
    # NiceGUI takes long to import: only this command pays for it.
    from stakan.apps.api.app import build_api  # noqa: PLC0415
    from stakan.apps.api.private_files import write_private  # noqa: PLC0415
    from stakan.apps.api.users import FIRST_USER, Users  # noqa: PLC0415
    from stakan.apps.console.page import install_console  # noqa: PLC0415
    from stakan.apps.console.serve import build_context, serve  # noqa: PLC0415

    settings = load_settings(config, override or ())
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    section = settings.console.model_copy(update=given)
    folder = state or settings.trade.state
    users = Users(folder)
    password = users.ensure_operator(os.environ.get("APP_PASSWORD") or None)
    context = build_context(section, folder, users)
    app = build_api(context)
    install_console(app, context)

    def ready(url: str) -> None:
        if ready_file is not None:
            write_private(ready_file, msgspec.json.encode({"url": url}))
        out().print(f"[bold]stakan console[/]  {url}", soft_wrap=True)
        if password is not None:
            out().print(f"First login    [bold]{FIRST_USER}[/]  {password}", soft_wrap=True, highlight=False)
            out().print("               this password is shown only now", style="dim")

    with Logs(plan_of(settings.logs, "console", folder), secrets_to_hide()):
        serve(app, section, ready)
    errors().print("console stopped", style="dim")
