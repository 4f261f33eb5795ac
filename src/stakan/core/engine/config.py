"""What an engine is built from: values only, frozen for the life of a run."""

from decimal import Decimal

import msgspec

from stakan.core.decision.sizing import Sizing
from stakan.core.decision.suspicion import Suspicion
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.trading import Orphans
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos
from stakan.core.features.further import FeatureSet
from stakan.core.features.params import FeatureParams
from stakan.core.market.densities import DensityParams
from stakan.core.plugins import Detector, RiskRule, Strategy


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of one engine; durations in nanoseconds."""

    account: str = "main"
    run_epoch: str = "0"
    """Made with a new state directory, kept in the journal header: client order ids derive from it."""
    starting_balance: Decimal = Decimal(10_000)
    leverage: Decimal = Decimal(10)
    strategies: tuple[tuple[str, Strategy], ...] = ()
    """Name and spec; the name is what configuration, records and reports call it."""
    feature_sets: tuple[tuple[str, FeatureSet], ...] = ()
    """Beside the 110; name and spec, as of strategies."""
    detectors: tuple[tuple[str, Detector], ...] = ()
    """Name and spec, as of strategies."""
    suspicion: Suspicion = Suspicion()
    risk_rules: tuple[tuple[str, RiskRule], ...] = ()
    sizing: Sizing = Sizing()
    densities: DensityParams = DensityParams()
    """Of every instrument without thresholds of its own."""
    instrument_densities: dict[InstrumentId, DensityParams] = {}
    features: FeatureParams = FeatureParams()
    decision_interval_ns: Nanos = Nanos(500 * MILLISECOND)
    """Grid in exchange time; 0 decides on every book message."""
    candle_interval_ns: Nanos = MINUTE
    min_strength: float = 0.5
    min_book_health: float = 0.5
    """Entries need a book at least this healthy, 0 to 1."""
    entry_timeout_ns: Nanos = Nanos(10 * SECOND)
    """A resting entry is cancelled after this long."""
    protection_timeout_ns: Nanos = Nanos(3 * SECOND)
    """A position without a confirmed stop is closed after this long."""
    close_retry_ns: Nanos = SECOND
    """Pause before a close that did not reach zero is repeated."""
    cooldown_ns: Nanos = Nanos(5 * SECOND)
    """Pause between a closed position and the next entry in the same instrument."""
    equity_interval_ns: Nanos = SECOND
    """How often equity is marked and daily loss checked."""
    max_feed_age_ns: Nanos = Nanos(5 * SECOND)
    """A book older than this is not traded on."""
    orphans: Orphans = Orphans.CLOSE
    orphan_stop_bps: float = 100.0
    """Distance of a stop that is put for a position whose own is not known."""

    @property
    def follows_densities(self) -> bool:
        """Whether some strategy looks at densities."""
        return any(spec.reads_densities for _, spec in self.strategies)

    @property
    def plugins(self) -> tuple[tuple[str, msgspec.Struct], ...]:
        """Name and spec of all of them."""
        return (*self.strategies, *self.feature_sets, *self.detectors, *self.risk_rules)

    def densities_of(self, instrument: InstrumentId) -> DensityParams:
        """What makes a density in one instrument."""
        return self.instrument_densities.get(instrument, self.densities)
