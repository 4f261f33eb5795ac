"""`stakan journal` on the journals of real engines: sound, torn, damaged, pruned, and of runs that carry on."""

import json
import shutil

import msgspec
import pytest
from tests.apps.journals import LIMITS, a_run
from typer.testing import CliRunner

from stakan.adapters.journal.reading import read_events, read_header, read_records, read_steps
from stakan.adapters.journal.report import verify
from stakan.adapters.journal.snapshots import read_states
from stakan.adapters.journal.writing import FileJournal
from stakan.adapters.synthetic.config import demo_config
from stakan.apps.backtest import Backtest
from stakan.apps.cli.main import app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA
from stakan.apps.cli.running import SYNTHETIC_SETTINGS
from stakan.apps.config import load_settings
from stakan.apps.journal_rows import Wanted, rows_of
from stakan.apps.replay import replay_journal
from stakan.apps.sources import from_generator
from stakan.core.engine import Engine


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments, code=0):
    done = run(*arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


def changed(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# --- verify -----------------------------------------------------------------------------------------------------------


def test_a_sound_journal_is_said_to_be_sound(sound):
    done = run("journal", "verify", sound)
    assert done.exit_code == 0, done.output
    for word in ("000001.journal", "sound", "it can be computed again as a whole", "Market", "states sound"):
        assert word in done.stdout
    (found,) = answer("journal", "verify", sound / "journal")
    assert found["is_sound"]
    assert found["report"]["is_complete"]
    assert found["report"]["damage"] == []


def test_damage_is_named_with_file_and_byte(copy):
    changed(copy / "journal" / "000002.journal", 20_000)
    state = next((copy / "journal").glob("*.snapshot"))
    changed(state, 100)
    done = run("journal", "verify", copy)
    assert done.exit_code == EXIT_DATA
    assert "000002.journal: damaged block at byte" in done.stdout
    assert f"{state.name} is damaged" in done.stdout
    assert "are missing" in done.stdout
    (found,) = answer("journal", "verify", copy, code=EXIT_DATA)
    assert not found["is_sound"]


def test_a_torn_end_is_told_and_is_no_error(copy):
    last = max((copy / "journal").glob("*.journal"))
    last.write_bytes(last.read_bytes()[:-3])
    done = run("journal", "verify", copy)
    assert done.exit_code == 0, done.output
    assert f"{last.name}: torn at byte" in done.stdout
    assert "no orderly end" in done.stdout
    replayed = run("journal", "replay", copy)
    assert replayed.exit_code == 0, replayed.output
    assert "computed as far as it was written" in replayed.stdout


def test_where_there_is_no_journal_that_is_said(tmp_path):
    for command in ("verify", "show", "replay", "prune"):
        done = run("journal", command, tmp_path)
        assert done.exit_code == EXIT_DATA
        assert "holds no journal" in done.stderr


# --- show -------------------------------------------------------------------------------------------------------------


def test_rows_are_the_records_of_the_journal_in_their_order(sound):
    rows = list(rows_of(sound / "journal", Wanted(market=True)))
    records = list(read_records(sound / "journal"))
    steps = list(read_steps(sound / "journal"))
    expected = len(records) - len(steps) + sum(len(step.facts) + len(step.commands) for step in steps)
    assert len(rows) == expected
    assert [row.number for row in rows] == sorted(row.number for row in rows)
    assert {row.source for row in rows} == {"run", "event", "fact", "command"}


def test_kinds_instruments_and_times_are_chosen(sound):
    fills = answer("journal", "show", sound, "-k", "fillbooked", "-k", "PositionClosed", "-n", 0)
    assert {row["kind"] for row in fills} == {"FillBooked", "PositionClosed"}
    one = answer("journal", "show", sound, "-k", "facts", "-i", "ETHUSDT", "-n", 0)
    assert {row["instrument"] for row in one} == {"synthetic:linear:ETHUSDT"}
    assert {row["source"] for row in one} == {"fact"}
    moments = [row["ts"] for row in answer("journal", "show", sound, "-k", "events", "--market", "-n", 0)]
    first, last = moments[200], moments[300]
    some = answer("journal", "show", sound, "-k", "events", "--market", "-n", 0, "--from", first, "--to", last)
    assert [row["ts"] for row in some] == [ts for ts in moments if first <= ts <= last]
    books = answer("journal", "show", sound, "-k", "BookSnapshot", "-n", 0)
    assert {row["kind"] for row in books} == {"BookSnapshot"}, "asked for by name, market data needs no option"


def test_what_an_intent_led_to_is_its_whole_story(sound):
    intent = answer("journal", "show", sound, "-k", "IntentApproved", "-n", 0)[0]
    rows = answer("journal", "show", sound, "--about", intent["values"]["intent"]["id"], "-n", 0)
    kinds = [row["kind"] for row in rows]
    assert kinds[0] == "IntentApproved"
    assert {"SubmitOrder", "OrderTransitioned", "OrderFilled", "FillBooked", "PositionClosed"} <= set(kinds)
    assert {row["instrument"] for row in rows} == {intent["instrument"]}
    order = next(row for row in rows if row["kind"] == "SubmitOrder")["values"]["order"]["client_order_id"]
    of_order = answer("journal", "show", sound, "--about", order, "-n", 0)
    assert 3 <= len(of_order) < len(rows)


def test_the_last_rows_are_shown_and_what_is_unknown_is_named(sound):
    rows = answer("journal", "show", sound, "--tail", 3)
    assert (len(rows), rows[-1]["kind"]) == (3, "End")
    table = run("journal", "show", sound, "-n", 400)
    assert "side=buy" in table.stdout
    assert "Nothing of that" in run("journal", "show", sound, "--about", "nobody").stdout
    for words, named in ((("-k", "Nonsense"), "FillBooked"), (("-i", "NOPE"), "NOPE"), (("--from", "noon"), "noon")):
        done = run("journal", "show", sound, *words)
        assert done.exit_code == EXIT_CONFIG
        assert named in done.stderr


# --- replay and prune -------------------------------------------------------------------------------------------------


def test_every_step_is_computed_again_from_the_beginning_or_from_a_state(sound):
    (whole,) = answer("journal", "replay", sound)
    assert (whole["replay"]["after"], whole["replay"]["differences"]) == (0, 0)
    states = dict(read_states(sound / "journal"))
    for number in states:
        (found,) = answer("journal", "replay", sound, "--from", number + 1)
        assert found["replay"]["after"] == number
        assert found["replay"]["differences"] == 0
        assert found["replay"]["steps"] == whole["replay"]["steps"] - number


def test_a_step_that_differs_is_found(sound, tmp_path):
    steps = {step.number: step for step in read_steps(sound / "journal")}
    wrong = [number for number, step in steps.items() if step.facts][-1]
    with FileJournal(tmp_path / "run", read_header(sound / "journal"), limits=LIMITS) as journal:
        for number, event in read_events(sound / "journal"):
            journal.event(number, event)
            step = steps.get(number)
            if step is not None:
                journal.append(msgspec.structs.replace(step, facts=()) if number == wrong else step)
    done = run("journal", "replay", tmp_path / "run")
    assert done.exit_code == EXIT_DATA
    assert f"1 differ, the first is {wrong:,}" in done.stderr
    (found,) = answer("journal", "replay", tmp_path / "run", code=EXIT_DATA)
    assert found["replay"]["first_difference"] == wrong


def test_a_pruned_journal_keeps_its_decisions_and_is_computed_again_from_a_state_on(copy, tmp_path):
    decisions = answer("journal", "show", copy, "-n", 0)
    size = sum(path.stat().st_size for path in (copy / "journal").iterdir())
    (done,) = answer("journal", "prune", copy, "--keep", "24h")
    assert len(done["segments"]) >= 3, "it was received long ago"
    assert done["bytes_freed"] == size - sum(path.stat().st_size for path in (copy / "journal").iterdir())
    after = done["replayable_after"]
    assert after > 0
    assert answer("journal", "show", copy, "-n", 0) == decisions
    shown = run("journal", "verify", copy)
    assert shown.exit_code == 0
    assert "pruned" in shown.stdout
    assert f"after step {after:,}" in shown.stdout
    for words in (("journal", "replay", copy), ("replay", copy), ("replay", copy, "--from", after)):
        again = run(*words)
        assert again.exit_code == 0, again.output
        assert f"after step {after:,} computed again, all equal" in again.stdout.replace("\n", " ")
    for words in (("replay", copy, "--from", 0), ("backtest", "--run", copy, "--out", tmp_path / "out", "--name", "x")):
        refused = run(*words)
        assert refused.exit_code == EXIT_DATA
        assert f"after step {after}" in refused.stderr
    (again,) = answer("journal", "prune", copy)
    assert (again["segments"], again["bytes_freed"]) == ([], 0)


def test_the_youngest_market_data_stays_up_to_a_size(copy):
    sizes = [one.stored_bytes for one in verify(copy / "journal").segments]
    (done,) = answer("journal", "prune", copy, "--keep", "99999d", "--keep-size", f"{sum(sizes) - 1}B")
    assert len(done["segments"]) == 1
    for words in (("--keep-size", "much"), ("--keep", "long")):
        refused = run("journal", "prune", copy, *words)
        assert refused.exit_code == EXIT_CONFIG
        assert words[1] in refused.stderr


@pytest.fixture
def state_folder(sound, tmp_path):
    """Two runs: of the first the beginning only, as a kill leaves it; the second carries on from its newest state."""
    header = read_header(sound / "journal")
    number, state = list(read_states(sound / "journal"))[1]
    steps = {step.number: step for step in read_steps(sound / "journal")}
    events = list(read_events(sound / "journal"))
    first = FileJournal(tmp_path / "runs" / "1" / "journal", header, limits=LIMITS)
    second_header = msgspec.structs.replace(header, carried_from="1")
    second = FileJournal(tmp_path / "runs" / "2" / "journal", second_header, limits=LIMITS, carried=(number, state))
    for journal, part in ((first, events[:number]), (second, events[number:])):
        for at, event in part:
            journal.event(at, event)
            if at in steps:
                journal.append(steps[at])
    first.snapshot(number, state)
    first.abandon()
    second.close()
    return tmp_path, number


def test_all_runs_of_a_state_folder_are_one_history(state_folder, sound):
    folder, number = state_folder
    assert [one["is_sound"] for one in answer("journal", "verify", folder)] == [True, True]
    replays = [one["replay"] for one in answer("journal", "replay", folder)]
    assert [(one["after"], one["differences"]) for one in replays] == [(0, 0), (number, 0)]
    assert replays[0]["steps"] == number
    rows = [row for row in answer("journal", "show", folder, "-n", 0) if row["source"] != "run"]
    assert rows == [row for row in answer("journal", "show", sound, "-n", 0) if row["source"] != "run"]
    assert replay_journal(folder / "runs" / "2" / "journal").after == number


def test_a_run_that_another_carried_on_from_is_pruned_to_its_end(state_folder):
    folder, _ = state_folder
    first, second = answer("journal", "prune", folder)
    assert first["segments"] == [one.file for one in verify(folder / "runs" / "1" / "journal").segments]
    assert second["segments"] == [], "a start needs what is after its newest state, and there is no newer one"
    assert all(one["is_sound"] for one in answer("journal", "verify", folder))


def test_the_engine_of_a_state_is_the_one_that_was(sound):
    header = read_header(sound / "journal")
    (number, state), *_ = read_states(sound / "journal")
    settings = load_settings(None, SYNTHETIC_SETTINGS, {})
    engine = Engine(Backtest(from_generator(demo_config()), settings)._config, header.instruments)
    engine.restore(state)
    assert engine.state.number == number
