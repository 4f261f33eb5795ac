"""`stakan strategies`: which there are, and their parameters."""

from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stakan.apps.cli.output import out, reports_errors, write_json
from stakan.apps.wiring import STRATEGIES
from stakan.core.plugins import Strategy, load, names


class StrategyView(msgspec.Struct, frozen=True):
    """One strategy for `--json`."""

    name: str
    idea: str
    parameters: dict[str, object]


@reports_errors
def strategies_command(*, as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """Strategies that come with stakan, with their parameters and defaults."""
    found = []
    for name in names(STRATEGIES):
        spec = load(STRATEGIES, Strategy, name, {})
        parameters = {field: getattr(spec, field) for field in spec.__struct_fields__}
        found.append(StrategyView(name, (type(spec).__doc__ or "").strip(), parameters))
    if as_json:
        write_json(found)
        return
    table = Table("strategy", "idea", "parameters", box=SIMPLE_HEAD)
    for view in found:
        table.add_row(view.name, view.idea, "\n".join(f"{key} = {value}" for key, value in view.parameters.items()))
    out().print(table)
