"""`stakan findings`, run as a trader runs it."""

import asyncio
import json

import pytest
import typer
from tests.adapters.sql.found_runs import a_finding, a_run_with, found, settled
from tests.adapters.sql.journals import ListTail
from tests.apps.projected import RUN
from typer.testing import CliRunner

from stakan.adapters.sql import schema
from stakan.adapters.sql.database import Database, sqlite_url
from stakan.adapters.sql.projector import Projector
from stakan.apps.cli.findings import findings_app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_STORAGE
from stakan.apps.database import SQLITE_FILE
from stakan.core.domain.patterns import PatternLibrary


@pytest.fixture
def state(tmp_path):
    """A state folder whose database holds two findings."""
    first = a_finding(1)
    steps = ((found(first),), (settled(first, 1.0, -2.5, None),), (found(a_finding(2), None),))

    async def make():
        database = Database(sqlite_url(tmp_path / SQLITE_FILE))
        await schema.upgrade(database)
        await Projector(database, ListTail({RUN: a_run_with(*steps)}), "epoch").catch_up()
        await database.close()

    asyncio.run(make())
    return tmp_path


def run(state, *arguments):
    app = typer.Typer()
    app.add_typer(findings_app, name="findings")
    return CliRunner().invoke(app, ["findings", *map(str, arguments), "--state", str(state)])


def answer(state, *arguments):
    result = run(state, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_findings_are_listed_shown_labelled_and_made_a_library_of(state, tmp_path):
    second, first = answer(state, "list")
    assert (first["episode"], first["move_10s_bps"], second["is_settled"]) == (1, -2.5, False)
    shown = run(state, "list")
    assert all(text in shown.stdout for text in (first["id"], "spoofing suspected", "-2.5 bps", "63999.0"))
    labelled = run(state, "label", first["id"], "real")
    assert (labelled.exit_code, labelled.stdout.strip()) == (0, "labelled real, version 1")
    assert [line["id"] for line in answer(state, "list", "--label", "real")] == [first["id"]]
    assert [line["id"] for line in answer(state, "list", "--unlabelled")] == [second["id"]]
    (line,) = answer(state, "show", first["id"])
    assert (line["label"], line["circumstances"]["trend"]) == ("real", 1)
    text = run(state, "show", first["id"]).stdout
    assert all(part in text for part in ("life ms", "401", "real (", "-2.5 bps after 10 s"))
    assert "not known yet" in run(state, "show", second["id"]).stdout
    file = tmp_path / "patterns.json"
    assert run(state, "library", "--out", file).exit_code == 0
    library = PatternLibrary(**json.loads(run(state, "library").stdout) | {"known": ()})
    assert library == PatternLibrary()
    (known,) = json.loads(file.read_text())["known"]
    assert (known["verdict"], known["evidence"]) == (1.0, {"size_ratio": 12.0, "life_ms": 401.0})


def test_questions_that_cannot_be_answered_say_why(state, tmp_path):
    unknown = run(state, "show", "nothing#1.1")
    assert unknown.exit_code == EXIT_DATA
    assert "stakan findings list" in unknown.output
    assert run(state, "label", "nothing#1.1", "real").exit_code == EXIT_DATA
    assert run(state, "list", "--label", "real", "--unlabelled").exit_code == EXIT_CONFIG
    assert run(state, "library", "--out", tmp_path / "no" / "folder.json").exit_code == EXIT_STORAGE
