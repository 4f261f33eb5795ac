"""A paper run, recorded by its journal, is computed again: by replay step by step, by a backtest to the fingerprint."""

import itertools
import json
import os
import random
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.live.builders import PaperRun, TestTime, some_settings
from tests.core.engine.builders import MS
from typer.testing import CliRunner

from stakan.adapters.journal.layout import segment_path
from stakan.adapters.journal.reading import read_events, read_header, read_recorded
from stakan.adapters.journal.snapshots import read_states
from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.backtest import Backtest
from stakan.apps.cli.main import app
from stakan.apps.config import settings_from
from stakan.apps.replay import replay, replay_journal
from stakan.apps.sources import from_run
from stakan.apps.wiring import engine_config
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import Flatten, OrderFilled, PauseEntries, ResumeEntries, TimerFired, encode_array
from stakan.core.domain.units import SECOND, Nanos
from stakan.core.engine import Engine

LENGTH = Nanos(40 * SECOND)


def a_paper_run(folder, *, seed=7, jitter=1, requests=(), length=LENGTH, overrides=(), finish=True):
    """A synthetic market, received with random delays by a loop whose calls come late at random."""
    chance = random.Random(jitter)
    market = SyntheticMarket(demo_config(seed=seed, duration_ns=length))
    time = TestTime(market.config.start_ts, late=lambda: chance.choice((0, 10_000, MS, 4 * MS)))
    run = PaperRun(folder, some_settings(*overrides), market.instruments, time)
    asked = sorted(requests, key=lambda request: request.ts_recv)
    for window in market.windows():
        for event in window.events():
            at = event.ts_recv + chance.choice((0, 100, 50_000, 2 * MS))
            while asked and asked[0].ts_recv <= at:
                run.receive(asked.pop(0), at)
            run.receive(event, at)
    if finish:
        time.run_until(time.now() + SECOND)
        run.loop.close()
        assert run.loop.failure is None
    return run


def at(moment, kind=PauseEntries, **more):
    ts = demo_config().start_ts + moment
    return kind(ts_event=ts, ts_recv=ts, actor="ann", request_id=str(ts), **more)


def computed_again(folder, settings=None):
    source = from_run(folder)
    backtest = Backtest(source, settings or source.run.settings)
    backtest.run()
    return backtest


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    run = a_paper_run(tmp_path_factory.mktemp("paper") / "run")
    sent = [c for _, step in run.steps for c in step.commands if isinstance(c, SubmitOrder)]
    assert len(sent) >= 20, "a market in which nothing happens shows nothing"
    assert any(isinstance(event, OrderFilled) for event, _ in run.steps)
    return run


def test_a_paper_run_backtested_from_its_own_journal_has_the_same_fingerprint(ran):
    assert computed_again(ran.folder).fingerprint.hexdigest() == ran.fingerprint.hexdigest()


def test_every_step_of_a_paper_run_is_computed_again(ran):
    journal = ran.folder / "journal"
    answer = replay(read_header(journal), read_recorded(journal))
    assert (answer.steps, answer.differences) == (len(ran.steps), 0)


def test_its_result_is_that_of_the_run(ran):
    again = computed_again(ran.folder)
    result = again.result("again")
    assert result.data.source.startswith("paper run")
    assert result.statistics.final_equity == ran.loop.engine.state.portfolio.ledger.equity
    assert result.funnel.fills == sum(isinstance(event, OrderFilled) for event, _ in ran.steps)


def test_other_settings_are_another_run_on_the_same_market_closed_at_its_end(ran):
    table = msgspec.json.decode(from_run(ran.folder).run.settings.model_dump_json(exclude_none=True))
    table["engine"]["min_strength"] = 0.9
    again = computed_again(ran.folder, settings_from(table))
    assert again.fingerprint.hexdigest() != ran.fingerprint.hexdigest()
    assert not again.engine.state.portfolio.busy_instruments()


def test_what_the_operator_asked_for_is_part_of_the_run(tmp_path):
    requests = [at(8 * SECOND, Flatten), at(9 * SECOND), at(15 * SECOND, ResumeEntries), at(38 * SECOND)]
    run = a_paper_run(tmp_path / "run", requests=requests, jitter=5)
    again = computed_again(tmp_path / "run")
    assert again.fingerprint.hexdigest() == run.fingerprint.hexdigest()
    assert again.engine.state.paused


requests_of_people = st.lists(
    st.builds(
        lambda ms, kind: at(ms * MS, kind),
        st.integers(0, 6_000),
        st.sampled_from((PauseEntries, ResumeEntries, Flatten)),
    ),
    max_size=3,
)
latencies = st.sampled_from(("0ms", "1ms", "10ms", "300ms"))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 30), requests_of_people, latencies)
def test_the_law_holds_whatever_the_timing(tmp_path_factory, jitter, seed, requests, latency):
    folder = tmp_path_factory.mktemp("law") / "run"
    run = a_paper_run(
        folder,
        seed=seed,
        jitter=jitter,
        requests=requests,
        length=Nanos(20 * SECOND),
        overrides=(f"trade.paper_latency={latency}", "engine.decision_interval=0s"),
    )
    again = computed_again(folder)
    assert again.fingerprint.hexdigest() == run.fingerprint.hexdigest()


