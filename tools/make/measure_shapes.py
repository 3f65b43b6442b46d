"""Measure the network of shapes in space, record what the chapter shows, and ship it with cards.

    python -u tools/make/measure_shapes.py [--folder runs/shapes] [--device "CPU, one thread"]

Writes shapes_net.safetensors (weights as float16, what is measured are these) and shapes_run.npz
into dmlib/assets, each with its card: 1-NNA, coverage and Chamfer distance beside their floors, the
legs of completed chairs beside their true law, recorded walks and completions for the widgets.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import platform
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Generator, Tensor
from train_shapes import BATCH, CONFIG, GIVEN, POINTS, ROOT, UNTOLD, YOUNG

from dmlib import checkpoint
from dmlib.applications.point_clouds import completing, keeping, some_of, visible
from dmlib.checkpoint.cards import schedule_fields
from dmlib.data.shapes3d import SHAPES, draw_parameters, leg_length, shapes, surface
from dmlib.metrics.clouds import chamfer_matrix, coverage, one_nna
from dmlib.models import CloudNet, NetDenoiser, predicts_v
from dmlib.sampling import generate, sample
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddpm

ASSETS = ROOT / "dmlib" / "assets"
STEPS = 50  # of every walk
# With the smaller variance, beta_tilde, clouds shrink: it is right for data that are one point.
RULE = ddpm("beta")
EACH = 128  # clouds of a kind in a set: 512 in all
SETS = 3
CHAIRS, TRIES = 8, 100  # how many chairs are completed, how often each
BELOW = -0.02  # the plane under the seat: all above it is seen
EDGE = 4.0  # recorded coordinates run from -EDGE to EDGE in 255 steps
FRAMES = 21
CUTS = (1.0, 0.5, BELOW, -0.5, -1.0, -1.5)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def walk(denoiser, n: int, seed: int, *, step=None) -> Tensor:
    g = seeded(seed)
    xT = torch.randn(n, POINTS, 3, generator=g)
    return generate(denoiser, xT, step=step or RULE, times=STEPS, generator=g)


def told_class(denoiser: NetDenoiser, kind: int, n: int):
    """The denoiser that makes n shapes of one kind."""
    y = torch.full((n,), kind)
    return predicts_v(lambda x, t: denoiser.net(x, t, y), denoiser.path)


def one_set(denoiser: NetDenoiser, seed: int, *, step=None) -> list[Tensor]:
    """EACH generated clouds of each kind."""
    return [
        walk(told_class(denoiser, kind, EACH), EACH, 1000 * seed + kind, step=step)
        for kind in range(len(SHAPES))
    ]


def real_set(seed: int) -> list[Tensor]:
    return [
        shapes(EACH, points=POINTS, kind=kind, generator=seeded(7000 + 10 * seed + i)).points
        for i, kind in enumerate(SHAPES)
    ]


def scores(made: list[Tensor], real: list[Tensor]) -> dict[str, list[float]]:
    """By kind: 1-NNA, coverage and Chamfer distance."""
    found: dict[str, list[float]] = {"one_nna": [], "coverage": [], "chamfer": []}
    for x, y in zip(made, real, strict=True):
        between = chamfer_matrix(x, y)
        own = one_nna(chamfer_matrix(x, x), within(y), between)
        for name, value in (
            ("one_nna", own),
            ("coverage", coverage(between)),
            ("chamfer", float(between.amin(0).mean())),
        ):
            found[name].append(round(value, 4))
    return found


@functools.cache
def within(real: Tensor) -> Tensor:
    """Distances within a real set, which many are compared with."""
    return chamfer_matrix(real, real)


def summary(runs: list[dict[str, list[float]]]) -> dict[str, object]:
    """Mean over the kinds, then mean and spread over the sets; and the kinds' means."""
    out: dict[str, object] = {"sets": len(runs), "clouds_a_set": EACH * len(SHAPES)}
    for name in runs[0]:
        table = np.array([run[name] for run in runs])
        means = table.mean(1)
        spread = float(means.std(ddof=1)) if len(runs) > 1 else None
        out[name] = {
            "mean": round(float(means.mean()), 4),
            "std": None if spread is None else round(spread, 4),
            "by_kind": dict(zip(SHAPES, table.mean(0).round(4).tolist(), strict=True)),
        }
    return out


