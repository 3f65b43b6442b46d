"""Make the gallery of "When it goes wrong": small trainings, each with one real fault.

    python tools/make_gallery.py [--train NAME ...] [--draw]

Trains what is asked for (or all), keeps the weights in runs/gallery, and with --draw samples from
them, right and wrong, and writes dmlib/assets/gallery.npz with its card. Everything is seeded.
One training takes about three minutes on one CPU core; a fault of sampling needs none of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dmlib import checkpoint, model_card
from dmlib.batches import shuffled
from dmlib.data import fashion_mnist, to_uint8, to_unit
from dmlib.gallery import GALLERY
from dmlib.guidance import conditioned
from dmlib.metrics import Features
from dmlib.presets import SMOKE, Preset
from dmlib.sampling import Denoiser, clipped, ddim, ddpm, generate, spaced_times
from dmlib.schedules import NoiseSchedule, linear_schedule
from dmlib.train_config import TrainConfig
from dmlib.training import Batch, Training

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "gallery"
CLASSES = (0, 1, 7, 8)  # T-shirt, trouser, sneaker, bag: four shapes that cannot be confused
EVERY = 10  # steps that one point of a loss curve averages
RECIPE = replace(
    SMOKE,
    name="gallery",
    purpose="recognisable garments of four classes in three minutes on one core",
    # The rate stays high to the end, as in Ho et al. 2020: then the average has work to do.
    train=TrainConfig(steps=800, warmup=50, decay="none", weighting="v", ema_decay=0.99),
    batch_size=64,
    data="fashion",
)


@dataclass(frozen=True)
class Fault:
    """One training of the gallery: the recipe it uses and what it does to net and images.

    Args:
        recipe: of the run.
        scale: what the images, in [-1, 1], become before training.
        spoil: done to the fresh network.
    """

    recipe: Preset = RECIPE
    scale: Callable[[Tensor], Tensor] = lambda x0: x0
    spoil: Callable[[nn.Module], None] = lambda net: None


def kill_top_skip(net: nn.Module) -> None:
    """Put zeros where the finest features of the way down join the way up."""
    unet = getattr(net, "net", net)
    joint = unet.up[-1].stages[0]

    def without_skip(module: nn.Module, inputs: tuple) -> tuple:
        h, *rest = inputs
        half = h.shape[1] // 2
        return (torch.cat([h[:, :half], torch.zeros_like(h[:, half:])], 1), *rest)

    joint.register_forward_pre_hook(without_skip)


def with_train(**changes: object) -> Preset:
    """The gallery's recipe with other numbers for training."""
    return replace(RECIPE, train=replace(RECIPE.train, **changes))


TRAININGS = {
    "good": Fault(),
    "eps": Fault(recipe=replace(with_train(weighting="simple"), predicts="eps")),
    # Shorter: their faults show early.
    "unscaled": Fault(recipe=with_train(steps=300), scale=lambda x0: (x0 + 1) / 2),
    "dead_skip": Fault(recipe=with_train(steps=300), spoil=kill_top_skip),
    "high_rate": Fault(recipe=with_train(steps=100, learning_rate=0.1, warmup=0)),
}


