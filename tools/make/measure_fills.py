"""How far from the exact posterior do the ways of filling a hole end, on pictures?

    python tools/make/measure_fills.py

The data are the mixture of low-rank Gaussians that is fitted to garments, the denoiser is its exact
one, and the lower half is hidden. Writes dmlib/assets/garment_fills.json.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from torch import Tensor

from dmlib.applications.inverse import (
    Measurement,
    around_the_guess,
    dps,
    pushed,
    repaint,
    replacement,
)
from dmlib.data import garment_mixture
from dmlib.mixture import LowRankMixture
from dmlib.oracle import LowRankOracle
from dmlib.parameterization import Denoiser
from dmlib.sampling import generate
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddpm

OUT = Path(__file__).parents[2] / "dmlib" / "assets" / "garment_fills.json"
TRUTHS, FILLS, STEPS, SEEDS = 10, 16, 50, (0, 1, 2)
SEEN = torch.arange(784) < 14 * 28
NOISE = 0.1  # of the measurement


def figures(hidden: Tensor, posterior: LowRankMixture, band: Tensor) -> dict[str, float]:
    """Of fills (TRUTHS * FILLS, H): where their log p lies, which Gaussians they are of, spread."""
    rows = posterior.repeated(FILLS)
    nats = rows.log_prob(hidden).view(TRUTHS, FILLS)
    low, high = band
    share = rows.posterior(hidden).view(TRUTHS, FILLS, -1).mean(1)
    spread = hidden.view(TRUTHS, FILLS, -1).std(1).square().mean(1).sqrt()
    exact = posterior.std().square().mean(1).sqrt()
    return {
        "typical": float(((nats >= low[:, None]) & (nats <= high[:, None])).double().mean()),
        "too unlikely": float((nats < low[:, None]).double().mean()),
        "total variation": float((share - posterior.weights).abs().sum(1).mean() / 2),
        "spread": float((spread / exact).mean()),
    }


def one_run(seed: int) -> dict[str, dict[str, float]]:
    """The figures of each way, from the same noise, on garments drawn anew."""
    g, schedule = torch.Generator().manual_seed(seed), cosine_schedule(1000)
    mixture = garment_mixture()
    truth = mixture.repeated(TRUTHS).sample(g)
    y = truth + NOISE * torch.randn(truth.shape, generator=g, dtype=torch.float64)
    posterior = mixture.given_seen(SEEN, y[:, SEEN], NOISE)
    own = torch.stack([posterior.log_prob(posterior.sample(g)) for _ in range(1000)])
    band = own.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
    rows = y.repeat_interleave(FILLS, 0)
    known = Measurement.seen(rows, SEEN, NOISE)
    prior = LowRankOracle(mixture, schedule=schedule)
    xT, found, calls = torch.randn(rows.shape, generator=g, dtype=torch.float64), {}, []
    watched = Denoiser(schedule, lambda xt, t: calls.append(1) or prior(xt, t))
    std = float(mixture.std().square().mean().sqrt())
    around = pushed(watched, around_the_guess(known, schedule, data_std=std))
    ways = {
        "replacement": (watched, replacement(ddpm(), known)),
        "RePaint, 5": (watched, repaint(ddpm(), known, repeats=5, generator=g)),
        "DPS, 0.3": (watched, dps(ddpm(), known, scale=0.3)),
        "DPS, 1": (watched, dps(ddpm(), known, scale=1.0)),
        "PiGDM": (around, ddpm()),
        "PiGDM, 200": (around, ddpm()),
    }
    exact = posterior.repeated(FILLS)
    found["exact samples"] = figures(exact.sample(g), posterior, band) | {"calls": 0}
    conditional = LowRankOracle(exact, schedule=schedule)
    x = generate(conditional, xT[:, ~SEEN], step=ddpm(), times=STEPS, generator=g)
    found["exact oracle"] = figures(x, posterior, band) | {"calls": STEPS}
    for name, (denoiser, rule) in ways.items():
        calls.clear()
        steps = 200 if name.endswith("200") else STEPS
        x = generate(denoiser, xT, step=rule, times=steps, generator=g)
        found[name] = figures(x[:, ~SEEN], posterior, band) | {"calls": len(calls)}
        print(seed, name, found[name], flush=True)
    return found


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    start = time.process_time()
    runs = [one_run(seed) for seed in SEEDS]
    table = {
        name: {key: [run[name][key] for run in runs] for key in runs[0][name]} for name in runs[0]
    }
    card = {
        "what": "Fills of the hidden lower half of garments drawn from the low-rank mixture, the "
        "upper half measured with noise, by its exact denoiser: shares of fills inside the band of "
        "log p that holds the middle 90 % of exact samples, and below it; total variation of the "
        "shares of its Gaussians; spread against the exact one; calls of the denoiser",
        "command": "python tools/make/measure_fills.py",
        "noise": NOISE, "garments": TRUTHS, "fills": FILLS, "steps": STEPS, "seeds": list(SEEDS),
        "cpu_seconds": round(time.process_time() - start),
        "table": table,
    }  # fmt: skip
    OUT.write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
