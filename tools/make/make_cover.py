"""Draw the README's picture: noise becomes garments, step by step, by the shipped network.

    python tools/make/make_cover.py

Writes book/_static/cover.png. Run it again when the shipped weights change.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from dmlib.book import plotting
from dmlib.checkpoint import load_shipped
from dmlib.guidance import conditioned
from dmlib.sampling import clipped, sample
from dmlib.steps import ddim

OUT = Path(__file__).parents[2] / "book" / "_static" / "cover.png"
CLASSES = (9, 3, 8, 7)  # ankle boot, dress, bag, sneaker
TIMES = (1000, 800, 600, 450, 300, 200, 100, 0)


@torch.no_grad()
def main() -> None:
    """Sample one garment of each class and draw its way from noise."""
    net, card = load_shipped()
    denoiser = clipped(conditioned(net, torch.tensor(CLASSES)))
    xT = torch.randn(len(CLASSES), 1, 28, 28, generator=torch.Generator().manual_seed(2))
    times = list(range(card["T"], -1, -25))
    film = {s.t: s.xt for s in sample(denoiser, xT, step=ddim(), times=times)}
    shown = torch.stack([film[t] for t in TIMES], 1).flatten(0, 1)  # (4 * 8, 1, 28, 28)
    figure, axes = plt.subplots(figsize=(7.2, 3.8))
    plotting.image_grid(axes, shown, columns=len(TIMES), labels=[f"$t$ = {t}" for t in TIMES])
    figure.savefig(OUT, dpi=110, facecolor="white", bbox_inches="tight")
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
