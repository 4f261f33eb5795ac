"""`stakan strategies` and `stakan detectors`: which there are, and their parameters."""

from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stakan.apps.cli.output import out, reports_errors, write_json
from stakan.apps.wiring import DETECTORS, STRATEGIES
from stakan.core.plugins import Detector, Plugin, Strategy, load, names

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


class PluginView(msgspec.Struct, frozen=True):
    """One plugin for `--json`."""

    name: str
    idea: str
    parameters: dict[str, object]


@reports_errors
def strategies_command(*, as_json: _Json = False) -> None:
    """Strategies that come with stakan, with their parameters and defaults."""
    _list("strategy", STRATEGIES, Strategy, as_json=as_json)


@reports_errors
def detectors_command(*, as_json: _Json = False) -> None:
    """Detectors that come with stakan, with their parameters and defaults."""
    _list("detector", DETECTORS, Detector, as_json=as_json)


def _list(what: str, package: str, kind: type[Plugin], *, as_json: bool) -> None:
    found = []
    for name in names(package):
        spec = load(package, kind, name, {})
        parameters = {field: getattr(spec, field) for field in spec.__struct_fields__}
        found.append(PluginView(name, (type(spec).__doc__ or "").strip(), parameters))
    if as_json:
        write_json(found)
        return
    table = Table(what, "idea", "parameters", box=SIMPLE_HEAD)
    for view in found:
        table.add_row(view.name, view.idea, "\n".join(f"{key} = {value}" for key, value in view.parameters.items()))
    out().print(table)
