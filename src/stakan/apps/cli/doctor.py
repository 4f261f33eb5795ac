"""`stakan doctor`: one readable report on configuration, machine, connection and account."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from stakan.adapters.exchanges.bybit.preflight import Check, Verdict, is_fit
from stakan.apps.cli.output import EXIT_FAILED, out, reports_errors, write_json
from stakan.apps.config import load_settings
from stakan.apps.doctor import examine
from stakan.apps.secrets import ENV_FILE

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


@reports_errors
def doctor_command(
    *,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. venue.environment=testnet")] = None,
    env_file: Annotated[
        Path, typer.Option("--env-file", help="File with BYBIT_API_KEY and BYBIT_API_SECRET.")
    ] = ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="The checks as JSON on stdout.")] = False,
) -> None:
    """Check configuration, state folder, clock, connection and, where keys are set, the account; changes nothing.

    Exit code 1 where something failed, 2 where the configuration cannot work.
    """
    settings = load_settings(config, override or ())
    checks = [
        Check("configuration", Verdict.OK, f"{config or 'defaults and environment'}"),
        *asyncio.run(examine(settings, env_file)),
    ]
    fit = is_fit(checks)
    if as_json:
        write_json({"fit": fit, "checks": checks})
    else:
        _show(checks, fit=fit)
    if not fit:
        raise typer.Exit(EXIT_FAILED)


def _show(checks: Sequence[Check], *, fit: bool) -> None:
    table = Table("", "check", "finding", "what to do", box=None, pad_edge=False)
    for check in checks:
        style = _STYLES[check.verdict]
        table.add_row(f"[{style}]{check.verdict}[/]", check.name, escape(check.finding), escape(check.mend))
    console = out()
    console.print(table)
    failed = sum(check.verdict is Verdict.FAIL for check in checks)
    warned = sum(check.verdict is Verdict.WARN for check in checks)
    verdict = "[green]fit for trading[/]" if fit else "[bold red]not fit for trading[/]"
    console.print(f"\n{verdict}: {failed} failed, {warned} to look at, {len(checks)} checks")
