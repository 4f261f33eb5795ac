"""`stakan db` and `stakan project`, run as a user runs them."""

import json
import sqlite3

import pytest
import typer
from tests.adapters.sql.journals import DAY_ONE
from tests.apps.projected import RUN, a_state
from typer.testing import CliRunner

from stakan.adapters.sql.schema import newest_revision
from stakan.apps.cli.db import db_app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_STORAGE
from stakan.apps.cli.project import project_command
from stakan.apps.database import SQLITE_FILE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    state = a_state(tmp_path_factory.mktemp("bot"), length=9)
    result = run(state, "project", "--once", "--json")
    assert result.exit_code == 0, result.output
    return state


@pytest.fixture
def state(made, tmp_path):
    """A copy of a projected state folder that a test may spoil."""
    copy = tmp_path / "state"
    copy.mkdir()
    (copy / "epoch").write_text("epoch")
    (copy / "runs").symlink_to(made / "runs")
    with sqlite3.connect(made / SQLITE_FILE) as source, sqlite3.connect(copy / SQLITE_FILE) as target:
        source.backup(target)
    source.close()
    target.close()
    return copy


def run(state, *arguments):
    app = typer.Typer()
    app.add_typer(db_app, name="db")
    app.command("project")(project_command)
    return CliRunner().invoke(app, [*map(str, arguments), "--state", str(state)])


def answer(state, *arguments):
    result = run(state, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def spoil(state, *statements):
    connection = sqlite3.connect(state / SQLITE_FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


QUESTIONS = [
    ("orders",),
    ("trades",),
    ("trades", "--best", "2"),
    ("trades", "--worst", "2", "--from", "2023-11-14", "--to", "2023-11-15"),
    ("exits",),
    ("signals",),
    ("levels", "--from", "2023-11-14"),
    ("failures", "--hours", "100000"),
    ("trace", "e-1"),
    ("audit", "e-1"),
    ("prune", "--dry-run"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_question_has_an_answer_for_people_and_one_for_programs(question, made):
    shown = run(made, "db", *question)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.strip()
    assert isinstance(answer(made, "db", *question), list)


def test_the_best_trades_come_first_and_money_is_exact_text(made):
    found = answer(made, "db", "trades", "--best", "10")
    profits = [float(trade["net_pnl"]) for trade in found]
    assert profits == sorted(profits, reverse=True)
    assert isinstance(found[0]["net_pnl"], str)
    assert found[0]["run"] == RUN


def test_a_trace_is_shown_from_signal_to_audit(made):
    tables = {line["table"] for line in answer(made, "db", "trace", "e-1")}
    assert {"decisions", "orders", "fills", "positions", "audit_log"} <= tables


def test_migrating_says_what_there_is(made, tmp_path):
    fresh = answer(tmp_path, "db", "migrate")
    assert (fresh["before"], fresh["after"]) == ("base", newest_revision())
    assert answer(made, "db", "migrate")["before"] == newest_revision()
    assert "is up to date" in run(made, "db", "migrate").stdout


def test_a_status_changed_by_hand_is_found_and_repaired(state):
    assert answer(state, "db", "check") == {"differences": [], "repaired": 0, "is_repaired": False}
    spoil(state, "UPDATE orders SET status = 'placed' WHERE status = 'filled'")
    found = run(state, "db", "check")
    assert found.exit_code == EXIT_DATA
    assert "status is placed, should be filled" in found.stdout
    repaired = answer(state, "db", "check", "--repair")
    assert repaired["is_repaired"]
    assert repaired["repaired"] == len(repaired["differences"]) > 0
    assert run(state, "db", "check").exit_code == 0
    verified = answer(state, "db", "verify-audit")
    assert verified["broken"] is None


def test_a_broken_link_of_the_audit_log_is_named(state):
    spoil(state, "DROP TRIGGER audit_log_no_update", "UPDATE audit_log SET actor = 'nobody' WHERE id = 5")
    result = run(state, "db", "verify-audit")
    assert result.exit_code == EXIT_DATA
    assert "record 5" in result.stderr
    assert json.loads(run(state, "db", "verify-audit", "--json").stdout)["broken"]["id"] == 5
    # The journal knows better, and the log is never repaired.
    spoil(state, "UPDATE orders SET status = 'placed' WHERE rowid = 1")
    mended = run(state, "db", "check", "--repair")
    assert mended.exit_code == EXIT_DATA
    assert "2 rows differ from the journal: 1 repaired, 1 not: the audit log is never repaired" in mended.stdout
    assert "1 rows differ from the journal: 0 repaired" in run(state, "db", "check", "--repair").stdout


def test_rebuilding_asks_first_and_then_leaves_what_was(state):
    before = answer(state, "db", "trades")
    spoil(state, "DELETE FROM fills", "UPDATE positions SET net_pnl = '7'")
    assert run(state, "db", "rebuild").exit_code == EXIT_CONFIG
    assert answer(state, "db", "rebuild", "--yes")["run"] == RUN
    assert answer(state, "db", "trades") == before
    assert run(state, "db", "check").exit_code == 0


def test_old_series_are_taken_away_on_request(state):
    gone = {row["table"]: row["rows"] for row in answer(state, "db", "prune")}
    assert gone.keys() == {"market_snapshots", "densities", "market_stats"}
    assert all(row["rows"] == 0 for row in answer(state, "db", "prune"))
    assert run(state, "db", "check").exit_code == 0


def test_a_note_is_written_on_a_trade(state):
    (trade, *_) = answer(state, "db", "trades")
    for version in (1, 2):
        noted = run(state, "db", "note", trade["run"], trade["id"], f"thought {version}")
        assert f"version {version}" in noted.stdout
    assert answer(state, "db", "trades")[0]["note"] == "thought 2"
    assert run(state, "db", "note", "no run", "no#1", "x").exit_code == EXIT_DATA


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("db", "trades", "--best", "1", "--worst", "1"), EXIT_CONFIG, "one or the other"),
        (("db", "trades", "--from", "soon"), EXIT_CONFIG, "is no time"),
        (("db", "exits", "--set", "database.url=mysql://x/y"), EXIT_CONFIG, "database.url"),
        (("db", "exits", "--set", "database.url=postgresql://x:secret@h/y"), EXIT_CONFIG, "DB_PASSWORD"),
        (("db", "exits", "--set", "database.host=127.0.0.1", "--set", "database.port=9"), EXIT_STORAGE, "not answer"),
    ],
)
def test_what_cannot_be_answered_ends_with_a_reason_and_a_code(made, arguments, code, says):
    result = run(made, *arguments)
    assert result.exit_code == code
    assert says in result.stderr.replace("\n", " ")
    assert "secret" not in result.output


def test_without_a_database_it_is_said_how_to_make_one(tmp_path):
    result = run(tmp_path, "db", "trades")
    assert result.exit_code == EXIT_CONFIG
    assert "stakan project" in result.stderr
    assert run(tmp_path / "nothing", "project", "--once").exit_code != 0


def test_failures_are_those_of_the_last_hours(made):
    """The run is of 2023: whatever failed in it is no failure of today."""
    assert DAY_ONE < 1_800_000_000 * 10**9
    assert answer(made, "db", "failures", "--hours", "24") == []
