"""How good are the weights? One written protocol, run by one command.

    python -m dmlib.metrics.protocol                    the weights that dmlib ships
    python -m dmlib.metrics.protocol --run runs/cpu     those of a run, the average and the raw ones

What is fixed: samples from seed 1, n / 10 of each class, x0_hat clipped to [-1, 1], rounded to 256
grey levels, 28 x 28 pixels as they are (no resizing); reference: all 10,000 test images; features:
dmlib's own (`dmlib.metrics`), so the distances compare with one another, not with any FID. The
floor is what n training images get, and no generator is expected below it.
The result is a JSON file, by default dmlib/assets/fashion_protocol.json, which the book plots.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmlib import checkpoint
from dmlib.assets import ASSETS
from dmlib.checkpoint import Card, load_unet
from dmlib.data import fashion_mnist, to_uint8, to_unit
from dmlib.metrics.features import FEATURES, nearest_neighbours
from dmlib.metrics.judge import Judge, class_samples
from dmlib.models import NetDenoiser
from dmlib.steps import ddim, ddpm, dpm_solver
from dmlib.training import model_card, resume
from dmlib.training.log import read_grids, read_log

OUT = ASSETS / "fashion_protocol.json"
SAMPLERS = {"ddim": ddim, "dpm_solver": dpm_solver, "ddpm": ddpm}
PLAN = {"ddim": (5, 10, 20, 50), "dpm_solver": (5, 10, 20), "ddpm": (10, 50)}
GUIDANCE = (0.0, 1.0, 1.5, 2.0, 4.0)
SHORT = ("dpm_solver", 10)  # the sampler and the steps of every other comparison

Row = dict[str, Any]


def run_protocol(
    net: NetDenoiser,
    card: Card,
    *,
    n: int = 500,
    raw: NetDenoiser | None = None,
    folder: Path | None = None,
    plan: dict[str, tuple[int, ...]] | None = None,
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Judge a network by the protocol.

    Args:
        net: averaged weights, a denoiser that hears classes.
        card: theirs.
        n: samples for each number, a multiple of 10 and > 64.
        raw: the weights that were not averaged, if they are there.
        folder: of the run, for the quality over time; the recorded run that dmlib ships if None.
        plan: numbers of steps by sampler; PLAN if None.

    Returns:
        The figures as JSON values, and the ten samples that come nearest to a training image
        followed by these ten images, (20, 28, 28).
    """
    start, cpu = time.perf_counter(), time.process_time()
    test, labels = fashion_mnist("test")
    train, _ = fashion_mnist("train")
    judge = Judge(to_unit(test))
    floor = judge.floor(to_unit(train[:10_000]), n=n)
    score = _scorer(judge, n=n)
    result: dict[str, Any] = {
        "protocol": _fixed(n, plan or PLAN),
        "network": {k: card.get(k) for k in ("sha256", "steps", "seconds", "images_seen")},
        "floor": {"mean": float(floor.mean()), "std": float(floor.std())},
        "recognised_real": judge.score(to_unit(test), labels).recognised,
        "steps": [
            score(net, sampler=name, steps=steps)
            for name, counts in (plan or PLAN).items()
            for steps in counts
        ],
    }
    result["guidance"] = [score(net, guidance_scale=w) for w in GUIDANCE]
    result["average"] = [{"weights": "average", **score(net)}]
    if raw is not None:
        result["average"].append({"weights": "raw", **score(raw)})
    result["minutes"] = over_time(judge, folder)
    result["copies"], pairs = _copies(net, to_unit(train), to_unit(test))
    result |= {
        "device": model_card.device_name(torch.device("cpu")),
        "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(time.process_time() - cpu),
        "torch": torch.__version__,
        "revision": model_card.revision(),
    }
    return result, pairs


def _scorer(judge: Judge, *, n: int) -> Callable[..., Row]:
    known: dict[tuple, Row] = {}

    def score(
        net: NetDenoiser,
        *,
        sampler: str = SHORT[0],
        steps: int = SHORT[1],
        guidance_scale: float = 1.0,
    ) -> Row:
        key = (id(net), sampler, steps, guidance_scale)
        if key not in known:
            start = time.perf_counter()
            samples, labels = class_samples(
                net,
                n,
                step=SAMPLERS[sampler](),
                times=steps,
                guidance_scale=guidance_scale,
            )
            seconds = time.perf_counter() - start
            setting = {"sampler": sampler, "steps": steps, "guidance_scale": guidance_scale}
            known[key] = setting | asdict(judge.score(samples, labels))
            known[key]["seconds"] = round(seconds, 2)
            print(known[key], flush=True)
        return known[key]

    return score


