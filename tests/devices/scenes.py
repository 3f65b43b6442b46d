"""What is done on the emulated device, one scene after another: scenes.py CAPABILITY [NAME...]

A process of its own; tests/devices/test_devices.py starts it and looks at what it found. Prints
JSON: for each scene its findings, or the error that ended it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import emulator  # before torch
import torch

import dmlib.training.session as session_module
from dmlib import checkpoint
from dmlib.book.widgets import Sampler
from dmlib.data import fashion_sample, to_unit
from dmlib.guidance import conditioned, guided
from dmlib.metrics import frechet_floor, frechet_spread, nearest_neighbours
from dmlib.metrics.features import Features, features_of
from dmlib.metrics.judge import Judge, class_samples
from dmlib.models import UNetConfig, predicts_v
from dmlib.sampling import clipped, generate, sample
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddim, ddpm, dpm_solver
from dmlib.training import resume
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.device import OneDevice, dtype_of
from dmlib.training.estimate import memory_of
from dmlib.training.loop import Diverged, Training
from dmlib.training.recipes import BIG, SMOKE, T4, choose_recipe
from dmlib.training.session import Session

DEVICE = emulator.KIND
TINY = replace(
    SMOKE,
    name="tiny",
    net=UNetConfig(widths=(8,), blocks=1, attention=(7,), heads=2, emb_dim=8, num_classes=10,
                   patch=4, dropout=0.2),
    train=TrainConfig(steps=6, warmup=2, weighting="v", ema_decay=0.9),
    batch_size=8,
    preview_every=3,
    save_every=3,
    log_every=2,
)  # fmt: skip
SCENES: list[Callable[[], Any]] = []


def scene(function: Callable[[], Any]) -> Callable[[], Any]:
    SCENES.append(function)
    return function


def make_training(recipe=TINY, device: str = DEVICE, **changes: Any) -> Training:
    torch.default_generator.manual_seed(0)
    config = replace(recipe.train, **changes)
    return Training(recipe.make_denoiser(), config=config, accelerator=OneDevice(device))


def batches(start: int = 0):
    images, labels = fashion_sample()
    return shuffled(images[:64, None], labels[:64], batch_size=8, start=start)


def state(training: Training) -> dict[str, torch.Tensor]:
    return {k: x.cpu() for k, x in resume.state(training)[0].items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def counted(work: Callable[[], Any]) -> dict[str, int]:
    emulator.events.clear()
    emulator.where.clear()
    work()
    found = {k: n for k, n in emulator.events.items() if k != "kernel"}
    return found | {"where": [f"{n} {k}" for k, n in emulator.where.items()]}


@scene
def reads_and_copies_of_a_training_step():
    run = make_training().run(batches())
    next(run), next(run)
    return counted(lambda: next(run))


@scene
def reads_and_copies_of_a_float16_step():
    if DEVICE != "cuda":
        return {}
    run = make_training(precision="float16").run(batches())
    next(run), next(run)
    return counted(lambda: next(run))


@scene
def reads_and_copies_of_a_sampling_step():
    found = {}
    net, y = make_training().ema.net, torch.arange(4, device=DEVICE)
    rules = {"ddim": ddim(), "ddpm": ddpm(), "dpm_solver": dpm_solver()}
    for name, rule in rules.items():
        xT = torch.randn(4, 1, 28, 28, device=DEVICE)
        denoiser = clipped(guided(net, y, guidance_scale=2.0))
        walk = sample(denoiser, xT, step=rule, times=8)
        next(walk), next(walk)
        found[name] = counted(lambda walk=walk: next(walk))
    return found


@scene
def float16_and_bfloat16_train_as_float32_does():
    """Largest relative difference of the loss in eight steps."""
    losses = {}
    kinds = ("float32", "bfloat16", "float16") if DEVICE == "cuda" else ("float32", "bfloat16")
    for precision in kinds:
        training = make_training(precision=precision)
        losses[precision] = [r.loss for r in islice(training.run(batches()), 6)]
    truth = losses.pop("float32")
    off = {k: max(abs(a / b - 1) for a, b in zip(v, truth, strict=True)) for k, v in losses.items()}
    return off | {"auto": str(dtype_of("auto", DEVICE)), "fell": truth[-1] < truth[0]}


@scene
def a_bad_step_changes_no_weight():
    """The fifth answer is NaN: what is left, what is said, and whether it can be saved."""
    training, calls = make_training(), []

    def spoil(net, args, answer):
        calls.append(1)
        return answer * float("nan") if len(calls) == 5 else answer

    training.net.net.register_forward_hook(spoil)
    run = training.run(batches())
    for _ in range(4):
        next(run)
    before = {k: x.clone() for k, x in training.net.state_dict().items()}
    said, refused = "", False
    try:
        next(run)
        try:
            resume.state(training)
        except Diverged as error:
            refused, said = True, str(error)
        else:
            next(run)
    except Diverged as error:
        said = str(error)
    same = all(torch.equal(x, before[k]) for k, x in training.net.state_dict().items())
    return {"same": same, "said": said, "refused": refused or DEVICE != "cuda"}


@scene
def a_run_goes_on_bit_for_bit_and_on_another_device():
    folder = Path(tempfile.mkdtemp())
    straight = make_training()
    for _ in straight.run(batches()):
        pass
    first = make_training()
    for _ in islice(first.run(batches()), 3):
        pass
    checkpoint.save(folder, *resume.state(first), step=first.step)
    found = {}
    for device in (DEVICE, "cpu"):
        second = make_training(device=device)
        resume.restore(second, checkpoint.latest(folder)[0])
        for _ in second.run(batches(start=3)):
            pass
        found[device] = [equal(state(second), state(straight)), second.step, second.lost]
    return found


@scene
def a_session_trains_stops_and_leaves_the_readers_random_numbers_alone():
    folder = Path(tempfile.mkdtemp())
    cpu, ours = torch.get_rng_state(), getattr(torch, DEVICE).get_rng_state()
    stopped = replace(TINY, train=replace(TINY.train, steps=4))
    session = Session(stopped, folder=folder, device=DEVICE)
    outcomes = [session.train().status]
    session = Session(TINY, folder=folder, device=DEVICE)
    outcomes.append(session.train().status)
    untouched = torch.equal(cpu, torch.get_rng_state()) and torch.equal(
        ours, getattr(torch, DEVICE).get_rng_state()
    )
    again, card = checkpoint.load_unet(folder / "weights.safetensors")
    net = session.training.ema.net
    return {
        "outcomes": outcomes,
        "untouched": untouched,
        "weights": all(
            torch.equal(a, b.cpu())
            for a, b in zip(again.parameters(), net.parameters(), strict=True)
        ),
        "dropout": TINY.net.dropout,
        "precision": card["precision"],
        "grids": sorted(p.name for p in folder.glob("grid_*")),
    }


@scene
def previews_change_no_weight():
    found = []
    for every in (1, 1000):
        recipe = replace(TINY, preview_every=every)
        session = Session(recipe, folder=Path(tempfile.mkdtemp()), device=DEVICE)
        session.train()
        found.append(state(session.training))
    return {"same": equal(*found)}


@scene
def metrics_take_samples_on_the_device_and_data_on_the_cpu():
    images, labels = fashion_sample()
    real = to_unit(images)
    net = Features.trained().to(DEVICE)
    here, there = real[:200].to(DEVICE), real[200:400]
    distance, index = nearest_neighbours(here[:5], there)
    expected, place = nearest_neighbours(real[:5], there)
    a, b = features_of(here, net), features_of(there, net)
    plain = features_of(real[:200], Features.trained())
    floors = [
        f(a, b, resamples=2, generator=torch.Generator(device).manual_seed(1), **more)
        for device in ("cpu", DEVICE)
        for f, more in ((frechet_floor, {"n": 100}), (frechet_spread, {}))
    ]
    generator = torch.Generator(DEVICE).manual_seed(1)
    floors.append(frechet_floor(a.cpu(), b, n=100, resamples=2, generator=generator))
    floors.append(frechet_spread(a.cpu(), b, resamples=2, generator=generator))
    judge = Judge(there)
    score = judge.score(here, labels[:200].to(DEVICE))
    return {
        "neighbours": torch.equal(index.cpu(), place) and torch.allclose(distance.cpu(), expected),
        "features": torch.allclose(a.cpu(), plain, atol=1e-4),
        "finite": all(bool(x.isfinite().all()) for x in floors),
        "recognised": score.recognised,
    }


@scene
def samples_come_from_generators_of_either_device():
    net = make_training().ema.net
    shapes = []
    for device in ("cpu", DEVICE):
        generator = torch.Generator(device).manual_seed(0)
        x0, y = class_samples(net, 20, step=ddpm(), times=2, generator=generator)
        shapes.append([*x0.shape, x0.device.type, y.device.type])
    return shapes


@scene
def recipes_fit_the_machine():
    found = {"chosen": choose_recipe().name, "t4": str(dtype_of(T4.train.precision, DEVICE))}
    if emulator.KIND == "cuda" and dtype_of("auto", DEVICE) is torch.bfloat16:
        torch.default_generator.manual_seed(0)
        config = replace(BIG.train, compile=False)
        training = Training(BIG.make_denoiser(), config=config, accelerator=OneDevice(DEVICE))
        found["big"] = memory_of(training, BIG) / 2**30
    return found


@scene
def a_network_is_sampled_with_ints_and_lists_of_times():
    net = predicts_v(make_training().net.net, cosine_schedule(1000))
    xT = torch.randn(2, 1, 28, 28, device=DEVICE)
    x0 = generate(conditioned(net, 3), xT, times=[1000, 500, 1, 0])
    return [x0.device.type, bool(x0.isfinite().all())]


@scene
def figures_take_a_network_on_the_device():
    net = make_training().ema.net
    figure = Sampler(net)
    eps_hat = figure._eps_hat(bytes(4 * 784), 500, None)
    return {"bytes": len(eps_hat), "stayed": next(net.parameters()).device.type}


def main(capability: str, *names: str) -> int:
    torch.set_num_threads(1)
    emulator.install(capability=tuple(map(int, capability.split("."))))
    found = {}
    session_module.preview = partial(session_module.preview, steps=3)
    with emulator.on():
        for play in (s for s in SCENES if not names or s.__name__ in names):
            try:
                found[play.__name__] = play()
            except Exception:
                found[play.__name__] = {"error": traceback.format_exc()[-1500:]}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
