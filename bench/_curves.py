"""The growth with the number of checks as one drawing, without a library for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 380, 60, 190, 40, 50
COLOURS = ("#9a9a9a", "#6f6f6f", "#b8b8b8", "#4d4d4d", "#c2185b", "#1565c0", "#2e7d32", "#ef6c00", "#6a1b9a", "#00838f")


def curves(panels: Mapping[str, Mapping[str, Sequence[float]]], counts: Sequence[int]) -> str:
    """Return an SVG: a panel per title, a line per contender, seconds over the number of checks, both logarithmic."""
    drawn = [_panel(title, lines, counts, i * WIDTH) for i, (title, lines) in enumerate(panels.items())]
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT}"'
    style = "<style>text{font:12px sans-serif;fill:#333} .t{font-weight:bold}</style>"
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{background}{"".join(drawn)}</svg>\n'


def _panel(title: str, lines: Mapping[str, Sequence[float]], counts: Sequence[int], offset: int) -> str:
    values = [value for line in lines.values() for value in line]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(count: int) -> float:
        share = math.log(count / counts[0]) / math.log(counts[-1] / counts[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - math.log10(value)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="t" x="{LEFT}" y="20">{title}</text>']
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    parts += [f'<text x="{x(n):.1f}" y="{HEIGHT - 28}" text-anchor="middle">{n}</text>' for n in counts]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">checks</text>')
    lowest = -math.inf
    for (name, line), colour in sorted(zip(lines.items(), COLOURS, strict=False), key=lambda one: y(one[0][1][-1])):
        points = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in zip(counts, line, strict=True))
        width = 3 if name == "dq" else 1.5
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        lowest = max(y(line[-1]) + 4, lowest + 13)  # labels do not cover each other
        shown = name.replace("Airflow's SQL check operators", "Airflow")
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{lowest:.1f}" style="fill:{colour}">{shown}</text>')
    return f'<g transform="translate({offset},0)">{"".join(parts)}</g>'
