"""What looks at a running bot: one trace from the decision to the fill, metrics while it trades, and no harm done."""

import asyncio
import json
import logging
from decimal import Decimal
from types import SimpleNamespace

import aiohttp
import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import get_contextvars
from tests.apps.live.sockets import LIMIT_S, an_exchange, settings_for
from tests.apps.live.test_invariants import BOUND, Watched, an_entry
from tests.apps.live.test_session import RELEASE, a_session
from tests.core.engine.builders import BTC, SECOND, a_snapshot

from stakan.adapters.exchanges.bybit.capabilities import Capability
from stakan.adapters.exchanges.bybit.limits import Group
from stakan.adapters.exchanges.bybit.market_client import MarketClient
from stakan.adapters.sockets import ConnectBudget
from stakan.apps.doctor import venue_of
from stakan.apps.live.bot import BotPlan
from stakan.apps.live.clock import WallClock
from stakan.apps.live.fitness import fit, instruments_of
from stakan.apps.live.invariants import AGREEMENT, AUDIT
from stakan.apps.live.observation import Traced, traces_of
from stakan.apps.live.publisher import Requests
from stakan.apps.live.session import Session, Stopping
from stakan.apps.logs import LogPlan, Logs, get_logger
from stakan.apps.projection import Ask
from stakan.apps.projector_status import STATUS_FILE, Health, ProjectorStatus, write_status
from stakan.apps.secrets import bybit_keys
from stakan.core.domain.commands import CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.events import Halt
from stakan.core.domain.facts import AccountCompared, Discrepancy, EquityMarked, FillBooked, PositionClosed
from stakan.core.domain.step import Step
from stakan.core.domain.trace import Traces, trace_of

ORDERS_BY_REST = "/v5/order/create"
MARKED = EquityMarked(balance=Decimal(10_000), unrealised_pnl=Decimal(0), exposure=Decimal(0))


class Followed:
    """A bot on a local exchange, its orders over REST, until it has traded."""

    def __init__(self, session, folder):
        self.session = session
        self.steps = []
        self.text = ""
        self.has_traded = asyncio.Event()
        session.bot.observers.append(self.observe)
        self.folder = folder

    def observe(self, event, step):
        self.steps.append((event, step))
        if any(isinstance(fact, PositionClosed) for fact in step.facts):
            self.has_traded.set()

    async def trade(self):
        stopping = Stopping()
        running = asyncio.create_task(self.session.live(self.folder, stopping, lambda _: None))
        traded = asyncio.create_task(self.has_traded.wait())
        await asyncio.wait([running, traded], return_when=asyncio.FIRST_COMPLETED)
        traded.cancel()
        await self.session.observation.server.listen(0)
        url = f"http://127.0.0.1:{self.session.observation.server.port}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as reply:
            self.text = await reply.text()
        stopping.ask("test")
        await running


async def a_followed_run(folder, logs):
    async with an_exchange() as url, asyncio.timeout(LIMIT_S):
        settings = settings_for(url, folder, "metrics.port=0")
        clock, keys, chance = WallClock(), bybit_keys(), np.random.default_rng(1)
        venue = msgspec.structs.replace(venue_of(settings), trade=None)
        async with MarketClient(venue, clock=clock.now, chance=chance, keys=keys) as market:
            instruments = (await instruments_of(market, settings)).instruments
            settings = await fit(market, settings, instruments, lambda _: None)
            plan = BotPlan(
                mode="testnet",
                settings=settings,
                instruments=instruments,
                run_folder=folder / "runs" / "a-run",
                epoch="e",
                market="a test",
                is_synthetic=True,
            )
            followed = Followed(Session(plan, market, venue, keys, clock, chance, logs), folder)
            await followed.trade()
            return followed


