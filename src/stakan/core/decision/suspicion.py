"""What findings do to a signal: one that leans on a suspicious level is refused, one that follows a pretence is weaker."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.findings import Finding
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Nanos


class Suspicion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long findings count, and how much."""

    memory_ns: Nanos = Nanos(30 * SECOND)
    """A finding counts for so long, in exchange time."""
    veto: float = 0.8
    """Confidence from which on a signal that leans on the suspicious price is refused; above 1: never."""
    weight: float = 0.5
    """Share of its strength that a signal loses to a finding of confidence 1; 0: nothing."""

    def __post_init__(self) -> None:
        if not self.memory_ns >= 0:
            raise ConfigError(f"suspicion.memory must not be negative, got {self.memory_ns} ns")
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"suspicion.weight must be between 0 and 1, got {self.weight}")
        if not self.veto >= 0:
            raise ConfigError(f"suspicion.veto must not be negative, got {self.veto}")


class Weighed(NamedTuple):
    """A signal as it is after findings, and why it must not be followed at all, if so."""

    signal: Signal
    veto: str | None = None


def weigh(signal: Signal, findings: Sequence[Finding], rules: Instrument, params: Suspicion, now: int) -> Weighed:
    """The signal weakened by the most confident finding that it follows, or with the reason of its veto.

    A finding of one side speaks against signals of that side, as what it shows suggests their direction; one of neither
    side (stuffed quotes, wash trades) makes book or tape doubtful for both. `now` is exchange time.
    """
    against = [one for one in _recent(findings, now - params.memory_ns) if one.side in (None, signal.side)]
    if not against:
        return Weighed(signal)
    leaned_on = max((one for one in against if _lies_in(signal, one)), key=_confidence, default=None)
    if leaned_on is not None and leaned_on.confidence >= params.veto:
        return Weighed(signal, f"leans on {_told(leaned_on, rules)}")
    worst = max(against, key=_confidence)
    doubt = params.weight * worst.confidence
    if doubt == 0:
        return Weighed(signal)
    strength = signal.strength * (1.0 - doubt)
    reasons = (*signal.reasons, f"strength {signal.strength:.2f} to {strength:.2f}: {_told(worst, rules)}")
    return Weighed(msgspec.structs.replace(signal, strength=strength, doubt=doubt, reasons=reasons))


def _recent(findings: Sequence[Finding], since: int) -> Iterable[Finding]:
    """Findings are kept oldest first: the newest ones are at the end."""
    for finding in reversed(findings):
        if finding.ts_event < since:
            return
        yield finding


def _lies_in(signal: Signal, finding: Finding) -> bool:
    price, low, high = signal.leans_on, finding.low, finding.high
    return price is not None and low is not None and high is not None and low <= price <= high


def _confidence(finding: Finding) -> float:
    return finding.confidence


def _told(finding: Finding, rules: Instrument) -> str:
    low, high = finding.low, finding.high
    where = f" at {rules.price(low)} to {rules.price(high)}" if low is not None and high is not None else ""
    side = f" of {finding.side.name.lower()}s" if finding.side is not None else ""
    return f"{finding.pattern.value}{side}{where}, confidence {finding.confidence:.2f} ({finding.detector})"
