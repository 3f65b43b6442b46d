"""How good are the networks that are shown a picture? Figures, cards, and weights to ship.

    python tools/make/measure_translation.py super_resolution
    python tools/make/measure_translation.py outlines

On 500 garments of the test split, with the weights as they are shipped (float16). Writes
dmlib/assets/<task>_unet.safetensors with its card, and <task>_run.npz, what the regression twin
and the longer ways say of the hundred garments that the page shows.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from train_translation import NET, RUNS, TASKS, T

from dmlib import checkpoint
from dmlib.applications.inverse import Measurement, dps
from dmlib.applications.translation import (
    block_posterior,
    first_guess,
    outline,
    psnr,
    shrunk,
    translate,
)
from dmlib.checkpoint import load_shipped
from dmlib.data import fashion_mnist, garment_mixture, to_uint8, to_unit, unseen_garments
from dmlib.guidance import conditioned
from dmlib.metrics.judge import Judge
from dmlib.models import predicts_v
from dmlib.models.picture_unet import PictureUNet
from dmlib.sampling import clipped, generate
from dmlib.schedules import cosine_schedule
from dmlib.steps import Step, ddim, ddpm
from dmlib.training import model_card

ASSETS = Path(__file__).resolve().parents[2] / "dmlib" / "assets"
STEPS, SLICE = 20, 100
Way = Callable[[Tensor, Tensor], Tensor]  # (garments, what is shown of them) -> pictures


def in_slices(way: Way, x: Tensor, y: Tensor) -> Tensor:
    """The way, a hundred pictures at a time."""
    with torch.no_grad():
        parts = [way(*some) for some in zip(x.split(SLICE), y.split(SLICE), strict=True)]
    return torch.cat(parts).float().clamp(-1, 1)


def ways_of(task: str, net: PictureUNet, twin: PictureUNet, n: int) -> dict[str, Way]:
    """All ways from y to a picture, by name."""
    generator = torch.Generator().manual_seed(1)
    model = predicts_v(net, cosine_schedule(T)).eval()
    sample = lambda x, y: translate(model, y, generator=generator, times=STEPS)  # noqa: E731
    ways: dict[str, Way] = {
        "regression": lambda x, y: -twin(torch.zeros_like(x), T, y),
        "first guess": lambda x, y: first_guess(model, y, generator=generator),
        "one sample": sample,
        f"mean of {n}": lambda x, y: sum(sample(x, y) for _ in range(n)) / n,
    }
    if task == "super_resolution":
        plain, mixture = clipped(load_shipped()[0]), garment_mixture()

        def pushed(x: Tensor, y: Tensor) -> Tensor:
            A = shrunk(torch.eye(784).view(784, 1, 28, 28)).flatten(1).mT
            known = Measurement(A, shrunk(y).flatten(1))
            xT = torch.randn(x.shape, generator=generator)
            return generate(plain, xT, step=dps(ddpm(), known), times=50, generator=generator)

        ways |= {
            "nearest": lambda x, y: y,
            "bicubic": lambda x, y: F.interpolate(shrunk(y), scale_factor=4, mode="bicubic"),
            "DPS": pushed,
            "mixture, mean": lambda x, y: block_posterior(mixture, shrunk(y)).mean(),
            "mixture, sample": lambda x, y: block_posterior(mixture, shrunk(y)).sample(generator),
        }
    return ways


def variation(net: PictureUNet, x: Tensor, y: Tensor, step: Step, times: int) -> dict[str, float]:
    """Error of a sample over that of the mean of many: 2 for exact samples (eq-three-decibels).

    From two samples of each garment: half of their square distance is the samples' own variance,
    and what is left of their error is that of their mean. The spread is over tenths of x.
    """
    generator = torch.Generator().manual_seed(2)
    model = predicts_v(net, cosine_schedule(T)).eval()

    def walk(x: Tensor, y: Tensor) -> Tensor:
        xT = torch.randn(x.shape, generator=generator)
        heard = clipped(conditioned(model, y))
        return generate(heard, xT, step=step, times=times, generator=generator)

    one, other = in_slices(walk, x, y), in_slices(walk, x, y)
    error = ((one - x).square() + (other - x).square()).flatten(1).mean(1) / 2
    own = (one - other).square().flatten(1).mean(1) / 2
    tenths = torch.stack(
        [
            e.mean() / (e.mean() - o.mean())
            for e, o in zip(error.chunk(10), own.chunk(10), strict=True)
        ]
    )
    return {
        "ratio": round(float(error.mean() / (error.mean() - own.mean())), 3),
        "ratio_error": round(float(tenths.std()) / 10**0.5, 3),
    }


def agreement(x: Tensor, y: Tensor) -> float:
    """Of the lines drawn in x and in y (F1 score): how many they share."""
    mine, asked = outline(x) > 0, y > 0
    return float(2 * (mine & asked).sum() / (mine.sum() + asked.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--n", type=int, default=500, help="garments that are measured")
    parser.add_argument("--samples", type=int, default=32, help="of which the mean is taken")
    given = parser.parse_args()
    task, n, samples = given.task, given.n, given.samples
    torch.set_num_threads(1)
    begin, cpu = time.perf_counter(), time.process_time()
    trained, taught = (
        checkpoint.read(RUNS / f"{n}.safetensors") for n in (task, f"{task}_regression")
    )
    half = {name: x.half() for name, x in trained.tensors.items()}
    net, twin = PictureUNet(NET).eval(), PictureUNet(NET).eval()
    net.load_state_dict({name: x.float() for name, x in half.items()})
    twin.load_state_dict(taught.tensors)

    test, labels = (x[:n] for x in fashion_mnist("test"))
    truth = to_unit(test).view(-1, 1, 28, 28)
    train = to_unit(fashion_mnist("train")[0][:10_000]).view(-1, 1, 28, 28)
    judge = Judge(to_unit(fashion_mnist("test")[0]).view(-1, 1, 28, 28))
    floor = judge.floor(train, n=n)
    y = TASKS[task](truth)
    shown = to_unit(unseen_garments()).view(-1, 1, 28, 28)
    table, arrays = {}, {}
    for name, way in ways_of(task, net, twin, samples).items():
        start = time.process_time()
        x = in_slices(lambda x, y, way=way: way(x, y).view(x.shape), truth, y)
        spent = time.process_time() - start
        square = (x - truth).square().flatten(1).mean(1)
        score = judge.score(x, labels.long())
        table[name] = {
            "psnr": round(float(psnr(x, truth).mean()), 3),
            "psnr_error": round(float(psnr(x, truth).std()) / n**0.5, 3),
            "square": round(float(square.mean()), 5),
            "square_error": round(float(square.std()) / n**0.5, 5),
            "frechet": round(score.distance, 3),
            "frechet_spread": round(score.spread, 3),
            "recognised": round(score.recognised, 3),
            "cpu_seconds": round(spent, 1),
        }
        if task == "super_resolution":
            off = shrunk(x) - shrunk(truth)
            table[name]["off the blocks"] = round(float(off.square().mean().sqrt()), 4)
        else:
            table[name]["agreement"] = round(agreement(x, y), 3)
        print(name, table[name], flush=True)
        if name in ("regression", "DPS", f"mean of {samples}"):
            few = shown if name == "regression" else shown[:20]
            x = in_slices(lambda x, y, way=way: way(x, y).view(x.shape), few, TASKS[task](few))
            arrays[name] = to_uint8(x).numpy()

    few = min(n, 250)
    rules = {"ddim": ddim(), "ddpm": ddpm()}
    ratios = {
        f"{name}, {times} steps": variation(net, truth[:few], y[:few], rules[name], times)
        for name, times in (("ddim", 20), ("ddim", 60), ("ddpm", 60))
    }
    print(ratios, flush=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (ASSETS / f"{task}_run.npz").write_bytes(buffer.getvalue())
    told = ("task", "batch", "config", "given", "step", "cpu_seconds", "train")
    card = {k: trained.card[k] for k in told} | {
        "predicts": "v",
        "schedule": "cosine",
        "T": T,
        "parameters": sum(x.numel() for x in half.values()),
        "licence": "MIT",
        "losses": trained.card["losses"][:: max(1, len(trained.card["losses"]) // 100)],
        "data": "Fashion-MNIST, 60,000 training images, every other one mirrored (MIT licence)",
        "command": f"python tools/make/train_translation.py {task}",
        "twin": {k: taught.card[k] for k in ("step", "cpu_seconds")},
        "measured": {
            "n": n,
            "samples": samples,
            "sampler": f"ddim, {STEPS} steps, x0_hat clipped to [-1, 1]",
            "garments": f"the first {n} of the test split",
            "floor": {"mean": float(floor.mean()), "std": float(floor.std())},
            "table": table,
            "ratios": ratios,
            "ratios_of": few,
            "spread": "psnr and square: standard error; frechet: bootstrap of the samples",
            "device": model_card.device_name(torch.device("cpu")),
            "seconds": round(time.perf_counter() - begin),
            "cpu_seconds": round(time.process_time() - cpu),
            "torch": torch.__version__,
        },
    }
    checkpoint.write(ASSETS / f"{task}_unet.safetensors", half, card)
    print(json.dumps(card["measured"], indent=1))


if __name__ == "__main__":
    main()
