"""How far apart two histograms are: population stability index, Kolmogorov-Smirnov, chi-square. Pure.

Both are counts of the same classes: of the reference, and of what was found.

    psi   sum of (q - p) ln(q / p) over the classes, p and q being the shares. A share below ``LEAST_SHARE`` counts as
          that, else one empty class would make it infinite. 0.1 and 0.25 are the customary bounds of "changed a
          little" and "changed" (N. Siddiqi, Credit Risk Scorecards, Wiley 2006).
    ks    D, the largest distance of the two cumulative shares. It is taken at the ends of the classes only, so it is
          at most the D of the values themselves, and its p at least theirs: more classes, less difference. p is
          Kolmogorov's limit with Stephens' correction (M. A. Stephens, JRSS B 32, 1970; Press et al., Numerical
          Recipes, 3rd ed., 14.3.3), good from about four values on.
    chi2  Pearson's test that both are samples of one population: a table of two rows, k - 1 degrees of freedom for k
          classes that are not empty in both (Press et al., 14.4). Rough where more than a fifth of the cells expect
          less than five (W. G. Cochran, Biometrics 10, 1954).

p is the probability of a distance at least as large between two samples of the same population. With very many rows
every real difference gets a small p, however little it matters; then psi or D say more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from attrs import frozen

LEAST_SHARE = 1e-4
FEW = 5
FEW_CELLS = 0.2


@frozen
class Distance:
    """How far apart two histograms are.

    Attributes:
        statistic: the index, D or chi-square.
        p: the probability of that or more between samples of one population; None: the method has none.
        rough: whether the classes are too small for p to be trusted.
    """

    statistic: float
    p: float | None = None
    rough: bool = False


def psi(reference: Sequence[int], found: Sequence[int]) -> Distance:
    """Return the population stability index; neither histogram may be empty."""
    total = 0.0
    for was, now in zip(_shares(reference), _shares(found), strict=True):
        p, q = max(was, LEAST_SHARE), max(now, LEAST_SHARE)
        total += (q - p) * math.log(q / p)
    return Distance(total)


def ks(reference: Sequence[int], found: Sequence[int]) -> Distance:
    """Return Kolmogorov-Smirnov's D and its p; the classes are in order, and neither histogram may be empty."""
    pairs = zip(accumulate(_shares(reference)), accumulate(_shares(found)), strict=True)
    distance = max(abs(was - now) for was, now in pairs)
    m, n = sum(reference), sum(found)
    root = math.sqrt(m * n / (m + n))
    return Distance(distance, kolmogorov((root + 0.12 + 0.11 / root) * distance))


def chi2(reference: Sequence[int], found: Sequence[int]) -> Distance:
    """Return the chi-square of homogeneity and its p; neither histogram may be empty."""
    m, n = sum(reference), sum(found)
    statistic, cells, few = 0.0, 0, 0
    for was, now in zip(reference, found, strict=True):
        for count, total in ((was, m), (now, n)) if was + now else ():
            expected = total * (was + now) / (m + n)
            statistic += (count - expected) ** 2 / expected
            cells += 1
            few += expected < FEW
    degrees = cells // 2 - 1
    p = upper_gamma(degrees / 2, statistic / 2) if degrees > 0 else 1.0
    return Distance(statistic, p, rough=few > FEW_CELLS * cells)


def kolmogorov(distance: float) -> float:
    """Return the probability that Kolmogorov's limit distribution exceeds ``distance``."""
    if distance <= 0:
        return 1.0
    if distance < 1.18:  # the two forms of one series; each converges at once on its side
        terms = (math.exp(-(((2 * j - 1) * math.pi / distance) ** 2) / 8) for j in range(1, 5))
        return 1 - math.sqrt(2 * math.pi) / distance * sum(terms)
    return 2 * sum((-1.0) ** (j - 1) * math.exp(-2 * (j * distance) ** 2) for j in range(1, 5))


def upper_gamma(a: float, x: float) -> float:
    """Return the regularized upper incomplete gamma function: chi-square's p is that of half its numbers.

    A series below a + 1, a continued fraction above it (Press et al., 6.2).
    """
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-16:
            n += 1
            term *= x / n
            total += term
        return 1 - front * total
    b = x + 1 - a
    c, d = 1e300, 1 / b
    fraction = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts]
