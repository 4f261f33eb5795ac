"""`stakan config`: show what is in force, check a file, print an example."""

from pathlib import Path
from typing import Annotated

import typer

from stakan.apps.cli.output import out, reports_errors, write_json
from stakan.apps.config import load_settings, settings_from, to_toml
from stakan.apps.example import example
from stakan.apps.tracing import require_tracing
from stakan.apps.wiring import engine_config, own_densities, simulation_config
from stakan.core.domain.ids import InstrumentId

config_app = typer.Typer(help="Show, check and make configuration files.", no_args_is_help=True)

File = Annotated[Path | None, typer.Argument(help="TOML file; without one the defaults and the environment.")]


@config_app.command("show")
@reports_errors
def show_command(file: File = None, *, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What is in force: defaults, file and environment together."""
    settings = load_settings(file)
    if as_json:
        write_json(settings.model_dump(mode="json"))
    else:
        out().print(to_toml(settings), markup=False, highlight=False, soft_wrap=True)


@config_app.command("check")
@reports_errors
def check_command(file: File = None) -> None:
    """Whether it can work, plugins and their parameters included; exit code 2 where it cannot."""
    settings = load_settings(file)
    # Which instruments there are, only a run knows: here each name stands for itself.
    engine_config(settings, "check", [InstrumentId(name) for name in own_densities(settings)])
    simulation_config(settings)
    if settings.tracing.endpoint:
        require_tracing()
    out().print(f"[green]{file or 'the configuration'} is sound[/]")


@config_app.command("example")
@reports_errors
def example_command() -> None:
    """A commented file with every key at its default, made from the settings themselves."""
    out().print(example(settings_from({})), markup=False, highlight=False, soft_wrap=True)