def seen_chairs() -> tuple[Tensor, Tensor, Tensor]:
    """Parameters of CHAIRS chairs of all widths, a cloud of each, and which points are given."""
    g = seeded(11)
    label = torch.zeros(CHAIRS, dtype=torch.int64)
    parameters = draw_parameters(label, generator=g)
    parameters[:, 0] = torch.linspace(1.68, 2.52, CHAIRS)
    cloud, _ = surface(label, parameters, points=POINTS, generator=g)
    given = some_of(visible(cloud, torch.tensor([0.0, 0.0, 1.0]), BELOW), GIVEN, generator=g)
    return parameters, cloud, given


def legs_given(width: float, n: int, seed: int) -> Tensor:
    """Rejection sampling: chairs are drawn until n have this width, but for 0.01."""
    g, kept = seeded(seed), []
    while sum(map(len, kept)) < n:
        parameters = draw_parameters(torch.zeros(50_000, dtype=torch.int64), generator=g)
        kept.append(parameters[(parameters[:, 0] - width).abs() < 0.01, 4])
    return torch.cat(kept)[:n]


def exact_legs(parameters: Tensor, cloud: Tensor, given: Tensor, n: int, seed: int) -> Tensor:
    """As read off n exact completions: the given points, the others on a chair of the law."""
    g = seeded(seed)
    rows = parameters.expand(n, 5).clone()
    rows[:, 4] = legs_given(float(parameters[0]), n, seed)
    # The thickness of the legs is not seen either.
    rows[:, 3] = draw_parameters(torch.zeros(n, dtype=torch.int64), generator=g)[:, 3]
    fresh, _ = surface(torch.zeros(n, dtype=torch.int64), rows, points=POINTS, generator=g)
    return leg_length(torch.where(given[None, :, None], cloud[None], fresh))


def completed_legs(denoiser: NetDenoiser, way: str) -> Tensor:
    """(CHAIRS, TRIES), read off the completions."""
    _, cloud, given = seen_chairs()
    found = []
    for i in range(CHAIRS):
        x, known = cloud[i].expand(TRIES, -1, -1), given[i].expand(TRIES, -1)
        found.append(leg_length(complete(denoiser, x, known, way, kind=0, seed=500 + i)))
    return torch.stack(found)


def complete(
    denoiser: NetDenoiser, x: Tensor, known: Tensor, way: str, *, kind: int, seed: int
) -> Tensor:
    n = len(x)
    if way == "told":
        return walk(completing(denoiser, x, known, y=torch.full((n,), kind)), n, seed)
    return walk(told_class(denoiser, kind, n), n, seed, step=keeping(RULE, x, known))


def measure_legs(denoiser: NetDenoiser) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Wasserstein-1 of the legs of each way to the true conditional law, beside the floor."""
    parameters, cloud, given = seen_chairs()
    seen = list(zip(parameters, cloud, given, strict=True))
    truth = [exact_legs(*one, 20_000, 90 + i) for i, one in enumerate(seen)]
    arrays = {"leg_width": parameters[:, 0].numpy().astype(np.float32)}
    floor = [
        [
            wasserstein_distance(exact_legs(*one, TRIES, 200 + 50 * k + i), truth[i])
            for k in range(5)
        ]
        for i, one in enumerate(seen)
    ]
    prior = [
        wasserstein_distance(shapes(2000, kind="chair", generator=seeded(5)).parameters[:, 4], law)
        for law in truth
    ]
    found: dict[str, object] = {
        "n": TRIES,
        "chairs": CHAIRS,
        "floor": spread_of(np.mean(floor, 1)),
        "if_the_seat_said_nothing": spread_of(prior),
    }
    for way in ("told", "kept"):
        legs = completed_legs(denoiser, way)
        arrays[f"leg_{way}"] = legs.numpy().astype(np.float16)
        distances = [wasserstein_distance(a, b) for a, b in zip(legs, truth, strict=True)]
        high = [abs(float((a > 1.85).float().mean() - (b > 1.85).float().mean()))
                for a, b in zip(legs, truth, strict=True)]  # fmt: skip
        between = ((legs > 1.7) & (legs < 2.0)).float().mean()
        found[way] = {
            **spread_of(distances),
            "share_of_high_off_by": round(float(np.mean(high)), 4),
            "share_between_low_and_high": round(float(between), 4),
        }
    arrays["leg_true"] = torch.stack([t[:400] for t in truth]).numpy().astype(np.float16)
    return found, arrays


def spread_of(values) -> dict[str, float]:
    """Mean, and the standard error of it over the chairs."""
    x = np.asarray(values)
    error = float(x.std(ddof=1) / len(x) ** 0.5)
    return {"mean": round(float(x.mean()), 4), "standard_error": round(error, 4)}


def reading_error() -> dict[str, float]:
    """Of `leg_length` on 4,000 true chairs of 256 points."""
    made = shapes(4000, points=POINTS, kind="chair", generator=seeded(3))
    off = leg_length(made.points) - made.parameters[:, 4]
    return {
        "mean": round(float(off.mean()), 4),
        "root_mean_square": round(float(off.square().mean().sqrt()), 4),
    }


def size(clouds: list[Tensor]) -> float:
    """Root mean square distance of the points from their cloud's middle."""
    x = torch.cat(clouds)
    return float((x - x.mean(1, keepdim=True)).square().sum(-1).mean().sqrt())


