"""`stakan findings`: what detectors found, and what a trader says of it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stakan.adapters.sql import owned, pattern_store
from stakan.adapters.sql.database import Database
from stakan.adapters.sql.pattern_store import FindingLine, Wanted
from stakan.apps.cli import db_tables as tables
from stakan.apps.cli.db import From, Limit, To, asked, done_by, say, show, span_of
from stakan.apps.cli.output import out, reports_errors, write_json
from stakan.apps.cli.project import AsJson, ConfigFile, Overrides, StateOption, settings_for
from stakan.core.domain.errors import ConfigError, StorageError
from stakan.core.domain.findings import Label, Pattern

findings_app = typer.Typer(
    help="What detectors found: list, show, say what was real, make a library of it.", no_args_is_help=True
)

FindingId = Annotated[str, typer.Argument(help="A finding, as `findings list` shows it: RUN#STEP.ROW.")]


@findings_app.command("list")
@reports_errors
def list_command(  # noqa: PLR0913 - one argument per option
    *,
    instrument: Annotated[str | None, typer.Option("--instrument", "-i", help="Only of this one, by its id.")] = None,
    pattern: Annotated[Pattern | None, typer.Option("--pattern", help="Only of this shape.")] = None,
    label: Annotated[Label | None, typer.Option("--label", help="Only those that were labelled so.")] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Only those that nobody labelled.")] = False,
    limit: Limit = 50,
    start: From = None,
    stop: To = None,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """What detectors found, the newest first. Activity shaped like a manipulation: never a proof of one."""
    if label is not None and unlabelled:
        raise ConfigError("--label and --unlabelled: give one or the other")
    wanted = Wanted(
        span=span_of(start, stop), instrument=instrument, pattern=pattern, label=label, only_unlabelled=unlabelled
    )
    found = asked(settings_for(state, config, override), lambda database: pattern_store.found(database, wanted, limit))
    show(found, tables.findings_table, as_json=as_json)


@findings_app.command("show")
@reports_errors
def show_command(
    finding: FindingId,
    *,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """The episode of a finding: evidence, the market around it, what price did afterwards, labels."""
    settings = settings_for(state, config, override)
    found: list[FindingLine] = asked(settings, lambda database: pattern_store.episode(database, finding))
    if as_json:
        write_json(found)
        return
    for line in found:
        out().print(tables.finding_table(line))


@findings_app.command("label")
@reports_errors
def label_command(
    finding: FindingId,
    label: Annotated[Label, typer.Argument(help="What it was.")],
    *,
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
) -> None:
    """Say what a finding was, in place of what was said before; it counts for its whole episode."""

    async def work(database: Database) -> owned.Judged:
        read = await owned.label_of(database, finding)
        return await owned.save_label(database, read, label, done_by())

    saved = asked(settings_for(state, config, override), work)
    say(f"labelled {saved.label}, version {saved.version}")


@findings_app.command("library")
@reports_errors
def library_command(
    *,
    file: Annotated[Path | None, typer.Option("--out", help="Write it there instead of to stdout.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Made of so many findings, the newest.")] = (
        pattern_store.LIBRARY_LIMIT
    ),
    state: StateOption = None,
    config: ConfigFile = None,
    override: Overrides = None,
) -> None:
    """The library of known patterns, as JSON: labelled episodes, and those that their detectors confirmed."""
    library = asked(settings_for(state, config, override), lambda database: pattern_store.library(database, limit))
    if file is None:
        write_json(library)
        return
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(library, order="deterministic"), indent=2) + b"\n")
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from error
    say(f"{len(library.known)} known findings in {file}")
