"""What judged findings say of a new one that resembles them."""

from collections import defaultdict
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stakan.core.domain.findings import Finding, Pattern
from stakan.core.domain.patterns import Known, PatternLibrary

Floats = npt.NDArray[np.float64]

_LEAST_SCALE = 0.1
"""Share of the mean magnitude of a number below which differences of it say nothing."""


class Judgement(NamedTuple):
    """What known patterns say of a finding."""

    score: float
    """-1 (all that resemble it only looked so) to 1."""
    resembling: int
    """How many were asked."""


_Kind = tuple[str, Pattern, tuple[str, ...]]
"""What is comparable: same detector, same pattern, the same numbers as evidence."""


class Patterns:
    """A library, made ready to be asked: derived from the configuration alone, holds no state.

    The distance of two findings is the root of the mean squared difference of their numbers, each in units of its
    typical difference: the standard deviation among the known ones of the kind, at least a tenth of their mean
    magnitude.
    """

    def __init__(self, library: PatternLibrary) -> None:
        self._library = library
        kinds: dict[_Kind, list[Known]] = defaultdict(list)
        for one in library.known:
            if not one.evidence:
                continue  # nothing to compare
            kinds[_kind(one.detector, one.pattern, one.evidence)].append(one)
        self._kinds = {kind: _table(kind, known) for kind, known in kinds.items()}

    def judge(self, finding: Finding) -> Judgement:
        """How those that resemble a finding most were judged, each weighing less the farther away it is."""
        kind = _kind(finding.detector, finding.pattern, finding.evidence)
        table = self._kinds.get(kind)
        if table is None:
            return Judgement(0.0, 0)
        numbers, scales, verdicts = table
        mine = np.array([finding.evidence[name] for name in kind[2]])
        with np.errstate(over="ignore"):  # farther than can be told is far enough
            distances = np.sqrt(np.mean(((numbers - mine) / scales) ** 2, axis=1))
        # Ties in the order of the library, so that the answer is one.
        nearest = np.argsort(distances, kind="stable")[: self._library.nearest]
        nearest = nearest[distances[nearest] <= self._library.radius]
        if not len(nearest):
            return Judgement(0.0, 0)
        closeness = 1.0 - distances[nearest] / self._library.radius
        # Divided by their number, not by their closeness: far ones say little, however many.
        return Judgement(float(np.sum(closeness * verdicts[nearest]) / len(nearest)), len(nearest))

    def weigh(self, finding: Finding) -> Finding:
        """The finding with its confidence raised by a repeat of what was real, lowered by a repeat of what was not.

        What was judged is added to its evidence: `known_patterns`, `known_score`.
        """
        score, resembling = self.judge(finding)
        if not resembling:
            return finding
        confidence = finding.confidence
        room = 1.0 - confidence if score > 0 else confidence
        return msgspec.structs.replace(
            finding,
            confidence=confidence + self._library.most * score * room,
            evidence={**finding.evidence, "known_patterns": float(resembling), "known_score": score},
        )


_OURS = ("known_patterns", "known_score")


def _kind(detector: str, pattern: Pattern, evidence: dict[str, float]) -> _Kind:
    return detector, pattern, tuple(sorted(name for name in evidence if name not in _OURS))


def _table(kind: _Kind, known: list[Known]) -> tuple[Floats, Floats, Floats]:
    numbers = np.array([[one.evidence[name] for name in kind[2]] for one in known], np.float64)
    scales = np.maximum(np.std(numbers, axis=0), _LEAST_SCALE * np.mean(np.abs(numbers), axis=0))
    scales[scales == 0.0] = 1.0
    return numbers, scales, np.array([one.verdict for one in known])
