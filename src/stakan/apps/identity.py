"""What a run was, in words: configuration, versions, what was assumed about the exchange."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from stakan import __version__
from stakan.adapters.exchanges.simulated.exchange import SimulationConfig
from stakan.adapters.exchanges.simulated.models import (
    ConstantLatency,
    DrawnLatency,
    FeeRates,
    Latency,
    Queue,
    QueueModel,
    RecordedArrivals,
    RecordedLatency,
)
from stakan.apps.config import to_toml
from stakan.apps.results import Labelled, RunIdentity
from stakan.apps.settings import Settings
from stakan.apps.wiring import config_hash
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND


def run_identity(settings: Settings, run_id: str, program: str, assumptions: tuple[Labelled, ...]) -> RunIdentity:
    """Who, when, with which configuration and versions."""
    return RunIdentity(
        id=run_id,
        program=program,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        config_hash=config_hash(settings),
        config_text=to_toml(settings),
        versions=_versions(),
        assumptions=assumptions,
    )


def simulation_assumptions(simulation: SimulationConfig) -> tuple[Labelled, ...]:
    """What was assumed of a simulated exchange."""
    return (
        Labelled(name="starting balance", value=str(simulation.starting_balance)),
        Labelled(name="leverage, isolated", value=str(simulation.leverage)),
        Labelled(name="queue model", value=_queue(simulation.queue)),
        Labelled(name="entry latency", value=_latency(simulation.entry_latency)),
        Labelled(name="response latency", value=_latency(simulation.response_latency)),
        Labelled(name="fees", value=_fees(simulation.fees)),
    )


def assumed_rules(instruments: Mapping[InstrumentId, Instrument]) -> tuple[Labelled, ...]:
    """Rules of instruments that nobody told."""
    assumed = sorted({f"{key}: {', '.join(rules.assumed)}" for key, rules in instruments.items() if rules.assumed})
    return tuple(Labelled(name="assumed instrument rules", value=text) for text in assumed)


def _versions() -> tuple[Labelled, ...]:
    names = ("numpy", "numba", "msgspec", "pyarrow")
    return (Labelled(name="stakan", value=__version__), *(Labelled(name=name, value=version(name)) for name in names))


def _latency(model: Latency) -> str:
    match model:
        case ConstantLatency():
            return f"{model.ns / MILLISECOND:g} ms, constant"
        case DrawnLatency():
            return f"log-normal, median {model.median_ns / MILLISECOND:g} ms, sigma {model.sigma:g}"
        case RecordedLatency():
            return f"{len(model.sequence_ns)} recorded delays"
        case RecordedArrivals():
            return f"the {len(model.arrivals)} recorded times of the run itself"


def _queue(model: QueueModel) -> str:
    name = model.rule.name.lower().replace("_", " ")
    return f"{name}, exponent {model.exponent:g}" if model.rule is Queue.POWER else name


def _fees(rates: FeeRates | None) -> str:
    return "each instrument's own" if rates is None else f"maker {rates.maker}, taker {rates.taker}"
