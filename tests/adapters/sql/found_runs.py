"""Runs in which detectors found something."""

from tests.adapters.sql.journals import DAY_ONE, Run, a_run
from tests.core.engine.builders import BTC, SECOND

from stakan.adapters.journal.records import Outcome
from stakan.core.domain.facts import FindingMade, FindingSettled
from stakan.core.domain.findings import Circumstances, Finding, Pattern, Stage
from stakan.core.domain.step import Step
from stakan.core.domain.units import Nanos, Side

CALM = Circumstances(
    mid=640_000.0, spread_bps=0.2, depth=5e6, imbalance=0.3, volatility_bps=1.5, trend=1, second_of_day=80_030
)


def a_finding(episode=1, **changes):
    """Of spoofing on the bid, ten seconds after the day began to be recorded."""
    values = {
        "instrument": BTC,
        "detector": "spoofing",
        "pattern": Pattern.SPOOFING,
        "stage": Stage.SUSPECTED,
        "episode": episode,
        "side": Side.BUY,
        "low": 639_990,
        "high": 639_990,
        "size": 5_000,
        "began": DAY_ONE,
        "ts_event": DAY_ONE + 10 * SECOND + episode,
        "confidence": 0.7,
        "evidence": {"size_ratio": 12.0, "life_ms": 400.0 + episode},
    }
    return Finding(**{**values, **changes})


def settled(finding, *moves):
    return FindingSettled(
        instrument=finding.instrument, detector=finding.detector, episode=finding.episode, stage=finding.stage,
        ts_event=finding.ts_event, moves_bps=moves,
    )  # fmt: skip


def a_run_with(*steps, length=4):
    """A run whose last steps have these facts, one tuple of facts for each."""
    run = a_run(length=length, ended=False)[2]
    number = max(record.number for record in run.records if hasattr(record, "number"))
    records = [
        Outcome(Step(number + place, Nanos(DAY_ONE + 3_600 * SECOND + place), tuple(facts)))
        for place, facts in enumerate(steps, 1)
    ]
    return Run([*run.records, *records], run.header)


def found(finding, circumstances=CALM):
    return FindingMade(finding=finding, circumstances=circumstances)