@pytest.fixture(scope="module")
def followed(compiled, tmp_path_factory):
    """A run that was followed, and what it wrote down: (Followed, lines)."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BYBIT_API_KEY", "stakan-key")
        environment.setenv("BYBIT_API_SECRET", "stakan-secret")
        plan = LogPlan(program="bot", folder=folder / "logs", level=logging.DEBUG, terminal_level=logging.CRITICAL)
        with Logs(plan, ["stakan-secret"]) as logs:
            found = asyncio.run(a_followed_run(folder, logs))
    lines = [
        json.loads(line) for file in (folder / "logs").glob("bot_2*.log") for line in file.read_text().splitlines()
    ]
    return found, lines


def test_one_trace_leads_from_the_decision_over_the_order_and_its_request_to_the_fill(followed):
    run, lines = followed
    closed = next(fact for _, step in run.steps for fact in step.facts if isinstance(fact, PositionClosed))
    of_trade = [line for line in lines if line.get("trace") == closed.intent]
    events = [line["event"] for line in of_trade]
    for event in ("intent_approved", "order_sent", "order", "fill", "position", "exit", "trade"):
        assert event in events
    requests = [line for line in of_trade if ORDERS_BY_REST in line["event"]]
    assert requests, "the requests over HTTP inherit the trace of their order"
    assert {line["logger"] for line in requests} == {"stakan.adapters.exchanges.bybit.rest"}


def test_an_audit_that_reads_the_same_steps_finds_the_same_traces(followed):
    run, lines = followed
    known, found = Traces(run="a-run"), []
    for _, step in run.steps:
        known.note(step)
        found += [
            (fact.execution_id, trace_of(fact, step, known)) for fact in step.facts if isinstance(fact, FillBooked)
        ]
    assert found
    assert [(line["execution"], line["trace"]) for line in lines if line["event"] == "fill"] == found


def test_every_line_of_the_bot_is_of_one_process_and_run(followed):
    _, lines = followed
    of_bot = [line for line in lines if line["logger"] == "stakan.bot"]
    assert {line["run"] for line in of_bot} == {"a-run"}
    assert len({line["correlation"] for line in of_bot if line["event"] != "operator"}) == 1
    assert all(line.get("trace") for line in of_bot)


def test_metrics_of_a_bot_that_trades_are_there(followed):
    run, _ = followed
    found = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(run.text)
        for sample in family.samples
    }
    assert found["stakan_connection_up", ("private",)] == 1
    assert found["stakan_connection_up", ("public_1",)] == 1
    for stage in ("feed", "submit", "acknowledge", "fill"):
        assert found["stakan_stage_latency_seconds_count", (stage,)] > 0, stage
    assert found["stakan_journal_sync_seconds_count", ()] > 0
    assert found["stakan_journal_bytes", ()] > 0
    assert found["stakan_event_loop_lag_seconds_count", ()] > 0
    assert found["stakan_rate_limit_tokens", ("order/create",)] > 0
    for connection in ("market", "account"):
        assert found["stakan_breaker_state", ("market data over REST", connection, "closed")] == 1
    assert found["stakan_reconciliation_age_seconds", ()] >= 0
    assert ("stakan_queue_depth", ("consoles",)) in found
    assert sum(value for (name, _), value in found.items() if name == "stakan_invariant_breaches_total") == 0


def test_a_correct_bot_breaks_no_invariant(followed):
    run, lines = followed
    assert [line for line in lines if line["event"] == "invariant_broken"] == []
    assert run.session.observation.problems == ()
    sent = [line for line in lines if line["event"] == "order_sent"]
    assert sent


# --- without connections --------------------------------------------------------------------------------------------


class Heard:
    """A venue that does its work later, as adapters do."""

    def __init__(self):
        self.seen = []

    def send(self, command):
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, self._later, command, "timer")
        self.task = loop.create_task(self._task(command))

    def _later(self, command, how):
        self.seen.append((how, get_contextvars().get("trace")))

    async def _task(self, command):
        await asyncio.sleep(0)
        self._later(command, "task")


def test_timers_and_tasks_of_a_request_inherit_its_trace():
    async def send():
        venue = Heard()
        traced = Traced(venue)
        traced.trace = lambda command: command.client_order_id
        traced.send(CancelOrder(instrument=BTC, client_order_id="s-1"))
        await asyncio.sleep(0.01)
        return venue.seen, get_contextvars()

    seen, after = asyncio.run(send())
    assert sorted(seen) == [("task", "s-1"), ("timer", "s-1")]
    assert after == {}


@pytest.mark.parametrize("mode", ["paper", "shadow", "testnet"])
def test_every_breaker_limit_and_queue_of_a_mode_is_shown(tmp_path, mode):
    async def look():
        async with a_session(tmp_path, mode) as session:
            sources, market = session.observation.sources, session._market
            market.breakers[Capability.MARKET].failure(session._now(), "down")
            now = session._now()
            for _ in range(2 * market.shared.limiter.of_address[Group.MARKET].most):
                market.shared.limiter.acquire(Group.MARKET, now, SECOND * 60, over_http=True)
            market.shared.connects.take(now)
            session.bot.journal.append(Step(session.bot.engine.state.number, SECOND, (MARKED,)))
            session.observation.observe(a_snapshot(ts=SECOND), Step(1, SECOND, (MARKED,)))
            failed = {name: [one.failed for one in found] for name, found in sources.breakers().items()}
            return failed, sources.budgets(), {name: read() for name, read in sources.queues.items()}

    failed, budgets, queues = asyncio.run(look())
    expected = {"market": [int(one is Capability.MARKET) for one in Capability]}
    if mode == "testnet":
        expected["account"] = [0 for _ in Capability]
    assert failed == expected
    assert budgets.keys() > {*Group, "connects"}
    assert budgets[Group.MARKET].left == 0
    assert budgets["connects"].left == ConnectBudget().left(0) - 1
    assert queues.keys() >= {"engine", "timers", "journal", "narration", "requests"}
    assert queues["requests"] > 0
    assert queues["narration"] == 1
    assert queues["journal"] > 0
    assert queues["engine"] == 0


def test_a_breach_is_counted_logged_and_among_the_problems(tmp_path, caplog):
    async def breach():
        async with a_session(tmp_path) as session:
            bot, key = session.bot, next(iter(session.bot.plan.instruments))
            session.account.venue.stream.is_streaming = True
            watched = Watched(bot.engine)
            watched.holds(2, key=key, ts=SECOND)
            session.observation.observe(a_snapshot(key=key, ts=SECOND), Step(1, SECOND, (MARKED,)))
            session.observation.observe(a_snapshot(key=key), Step(2, SECOND + BOUND + SECOND))
            return session.observation.metrics.breaches[1], bot.around.problems()

    count, problems = asyncio.run(breach())
    assert count == 1
    assert "invariant 1 did not hold" in problems[0]
    broken = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (line,) = [fields for fields in broken if fields["event"] == "invariant_broken"]
    assert line["number"] == 1
    assert "2 lots without a stop" in line["detail"]


def test_a_broken_audit_log_is_an_invariant_that_is_told_once(tmp_path):
    async def look():
        async with a_session(tmp_path) as session:
            observation, counts = session.observation, []
            now = observation._now()
            folder = session.bot.plan.run_folder.parent.parent
            status = ProjectorStatus(health=Health.FOLLOWING, database="x", pid=1, started_ts=1, updated_ts=now)
            for minute, found in enumerate(("", "broken at record 7", "broken at record 7", "", "broken at record 8")):
                write_status(folder, msgspec.structs.replace(status, audit_break=found))
                observation._now = lambda minute=minute: now + minute * 60 * SECOND
                for _ in range(3):
                    observation.look_at_audit()
                counts.append(observation.metrics.breaches[AUDIT])
            (folder / STATUS_FILE).write_text("{")
            observation._now = lambda: now + 3600 * SECOND
            observation.look_at_audit()
            return counts, session.bot.around.problems()

    counts, problems = asyncio.run(look())
    assert counts == [0, 1, 1, 1, 2]
    assert "invariant 6 did not hold (the chain of audit records verifies): broken at record 7" in problems


def test_what_a_projector_told_before_this_bot_lived_is_no_breach_of_it(tmp_path):
    async def look():
        async with a_session(tmp_path) as session:
            observation, began = session.observation, session.observation._now()
            folder, counts = session.bot.plan.run_folder.parent.parent, []
            broken = ProjectorStatus(
                health=Health.STOPPED, database="x", audit_break="broken at record 7", pid=1, started_ts=1, updated_ts=1
            )
            for minute, updated_ts in enumerate((1, began - 3600 * SECOND, began + 60 * SECOND)):
                write_status(folder, msgspec.structs.replace(broken, updated_ts=updated_ts))
                observation._now = lambda minute=minute: began + minute * 60 * SECOND
                observation.look_at_audit()
                counts.append(observation.metrics.breaches[AUDIT])
            return counts

    assert asyncio.run(look()) == [0, 0, 1]


def test_books_that_had_to_be_repaired_are_an_invariant_that_is_told(tmp_path):
    async def look():
        async with a_session(tmp_path) as session:
            compared = AccountCompared(differences=1, repaired=1, is_agreed=False)
            differs = Discrepancy(instrument=BTC, subject="position", expected="0 lots", found="7 lots")
            session.observation.observe(a_snapshot(ts=SECOND), Step(1, SECOND, (differs, compared)))
            return session.observation.metrics.breaches[AGREEMENT], session.bot.around.problems()

    count, problems = asyncio.run(look())
    assert count == 1
    assert "position: 0 lots, found 7 lots" in problems[0]


def test_a_bug_in_looking_does_not_reach_the_bot_and_is_said_once(tmp_path, caplog):
    class Broken:
        bare = {}  # noqa: RUF012

        def observe(self, event, step):
            raise RuntimeError("a bug")

    async def look():
        async with a_session(tmp_path) as session:
            session.observation.invariants = Broken()
            for number in range(3):
                session.accept(msgspec.structs.replace(RELEASE, request_id=str(number)))
            await asyncio.sleep(0)
            return session.bot.loop.failure, session.bot.engine.state.number

    assert asyncio.run(look()) == (None, 3)
    assert sum("looking at the bot failed" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("is_connected", [None, False, True])
def test_a_shared_budget_is_among_the_connections(tmp_path, is_connected):
    async def look():
        async with a_session(tmp_path) as session:
            without = dict(session.observation.sources.connections())
            session.observation.shared_budget = SimpleNamespace(is_connected=is_connected)
            return without, dict(session.observation.sources.connections())

    without, found = asyncio.run(look())
    assert found == without | {"shared_budget": is_connected is True}


def test_what_is_said_of_a_request_has_its_id(tmp_path):
    async def ask(logs):
        async with a_session(tmp_path, logs=logs) as session:
            requests = Requests(session.accept)
            requests.take(Ask(request=Halt(ts_event=0, ts_recv=0, actor="ann", request_id="ann:7", why="test")))
            get_logger("test").info("outside")
            await asyncio.sleep(0)

    with Logs(LogPlan(program="bot", folder=tmp_path / "logs", terminal_level=logging.CRITICAL)) as logs:
        asyncio.run(ask(logs))
    (file,) = (tmp_path / "logs").glob("bot_2*.log")
    lines = {line["event"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert lines["operator"]["correlation"] == lines["trading"]["correlation"] == "ann:7"
    assert lines["outside"]["correlation"].startswith("bot-")
    assert lines["trading"]["state"] == "halted"


def test_orders_that_are_carried_from_an_earlier_run_have_their_traces(tmp_path):
    async def carry():
        async with a_session(tmp_path) as session:
            key = next(iter(session.bot.plan.instruments))
            Watched(session.bot.engine).holds(2, key=key)
            known = traces_of(session.bot.engine.state.portfolio, "new-run")
            stop = SetProtection(instrument=key, stop_loss=1, take_profit=None)
            return known.orders.get("first"), trace_of(stop, Step(1, 1), known)

    assert asyncio.run(carry()) == ("i-1", "i-1")


def test_orders_are_timed_from_their_decision_to_the_socket(tmp_path):
    async def send():
        async with a_session(tmp_path) as session:
            order = SubmitOrder(order=an_entry(key=next(iter(session.bot.plan.instruments))))
            session.observation.witness(a_snapshot(ts=SECOND), Step(1, SECOND, (), (order,)))
            session.account.venue.send = lambda _: None
            session._traced.send(order)
            session._traced.send(order)
            return session.bot.latencies.totals["submit"].count

    assert asyncio.run(send()) == 1