def over_time(judge: Judge, folder: Path | None) -> list[Row]:
    """Share of recognised samples in each grid that a run left, against its minutes.

    A grid has too few samples for a distance.
    """
    if folder is not None:
        lines, grids = read_log(folder), read_grids(folder)
        known = np.array([[x["step"], x["seconds"]] for x in lines])
        labels = torch.arange(10).repeat_interleave(4)
    else:
        run = np.load(ASSETS / "fashion_run.npz")
        grids = dict(zip(run["grid_step"].tolist(), run["grid"][:, :, None], strict=True))
        known = np.stack([run["step"], run["seconds"]], axis=1)
        labels = torch.from_numpy(run["grid_label"])
    rows = []
    for step, images in grids.items():
        right = judge.features.classify(to_unit(torch.from_numpy(images))).argmax(1) == labels
        minutes = float(np.interp(step, known[:, 0], known[:, 1])) / 60
        share = float(right.double().mean())
        rows.append({"step": step, "minutes": minutes, "recognised": share, "n": len(labels)})
    return rows


def _copies(
    net: NetDenoiser, train: Tensor, test: Tensor, *, n: int = 100
) -> tuple[Row, NDArray[np.uint8]]:
    """Distances of n samples, and of n test images, to their nearest training images."""
    settings = {"step": SAMPLERS[SHORT[0]](), "times": SHORT[1]}
    samples, _ = class_samples(net, n, **settings)
    distance, index = nearest_neighbours(samples, train)
    unseen, _ = nearest_neighbours(test[:n], train)
    closest = distance.argsort()[:10]
    pairs = torch.cat([samples[closest].cpu(), train[index[closest].cpu()]])
    row = {"n": n, "samples": distance.tolist(), "test": unseen.tolist()}
    return row, to_uint8(pairs).numpy()


def _fixed(n: int, plan: dict[str, tuple[int, ...]]) -> Row:
    features = json.loads(FEATURES.with_suffix(".json").read_text())
    return {
        "samples": f"{n} for each number, {n // 10} of each class, seed 1",
        "n": n,
        "plan": {name: list(counts) for name, counts in plan.items()},
        "clipping": "x0_hat to [-1, 1]",
        "levels": 256,
        "resizing": "none, 28 x 28 pixels",
        "reference": "Fashion-MNIST, all 10,000 test images",
        "floor": f"{n} of 10,000 training images against the reference, 20 draws",
        "spread": "standard deviation over 10 bootstraps of the samples",
        "features": f"dmlib fashion_features, 64 numbers, SHA-256 {features['sha256']}",
        "guidance_with": f"{SHORT[0]}, {SHORT[1]} steps",
    }


def read_protocol(path: Path = OUT) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """A result of `main` as it was written: the figures and the pairs."""
    return json.loads(path.read_text("utf-8")), np.load(path.with_suffix(".npz"))["pairs"]


def _raw(folder: Path | None, averaged: NetDenoiser) -> NetDenoiser | None:
    """The weights that were not averaged, from the newest checkpoint in the folder."""
    found, _ = checkpoint.latest(folder) if folder else (None, [])
    if found is None:
        return None
    return resume.load_weights(found.path, copy.deepcopy(averaged), part="net")


def main(arguments: list[str] | None = None) -> int:
    """Run the protocol and write its result; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m dmlib.metrics.protocol", description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run, instead of the shipped weights")
    parser.add_argument("--checkpoint", type=Path, help="folder of the shipped weights' own run")
    parser.add_argument("--n", type=int, default=500, help="samples for each number")
    parser.add_argument("--out", type=Path, help="of the result")
    args = parser.parse_args(arguments)
    folder = args.run or args.checkpoint
    weights = args.run / "weights.safetensors" if args.run else ASSETS / "fashion_unet.safetensors"
    net, card = load_unet(weights)
    result, pairs = run_protocol(net, card, n=args.n, raw=_raw(folder, net), folder=folder)
    result["command"] = " ".join(["python -m dmlib.metrics.protocol", *(arguments or sys.argv[1:])])
    out = args.out or (args.run / "protocol.json" if args.run else OUT)
    out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    np.savez_compressed(out.with_suffix(".npz"), pairs=pairs)
    print(f"{out}: {result['seconds']} s")
    if args.run:
        model_card.add_metrics(weights, _headline(result))
    return 0


def _headline(result: dict[str, Any]) -> Row:
    """The best distance and its floor, by names that say what they are."""
    best, n = min(result["steps"], key=lambda row: row["distance"]), result["protocol"]["n"]
    setting = f"{best['sampler']}, {best['steps']} steps"
    return {
        f"Fréchet distance, dmlib features, n = {n}, {setting}": round(best["distance"], 3),
        f"its floor, {n} training images": round(result["floor"]["mean"], 3),
    }


if __name__ == "__main__":
    sys.exit(main())
