"""Log odds, in which detectors add what speaks for and against an episode."""

import math

from stakan.core.kernel import kernel


def logistic(odds: float) -> float:
    """Probability of log odds; they are cut at ±30, where it is 0 or 1 for all that anybody can tell."""
    return 1.0 / (1.0 + math.exp(-min(max(odds, -30.0), 30.0)))


logistic_kernel = kernel(logistic)
"""The same within kernels."""
