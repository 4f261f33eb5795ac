"""Commands whose modules are imported when they are called, or asked for their own help."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command


class Command(NamedTuple):
    """A command, or a group of them, that is not loaded yet."""

    where: str
    """`module:name` of its function, or of the group's `Typer`; the module is one of this package."""
    help: str
    """What the list of commands says: the first paragraph of its own help."""


class LazyGroup(TyperGroup):
    """Lists what its table says, and loads the one command that is called."""

    table: ClassVar[Mapping[str, Command]]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As ever, with the command itself in the place of what stands for it."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, stand_in if name is None else loaded(name, self.table[name]), rest


def loaded(name: str, command: Command) -> Any:
    """Import a command; returns what runs it."""
    module, _, attribute = command.where.partition(":")
    found = getattr(import_module(f"{__package__}.{module}"), attribute)
    holder = typer.Typer(callback=nothing)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return cast("TyperGroup", get_command(holder)).commands[name]


def nothing() -> None:
    """Stands where a command is not loaded yet, and before one that is."""