def make_net(fault: Fault) -> nn.Module:
    """The untrained network, always the same one, with the fault built in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = fault.recipe.make_net()
    fault.spoil(net)
    return net


def data(fault: Fault) -> Iterator[Batch]:
    """Endless batches of the four classes."""
    images, labels = fashion_mnist("train", progress=False)
    mine = torch.isin(labels, torch.tensor(CLASSES))
    source = shuffled(images[mine][:, None], labels[mine], batch_size=fault.recipe.batch_size)
    return ((fault.scale(x0), y) for x0, y in source)


def train(name: str) -> None:
    """Train one network and keep weights, average and curves in runs/gallery."""
    fault = TRAININGS[name]
    recipe = fault.recipe
    training = Training(make_net(fault), schedule=recipe.make_schedule(), config=recipe.train)
    start, records = time.process_time(), []
    for record in training.run(data(fault)):
        records.append(record)
        if record.step % 100 == 0:
            print(f"{name} {record.step}: loss {record.loss:.4f}", flush=True)
    tensors = {f"net.{k}": x for k, x in training.net.state_dict().items()}
    tensors |= {f"ema.{k}": x for k, x in training.ema.net.state_dict().items()}
    groups = [records[i : i + EVERY] for i in range(0, len(records), EVERY)]
    card = {
        "kind": "gallery",
        "name": name,
        "loss": [sum(r.loss for r in g) / len(g) for g in groups],
        "step": [g[-1].step for g in groups],
        "cpu_seconds": round(time.process_time() - start),
    }
    checkpoint.write(RUNS / f"{name}.safetensors", tensors, card)


def load(name: str, *, part: str = "ema") -> nn.Module:
    """A network that `train` kept: its average, or ("net") its raw weights."""
    found = checkpoint.read(RUNS / f"{name}.safetensors")
    net = make_net(TRAININGS[name])
    prefix = f"{part}."
    net.load_state_dict(
        {k.removeprefix(prefix): x for k, x in found.tensors.items() if k.startswith(prefix)}
    )
    return net.eval()


N = 40  # samples of each entry for its numbers; the first 16 are shown
SCHEDULE = RECIPE.make_schedule()
Y = torch.tensor(CLASSES).repeat(N // 4)


def noise(seed: int = 0) -> Tensor:
    """Where all walks start, or other noise of that shape."""
    return torch.randn((N, 1, 28, 28), generator=torch.Generator().manual_seed(seed))


def right_way(net: nn.Module, *, clip: bool = True, schedule: NoiseSchedule = SCHEDULE) -> Tensor:
    """50 DDIM steps from the noise, the guesses of the picture clipped."""
    denoiser = conditioned(net, Y)
    if clip:
        denoiser = clipped(denoiser, schedule=schedule)
    return generate(denoiser, noise(), schedule=schedule, step=ddim(), times=50)


def asked_at(net: nn.Module, times: list[int], shift: Callable[[int], int]) -> Tensor:
    """DDIM over `times`, but at t the network is asked as if it were shift(t)."""
    right = conditioned(net, Y)

    def denoiser(xt: Tensor, t: Tensor) -> Tensor:
        return right(xt, torch.full_like(t, shift(int(t[0]))))

    return generate(
        clipped(denoiser, schedule=SCHEDULE), noise(), schedule=SCHEDULE, step=ddim(), times=times
    )


def beta_for_root(net: nn.Module) -> Tensor:
    """DDPM, 250 steps, but the noise is multiplied with sigma^2 where sigma belongs."""
    rule = ddpm()

    def wrong(xt: Tensor, eps_hat: Tensor, noise: Tensor, *, t: int, t_prev: int, schedule):
        still = torch.zeros_like(xt)
        mean = rule(xt, eps_hat, still, t=t, t_prev=t_prev, schedule=schedule)
        bar, bar_prev = schedule.alpha_bar[t], schedule.alpha_bar[t_prev]
        beta_tilde = (1 - bar_prev) / (1 - bar) * (1 - bar / bar_prev)  # 0 in the last step
        return mean + beta_tilde.float() * noise  # should be its root

    return _walk(clipped(conditioned(net, Y), schedule=SCHEDULE), wrong, 250)


def noise_at_the_end(net: nn.Module) -> Tensor:
    """DDPM, 20 steps, and noise is added in the last one, too."""
    rule = ddpm("beta")

    def wrong(xt: Tensor, eps_hat: Tensor, noise: Tensor, *, t: int, t_prev: int, schedule):
        x_prev = rule(xt, eps_hat, noise, t=t, t_prev=t_prev, schedule=schedule)
        alpha = schedule.alpha_bar[t] / schedule.alpha_bar[t_prev]
        return x_prev + (1 - alpha).sqrt().float() * noise if t_prev == 0 else x_prev

    return _walk(clipped(conditioned(net, Y), schedule=SCHEDULE), wrong, 20)


def _walk(denoiser: Denoiser, rule: Callable, steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return generate(
        denoiser, noise(), schedule=SCHEDULE, step=rule, times=steps, generator=generator
    )


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
    yield "by_one_step", "good", asked_at(good, times, lambda t: max(t - 1, 1))
    yield "by_one_place", "good", asked_at(good, times, lambda t: max(before[t], 1))
    yield "beta_for_root", "good", beta_for_root(good)
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
        "command": "python tools/make_gallery.py --train --draw",
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