def test_the_command_computes_a_run_again(ran, tmp_path):
    words = ["backtest", "--run", str(ran.folder), "--out", str(tmp_path), "--name", "again", "--json"]
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["fingerprint"] == ran.fingerprint.hexdigest()
    other = CliRunner().invoke(app, [*words[:-2], "other", "--json", "--set", "engine.min_strength=0.9"])
    assert json.loads(other.stdout)["fingerprint"] != ran.fingerprint.hexdigest()
    refused = CliRunner().invoke(app, [*words, "--data", str(tmp_path)])
    assert refused.exit_code == 2


def test_a_state_in_the_journal_is_the_engines_at_that_step(tmp_path):
    run = a_paper_run(tmp_path / "run", length=Nanos(62 * SECOND))
    journal = tmp_path / "run" / "journal"
    number, state = next(read_states(journal))
    header = read_header(journal)
    settings = from_run(tmp_path / "run").run.settings
    engine = Engine(
        engine_config(settings, header.run_epoch, [one.id for one in header.instruments]), header.instruments
    )
    engine.restore(state)
    rest = [event for at, event in read_events(journal) if at > number]
    assert 100 < len(rest) < len(run.steps) / 2
    encode = msgspec.msgpack.Encoder(enc_hook=encode_array, order="deterministic").encode
    assert [encode(engine.step(event)) for event in rest] == [encode(step) for _, step in run.steps[number:]]


# --- runs that carry on ---------------------------------------------------------------------------------------------


def a_paper_run_in_two(folder, *, seed=7, length=LENGTH):
    """The market of one run, received by two: the second one carries on with the engine's state of the first."""
    market = SyntheticMarket(demo_config(seed=seed, duration_ns=length))
    events = [event for window in market.windows() for event in window.events()]
    middle = market.config.start_ts + length // 2
    time, carried = TestTime(market.config.start_ts), None
    for name in ("first", "second"):
        run = PaperRun(folder / name, some_settings(), market.instruments, time, carried=carried)
        run.loop.begin()
        for event in events:
            if (event.ts_recv < middle) == (name == "first"):
                run.receive(event, event.ts_recv)
        run.loop.close()
        assert run.loop.failure is None
        state = run.loop.engine.state
        carried = (state.number, run.loop.engine.snapshot())
    return run


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    return a_paper_run_in_two(tmp_path_factory.mktemp("carried"))


def test_a_run_that_carried_on_is_computed_again_from_the_state_that_it_began_with(carried):
    journal = carried.folder / "journal"
    first = read_header(journal).first_number
    assert first > 500
    answer = replay_journal(journal)
    assert (answer.after, answer.steps, answer.differences) == (first - 1, len(carried.steps), 0)
    timers = [step for event, step in carried.steps if isinstance(event, TimerFired)]
    assert timers, "some of them were set by the earlier run"
    again = computed_again(carried.folder)
    assert again.fingerprint.hexdigest() == carried.fingerprint.hexdigest()
    assert again.engine.state.number == first - 1 + len(carried.steps)
    assert again.result("again").fingerprint == carried.fingerprint.hexdigest()


def test_with_other_settings_a_run_that_carried_on_begins_with_nothing(carried):
    table = msgspec.json.decode(from_run(carried.folder).run.settings.model_dump_json(exclude_none=True))
    table["engine"]["min_strength"] = 0.9
    again = computed_again(carried.folder, settings_from(table))
    assert 0 < again.engine.state.number < read_header(carried.folder / "journal").first_number * 2


def test_a_run_whose_first_state_is_damaged_cannot_be_computed_again(carried, tmp_path):
    folder = shutil.copytree(carried.folder, tmp_path / "run")
    state, last = sorted((folder / "journal").glob("*.snapshot"))
    last.unlink()
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(DataError, match="no sound state"):
        replay_journal(folder / "journal")
    with pytest.raises(DataError, match=state.name):
        computed_again(folder)


# --- runs without an end --------------------------------------------------------------------------------------------


def test_what_a_killed_run_leaves_is_read_up_to_the_tear(tmp_path):
    run = a_paper_run(tmp_path / "run", finish=False, length=Nanos(10 * SECOND))
    file = segment_path(run.folder / "journal", 1)
    os.truncate(file, file.stat().st_size - 5)
    source = from_run(run.folder)
    assert not source.run.is_complete
    backtest = Backtest(source, source.run.settings)
    steps = []
    observe = backtest._observe
    backtest._observe = lambda event, step: (observe(event, step), steps.append(step))[0]
    backtest.run()
    assert len(steps) > 500
    encode = msgspec.msgpack.Encoder(order="deterministic").encode
    common = list(
        itertools.takewhile(lambda pair: pair[0].ts <= source.run.script.end_ts, zip(steps, run.steps, strict=False))
    )
    assert len(common) > 500
    assert all(encode(ours) == encode(theirs) for ours, (_, theirs) in common)
    run.loop._journal.abandon()


def test_a_folder_without_a_journal_is_no_recording(tmp_path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(DataError, match="holds no journal"):
        from_run(tmp_path)
