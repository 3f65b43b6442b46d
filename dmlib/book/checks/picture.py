"""Small inline pictures of expected against found: SVG written by hand, no plotting library."""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH, HEIGHT, PAD = 300, 170, 22


def curve(expected: Tensor, found: Tensor) -> str:
    """Two tables (N,) over their index: expected as a line, found as a dashed line."""
    lo, hi = _limits(expected, found)
    index = torch.arange(len(expected), dtype=torch.float64) / max(len(expected) - 1, 1)
    step = max(len(expected) // 150, 1)
    lines = [
        _polyline(index[::step], (values[::step] - lo) / (hi - lo), style)
        for values, style in (
            (expected, "stroke='currentColor' stroke-width='2'"),
            (found, "stroke='#d2691e' stroke-width='2.5' stroke-dasharray='6 4'"),
        )
    ]
    text = _text(PAD, 14, "line: expected   dashes: found   (over the index)")
    label = f"Expected and found over the index, from {lo:.3g} to {hi:.3g}."
    return _svg("".join(lines) + text, label)


def scatter(expected: Tensor, found: Tensor) -> str:
    """Found over expected, element by element: what is right lies on the diagonal."""
    expected, found = expected.flatten()[:200], found.flatten()[:200]
    lo, hi = _limits(expected, found)
    diagonal = torch.tensor([0.0, 1.0], dtype=torch.float64)
    points = "".join(
        f"<circle cx='{_x((e - lo) / (hi - lo)):.1f}' cy='{_y((f - lo) / (hi - lo)):.1f}' r='2.5' "
        "fill='#d2691e' fill-opacity='.8'/>"
        for e, f in zip(expected.tolist(), found.tolist(), strict=True)
    )
    line = _polyline(diagonal, diagonal, "stroke='currentColor' stroke-width='1.5'")
    text = _text(PAD, 14, "found (up) over expected (right); right = on the line")
    label = "Found over expected, one dot an element; right answers lie on the diagonal."
    return _svg(line + points + text, label)


def _limits(*values: Tensor) -> tuple[float, float]:
    every = torch.cat([v.flatten() for v in values])
    lo, hi = float(every.min()), float(every.max())
    return (lo, hi) if hi > lo else (lo - 0.5, hi + 0.5)


def _x(u: float) -> float:
    return PAD + u * (WIDTH - 2 * PAD)


def _y(v: float) -> float:
    return HEIGHT - 8 - v * (HEIGHT - PAD - 12)


def _polyline(u: Tensor, v: Tensor, style: str) -> str:
    points = " ".join(
        f"{_x(a):.1f},{_y(b):.1f}" for a, b in zip(u.tolist(), v.tolist(), strict=True)
    )
    return f"<polyline fill='none' {style} points='{points}'/>"


def _text(x: float, y: float, words: str) -> str:
    return f"<text x='{x}' y='{y}' font-size='10' fill='currentColor'>{words}</text>"


def _svg(body: str, label: str) -> str:
    return (
        f"<svg role='img' aria-label='{label}' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' "
        f"style='max-width:100%;display:block'>{body}</svg>"
    )
