"""How sure a share is that was counted on few rows: Wilson's score interval.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
Statistical Association 22 (1927), 209-212.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def lower_bound(part: int, whole: int, confidence: float) -> float:
    """Return the share that the true one exceeds with that one-sided confidence.

    Args:
        part: how many of the rows.
        whole: all rows; at least one.
        confidence: e.g. 0.95, between 0.5 and 1.
    """
    z = NormalDist().inv_cdf(confidence)
    share, spread = part / whole, z * z / whole
    middle = share + spread / 2
    return max(0.0, (middle - z * sqrt(share * (1 - share) / whole + spread / (4 * whole))) / (1 + spread))
