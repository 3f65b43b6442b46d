"""Make the gallery of "When it goes wrong": small trainings, each with one real fault.

    python tools/make/make_gallery.py [--train NAME ...] [--draw]

Trains what is asked for (or all), keeps the weights in runs/gallery, and with --draw samples from
them, right and wrong, and writes dmlib/assets/gallery.npz with its card. Everything is seeded.
All trainings together take about ten minutes on one CPU core; a fault of sampling needs none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import torch
from gallery_trainings import CLASSES, RECIPE, RUNS, TRAININGS, load, train
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.book.gallery import GALLERY
from dmlib.data import to_uint8, to_unit
from dmlib.guidance import conditioned
from dmlib.metrics import Features
from dmlib.parameterization import Denoiser, Guess, guess_from_eps
from dmlib.sampling import clipped, generate, spaced_times
from dmlib.schedules import NoiseSchedule, linear_schedule
from dmlib.steps import Move, ddim, ddpm
from dmlib.training import model_card

N = 40  # samples of each entry for its numbers; the first 16 are shown
SCHEDULE = RECIPE.make_schedule()
Y = torch.tensor(CLASSES).repeat(N // 4)


def noise(seed: int = 0) -> Tensor:
    """Where all walks start, or other noise of that shape."""
    return torch.randn((N, 1, 28, 28), generator=torch.Generator().manual_seed(seed))


def right_way(
    net: nn.Module, *, clip: bool = True, schedule: NoiseSchedule = SCHEDULE, steps: int = 50
) -> Tensor:
    """DDIM from the noise, the guesses of the picture clipped."""
    right = conditioned(net, Y)

    def look(xt: Tensor, t: Tensor) -> Guess:
        return guess_from_eps(right(xt, t).eps_hat, xt, t, schedule=schedule)

    denoiser = right if schedule is SCHEDULE else Denoiser(schedule, look)
    if clip:
        denoiser = clipped(denoiser)
    return generate(denoiser, noise(), step=ddim(), times=steps)


def right_ddpm(net: nn.Module, *, variance: str, steps: int) -> Tensor:
    """DDPM as it should be: the other half of the two faults that follow."""
    return _walk(clipped(conditioned(net, Y)), ddpm(variance), steps)


def asked_at(net: nn.Module, times: list[int], shift: Callable[[int], int]) -> Tensor:
    """DDIM over `times`, but at t the network is asked as if it were shift(t)."""
    right = conditioned(net, Y)

    def look(xt: Tensor, t: Tensor) -> Guess:
        eps_hat = right(xt, torch.full_like(t, shift(int(t[0])))).eps_hat
        return guess_from_eps(eps_hat, xt, t, schedule=SCHEDULE)

    return generate(clipped(Denoiser(SCHEDULE, look)), noise(), step=ddim(), times=times)


def beta_for_root(net: nn.Module) -> Tensor:
    """DDPM, 250 steps, but the noise is multiplied with sigma^2 where sigma belongs."""
    rule = ddpm()

    def wrong(xt: Tensor, guess: Guess, noise: Tensor, move: Move) -> Tensor:
        mean = rule(xt, guess, torch.zeros_like(xt), move)
        bar, bar_prev = SCHEDULE.alpha_bar[move.t], SCHEDULE.alpha_bar[move.t_prev]
        beta_tilde = (1 - bar_prev) / (1 - bar) * (1 - bar / bar_prev)  # 0 in the last step
        return mean + beta_tilde.float() * noise  # should be its root

    return _walk(clipped(conditioned(net, Y)), wrong, 250)


def noise_at_the_end(net: nn.Module) -> Tensor:
    """DDPM, 20 steps, and noise is added in the last one, too."""
    rule = ddpm("beta")

    def wrong(xt: Tensor, guess: Guess, noise: Tensor, move: Move) -> Tensor:
        x_prev = rule(xt, guess, noise, move)
        alpha = SCHEDULE.alpha_bar[move.t] / SCHEDULE.alpha_bar[move.t_prev]
        return x_prev + (1 - alpha).sqrt().float() * noise if move.t_prev == 0 else x_prev

    return _walk(clipped(conditioned(net, Y)), wrong, 20)


def _walk(denoiser: Denoiser, rule: Callable, steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return generate(denoiser, noise(), step=rule, times=steps, generator=generator)


def entries() -> Iterator[tuple[str, str, Tensor]]:
    """(name, training, samples) of everything in the gallery."""
    good, times = load("good"), spaced_times(SCHEDULE.T, 20)
    before = dict(zip(times, [*times[1:], 1], strict=True))
    yield "good", "good", right_way(good)
    yield "unscaled", "unscaled", right_way(load("unscaled"))
    yield "high_rate", "high_rate", right_way(load("high_rate"))
    yield "dead_skip", "dead_skip", right_way(load("dead_skip"))
    yield "no_average", "good", right_way(load("good", part="net"))
    yield "wrong_schedule", "good", right_way(good, schedule=linear_schedule(SCHEDULE.T))
    yield "no_average_before", "good", right_way(load("good_before", part="net"))
    yield "good_before", "good", right_way(load("good_before"))
    yield "ddim_20", "good", right_way(good, steps=20)
    yield "by_one_step", "good", asked_at(good, times, lambda t: max(t - 1, 1))
    yield "by_one_place", "good", asked_at(good, times, lambda t: max(before[t], 1))
    yield "ddpm_250", "good", right_ddpm(good, variance="beta_tilde", steps=250)
    yield "beta_for_root", "good", beta_for_root(good)
    yield "ddpm_20", "good", right_ddpm(good, variance="beta", steps=20)
    yield "noise_at_the_end", "good", noise_at_the_end(good)
    yield "unclipped", "eps", right_way(load("eps"), clip=False)
    yield "clipped", "eps", right_way(load("eps"))


def facts(x: Tensor, judge: Features) -> dict[str, float]:
    """Numbers that tell faults apart, each of all samples together."""
    shown = x.clamp(-1, 1)
    across = (shown[..., 1:] - shown[..., :-1]).abs().mean()
    seen = judge.classify(to_unit(to_uint8(x))).argmax(1)
    numbers = {
        "darkest": x.flatten(1).quantile(0.1, dim=1).mean(),
        "grain": across,
        "outside": (x.abs() > 1.05).float().mean(),
        "recognised": (seen == Y).float().mean(),
    }
    return {name: round(float(value), 4) for name, value in numbers.items()}


def draw() -> None:
    """Sample everything and write the asset with its card."""
    judge, pictures, found = Features.trained(), [], []
    for name, training, x in entries():
        x = torch.nan_to_num(x, nan=0.0, posinf=1e6, neginf=-1e6)
        pictures.append(to_uint8(x[:16]).numpy())
        found.append({"name": name, "training": training, **facts(x, judge)})
        print(found[-1], flush=True)
    curves, cost = {}, {}
    for name in TRAININGS:
        card = checkpoint.read(RUNS / f"{name}.safetensors").card
        curves[f"loss_{name}"] = np.array(card["loss"], np.float32)
        curves[f"step_{name}"] = np.array(card["step"], np.int32)
        cost[name] = card["cpu_seconds"]
    np.savez_compressed(GALLERY, samples=np.stack(pictures), **curves)
    card = {
        "what": "small trainings with one fault each, and right and wrong samples of them",
        "data": model_card.DATA["fashion"] + f"; classes {CLASSES} only",
        "licence": "MIT",
        "entries": found,
        "recipe": asdict(RECIPE),
        "samples": f"numbers of {N} samples, 16 of them shown, classes {CLASSES} in turn",
        "cpu_seconds": cost,
        "command": "python tools/make/make_gallery.py --train --draw",
        "revision": model_card.revision(),
        "device": model_card.device_name(torch.device("cpu")),
        "torch": torch.__version__,
        "seed": 0,
        "bytes": GALLERY.stat().st_size,
        "sha256": hashlib.sha256(GALLERY.read_bytes()).hexdigest(),
    }
    GALLERY.with_suffix(".json").write_text(json.dumps(card, indent=1), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", nargs="*", choices=list(TRAININGS), metavar="NAME")
    parser.add_argument("--draw", action="store_true")
    args = parser.parse_args()
    names = list(TRAININGS) if args.train == [] else args.train or []
    for name in names:
        train(name)
    if args.draw:
        draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