def part_of(cloud: Tensor, kind: int) -> Tensor:
    """On which part points of a generated cloud (N, 3) seem to lie: rules of thumb, for colours."""
    x, y, z = cloud.unbind(-1)
    r = (x**2 + y**2).sqrt()
    low = z < z.min() + 0.15
    if kind in (0, 1):
        return torch.where(z < -0.03, 2, torch.where((z > 0.26) & (kind == 0), 1, 0))
    if kind == 2:
        return torch.where(low, 1, torch.where(r < 0.2, 2, 0))
    wide = y.abs().quantile(0.99)
    handle = (x > 0.97 * wide) & (r > 1.02 * wide) | ((x > 0.8 * wide) & (r > 1.12 * wide))
    return torch.where(handle & (y.abs() < 0.3), 3, torch.where(low & (r < 0.85 * wide), 1, 0))


def packed(x: Tensor) -> np.ndarray:
    return ((x.clamp(-EDGE, EDGE) + EDGE) * (255 / (2 * EDGE))).round().to(torch.uint8).numpy()


def record(denoiser: NetDenoiser) -> dict[str, np.ndarray]:
    """Walks of one cloud of each kind, and completions of three shapes at every cut."""
    g = seeded(21)
    y = torch.arange(len(SHAPES))
    inner = predicts_v(lambda x, t: denoiser.net(x, t, y), denoiser.path)
    xT = torch.randn(len(SHAPES), POINTS, 3, generator=g)
    times = [round(1000 * (1 - i / 60)) for i in range(61)]
    shots = list(sample(inner, xT, step=RULE, times=times, generator=g))[:: 60 // (FRAMES - 1)]
    last = shots[-1].xt
    arrays = {
        "walk": packed(torch.stack([s.xt for s in shots], 1)),
        "walk_t": np.array([s.t for s in shots], np.int32),
        "walk_part": torch.stack([part_of(last[k], k) for k in range(4)]).to(torch.uint8).numpy(),
    }
    given_all, made_all, whole = [], [], []
    for kind in range(3):
        one = shapes(1, points=POINTS, kind=SHAPES[kind], generator=seeded(40 + kind))
        whole.append(one.points[0])
        given, made = [], []
        for j, cut in enumerate(CUTS):
            seen = visible(one.points, torch.tensor([0.0, 0.0, 1.0]), cut)
            known = some_of(seen, GIVEN, generator=seeded(60 + j))
            x = one.points.expand(4, -1, -1)
            done = complete(denoiser, x, known.expand(4, -1), "told", kind=kind, seed=70 + j)
            given.append(known[0])
            made.append(done)
        given_all.append(torch.stack(given))
        made_all.append(torch.stack(made))
    return arrays | {
        "whole": packed(torch.stack(whole)),
        "given": torch.stack(given_all).to(torch.uint8).numpy(),
        "completed": packed(torch.stack(made_all)),  # (3, cuts, 4, N, 3)
        "cut": np.array(CUTS, np.float32),
    }


def network(weights: dict[str, Tensor]) -> NetDenoiser:
    net = CloudNet(**CONFIG)
    net.load_state_dict(weights)
    return predicts_v(net, cosine_schedule(1000)).eval()


def revision() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip()


def common(device: str) -> dict[str, object]:
    return {
        "origin": "trained by this project on shapes that dmlib draws (dmlib.data.shapes3d)",
        "licence": "MIT",
        "revision": revision(),
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def ship_weights(state: dict, folder: Path, device: str, note: str) -> NetDenoiser:
    half = {name: x.half() for name, x in state["ema"].items()}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    card = {
        "kind": "dmlib points",
        "what": "network for clouds of 256 points: generation by class, and completion of clouds "
        f"of which up to {GIVEN} points are given; averaged weights",
        **common(device),
        "config": CONFIG,
        "classes": [*SHAPES, "not told"],
        "predicts": "v",
        **schedule_fields(cosine_schedule(1000)),
        "train": {
            "steps": state["step"],
            "batch_size": BATCH,
            "learning_rate": 1.5e-3,
            "warmup": 500,
            "decay": "cosine",
            "ema_decay": 0.9995,
            "precision": "bfloat16",
            "share_of_clouds_whose_class_is_not_told": UNTOLD,
            "seed": "the number of the step",
        },
        "clouds_seen": state["step"] * BATCH,
        "cpu_seconds": round(state["cpu_seconds"]),
        "parameters": sum(x.numel() for x in half.values()),
        "final_loss": lines[-1]["loss"],
        "note": note,
        "command": f"python tools/make/train_shapes.py --steps {state['step']}; "
        "python tools/make/measure_shapes.py",
    }
    checkpoint.write(ASSETS / "shapes_net.safetensors", half, card)
    return network({name: x.float() for name, x in half.items()})


def ship_run(arrays: dict[str, np.ndarray], measured: dict[str, object], device: str) -> None:
    path = ASSETS / "shapes_run.npz"
    np.savez_compressed(path, **arrays)
    card = {
        "what": "walks, completions and leg lengths of the network of shapes in space, and what "
        f"was measured of it; all walks take {STEPS} DDPM steps (the recorded ones 60) with the "
        "variance beta, the class is told",
        **common(device),
        "command": "python tools/make/measure_shapes.py",
        "coordinates": f"uint8, 0 is -{EDGE:g} and 255 is {EDGE:g}",
        **measured,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    print(f"{path}: {card['bytes']:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "shapes")
    parser.add_argument("--device", default="CPU, one thread")
    parser.add_argument("--note", default="", help="what the card should say of the training")
    parser.add_argument("--sets", type=int, default=SETS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()

    def say(name: str, value: object) -> None:
        print(f"{time.process_time() - begun:.0f} s  {name}: {value}", flush=True)

    state = torch.load(options.folder / "state.pt", weights_only=True)
    denoiser = ship_weights(state, options.folder, options.device, options.note)
    legs, arrays = measure_legs(denoiser)
    say("legs", legs)
    arrays |= record(denoiser)
    measured: dict[str, object] = {"legs": legs, "leg_reading": reading_error(), "scores": {}}
    ship_run(arrays, measured, options.device)  # something usable, should the rest be cut off
    reals = [real_set(seed) for seed in range(options.sets)]
    others = [real_set(100 + seed) for seed in range(options.sets)]
    table: dict[str, object] = {}
    table["floor"] = summary([scores(a, b) for a, b in zip(others, reals, strict=True)])
    say("floor", table["floor"])
    made = [one_set(denoiser, k) for k in range(len(reals))]
    table["trained"] = summary([scores(a, b) for a, b in zip(made, reals, strict=True)])
    say("trained", table["trained"])
    measured["size"] = round(size(made[0]) / size(reals[0]), 3)
    small = one_set(denoiser, 0, step=ddpm())
    table["smaller variance"] = summary([scores(small, reals[0])])
    say("smaller variance", table["smaller variance"])
    measured["size_with_smaller_variance"] = round(size(small) / size(reals[0]), 3)
    for step in YOUNG:
        young = network(torch.load(options.folder / f"young_{step}.pt", weights_only=True))
        table[f"after {step} steps"] = summary([scores(one_set(young, 0), reals[0])])
        say(f"after {step} steps", table[f"after {step} steps"])
    measured |= {"scores": table, "cpu_seconds": round(time.process_time() - begun)}
    ship_run(arrays, measured, options.device)


if __name__ == "__main__":
    main()
