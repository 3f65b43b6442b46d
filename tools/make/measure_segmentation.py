"""Measure how many labels a pixel classifier needs, on a denoiser's features and on others.

    python tools/make/measure_segmentation.py

Everything goes into dmlib/assets/segmentation.npz and its card: mIoU of the test scenes against
the number of labelled scenes, for features of the network of chapter 10 at each t, of the same
network untrained, of a smaller one that never heard a caption, of pixels and windows, and for a
U-Net trained on the labels alone; mIoU of other scenes against t and block at ten labels; and what
the chapter's figure shows. What is chosen (t of each network, the window) is chosen on the
development scenes, and measured on the test scenes. What needs no network is measured first and
kept in runs/segmentation; `--baselines` stops there.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import itertools
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train_scenes import NET as SMALL

from dmlib.applications.segmentation import (
    CLASSES,
    block_outputs,
    class_map,
    confusion,
    fit_pixels,
    fit_unet,
    iou,
    mean_iou,
    pixel_features,
    untrained,
    windows,
)
from dmlib.assets import ASSETS
from dmlib.checkpoint import load_shipped, load_words
from dmlib.data import draw_scenes, to_uint8
from dmlib.models import NetDenoiser

ROOT = Path(__file__).resolve().parents[2]
ASSET = ASSETS / "segmentation.npz"
KEPT = ROOT / "runs" / "segmentation" / "baselines.pt"
BLOCKS = ("down_fine", "down_coarse", "middle", "up_coarse", "up_fine")
SMALL_BLOCKS = (
    "down.0.stages.0",
    "down.1.stages.0",
    "middle.0",
    "middle.1",
    "up.0.stages.0",
    "up.1.stages.0",
)
TIMES = (1, 150, 300, 450)
LABELS = (1, 3, 10, 30, 100)
SIDES = (5, 9, 13)
OTHER_TIMES = (1, 300)
# With 300 steps at 100 labels the U-Net had 0.479 instead of 0.85: it was not done learning.
UNET_STEPS = {1: 300, 3: 300, 10: 600, 30: 600, 100: 600}
SEEDS, SHOWN, TEST, DEVELOPMENT = 5, 4, 150, 60
TEN = LABELS.index(10)
Labelled = tuple[Tensor, Tensor]


def scenes(n: int, seed: int) -> Labelled:
    """n scenes and their class maps."""
    drawn = draw_scenes(n, generator=torch.Generator().manual_seed(seed))
    return drawn.images, class_map(drawn)


def noise(x0: Tensor, t: int, seed: int) -> Tensor:
    return torch.randn(x0.shape, generator=torch.Generator().manual_seed(1000 * seed + t))


def features(net: NetDenoiser, t: int, blocks: tuple[str, ...] = BLOCKS) -> Callable:
    """x0, seed -> features of the network at t."""

    def of(x0: Tensor, seed: int) -> Tensor:
        parts = zip(x0.split(50), noise(x0, t, seed).split(50), strict=True)
        return torch.cat([pixel_features(net, x, t, eps, blocks=blocks) for x, eps in parts])

    return of


def judged(predict: Callable, f: Tensor, true: Tensor) -> Tensor:
    """The confusion of a classifier, thirty scenes at a time."""
    parts = zip(f.split(30), true.split(30), strict=True)
    return sum(confusion(predict(a).argmax(1), b) for a, b in parts)


class Measurement:
    """The scenes: a pool of labelled ones for each seed, the development and the test scenes.

    Args:
        seeds: how many pools.
        labels: numbers of labelled scenes.
    """

    def __init__(self, seeds: int, labels: tuple[int, ...]) -> None:
        self.labels = labels
        self.pools = [scenes(max(labels), 2000 + seed) for seed in range(seeds)]
        self.development, self.test = scenes(DEVELOPMENT, 999), scenes(TEST, 1000)

    def curve(self, of: Callable, *, on: Labelled | None = None, labels=None) -> list:
        """Confusions [seed][n] of classifiers on features `of(x0, seed)`."""
        (x, true), found = on or self.test, []
        for seed, (x0, classes) in enumerate(self.pools):
            f, f_on = of(x0[: max(labels or self.labels)], seed), of(x, 100 + seed)
            found.append([])
            for n in labels or self.labels:
                classifier = fit_pixels(f[:n], classes[:n], seed=seed)
                found[-1].append(judged(classifier, f_on, true))
        return found

    def at_ten(self, of: Callable) -> list[float]:
        """mIoU on the development scenes with ten labels, a number for each seed."""
        return [float(mean_iou(c[0])) for c in self.curve(of, on=self.development, labels=(10,))]

    def by_block(self, net: NetDenoiser, t: int, blocks: tuple[str, ...]) -> list[list[float]]:
        """The same for each of the blocks and, last, for all together: [block][seed]."""
        with torch.no_grad():
            maps = block_outputs(net, self.development[0][:1], t, blocks)
        ends = np.cumsum([0, *(h.shape[1] for h in maps)]).tolist()
        parts = [*(slice(a, b) for a, b in itertools.pairwise(ends)), slice(None)]
        of, (x, true), found = features(net, t, blocks), self.development, [[] for _ in parts]
        for seed, (x0, classes) in enumerate(self.pools):
            f, f_on = of(x0[:10], seed), of(x, 100 + seed)
            for scores_, part in zip(found, parts, strict=True):
                classifier = fit_pixels(f[:, part], classes[:10], seed=seed)
                scores_.append(float(mean_iou(judged(classifier, f_on[:, part], true))))
        return found

    def unet(self) -> list:
        """Confusions [seed][n] of U-Nets that are trained on the labels alone."""
        (x, true), found = self.test, []
        for seed, (x0, classes) in enumerate(self.pools):
            found.append([])
            for n in self.labels:
                net = fit_unet(SMALL, x0[:n], classes[:n], seed=seed, steps=UNET_STEPS[n])
                found[-1].append(judged(net, x, true))
        return found


def scores(curve: list) -> np.ndarray:
    """Confusions [seed][n] -> mIoU (n, seeds)."""
    return np.array([[float(mean_iou(c)) for c in row] for row in curve], np.float32).T


def best_of(choices: dict) -> object:
    """The choice with the best mean."""
    return max(choices, key=lambda key: np.mean(choices[key]))


def chosen_of(table: dict[int, list], blocks: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """The time and the blocks (one, or all) that are best on the development scenes."""
    scored = {(t, row): of for t, rows in table.items() for row, of in enumerate(rows)}
    t, row = best_of(scored)
    return t, (*((b,) for b in blocks), blocks)[row]


def said(name: str, begin: float, what: object) -> None:
    print(f"{time.process_time() - begin:6.0f} s  {name}: {what}", flush=True)


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values]


def summary(curves: dict[str, list]) -> dict:
    """Mean, spread over seeds and IoU of each class at ten labels, of each method."""
    found = {}
    for name, curve in curves.items():
        of, ten = scores(curve), torch.stack([iou(row[TEN]) for row in curve])
        found[name] = {
            "mean": rounded(of.mean(1)),
            "std": rounded(of.std(1, ddof=1)),
            "iou_at_10": dict(zip(CLASSES, ten.nanmean(0).numpy().round(4).tolist(), strict=True)),
        }
    return found


def shown(m: Measurement, net: NetDenoiser, blocks: tuple[str, ...]) -> np.ndarray:
    """What the figure shows: classes (times, labels, scenes, H, W) by the first seed's pool."""
    (x0, classes), x, found = m.pools[0], m.test[0][:SHOWN], []
    for t in TIMES:
        of = features(net, t, blocks)
        f, f_on = of(x0, 0), of(x, 100)
        fits = [fit_pixels(f[:n], classes[:n], seed=0) for n in m.labels]
        found.append(torch.stack([fit(f_on).argmax(1) for fit in fits]))
    return torch.stack(found).to(torch.uint8).numpy()


def baselines(m: Measurement) -> dict:
    """Curves of all that needs no denoiser, and the window that is chosen; kept on the disk."""
    if KEPT.exists():
        return torch.load(KEPT, weights_only=True)
    begin = time.process_time()
    side = best_of({side: m.at_ten(lambda x, _, s=side: windows(x, s)) for side in SIDES})
    said("window", begin, side)
    found = {
        "side": side,
        "pixel": m.curve(lambda x, _: x),
        "window": m.curve(lambda x, _: windows(x, side)),
    }
    said("windows", begin, scores(found["window"]).mean(1).round(3))
    found["unet"] = m.unet()
    said("unet", begin, scores(found["unet"]).mean(1).round(3))
    found["cpu_seconds"] = round(time.process_time() - begin)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    torch.save(found, KEPT)
    return found


def measure(m: Measurement, net: NetDenoiser, small: NetDenoiser) -> tuple[dict, dict]:
    """All arrays, and the figures of the card."""
    known, begin = baselines(m), time.process_time()
    table = {t: m.by_block(net, t, BLOCKS) for t in TIMES}
    together = {t: rows[-1] for t, rows in table.items()}
    said("t and block", begin, {t: f"{np.mean(v):.3f}" for t, v in together.items()})
    plain, others = untrained(net, seed=1), {}
    for name, other, names in (("untrained", plain, BLOCKS), ("uncaptioned", small, SMALL_BLOCKS)):
        rows = {t: m.by_block(other, t, names) for t in OTHER_TIMES}
        others[name] = (other, *chosen_of(rows, names))
    t, listened = chosen_of(table, BLOCKS)
    said("chosen", begin, (t, listened, {name: found[1:] for name, found in others.items()}))
    over_t = {each: m.curve(features(net, each, listened)) for each in TIMES}
    curves = {"features": over_t[t]}
    for name, (other, at, names) in others.items():
        curves[name] = m.curve(features(other, at, names))
    curves |= {name: known[name] for name in ("pixel", "window", "unet")}
    for name, curve in curves.items():
        said(name, begin, scores(curve).mean(1).round(3))
    arrays = {
        "t": np.array(TIMES, np.int32),
        "labels": np.array(m.labels, np.int32),
        "blocks": np.array([table[t][:-1] for t in TIMES], np.float32),
        "together": np.array([together[t] for t in TIMES], np.float32),
        "over_t": np.stack([scores(c) for c in over_t.values()]),
        "methods": np.stack([scores(c) for c in curves.values()]),
        "shown": shown(m, net, listened),
        "images": to_uint8(m.test[0][:SHOWN]).numpy(),
        "true": m.test[1][:SHOWN].to(torch.uint8).numpy(),
    }
    chosen = {"t": t, "blocks": listened}
    chosen |= {name: {"t": found[1], "blocks": found[2]} for name, found in others.items()}
    return arrays, {
        "chosen": {**chosen, "window": known["side"]},
        "classes": CLASSES,
        "blocks": BLOCKS,
        "methods": summary(curves),
        "gaps": gaps(curves),
        "unet_steps": [UNET_STEPS[n] for n in m.labels],
        "ground_alone": round(float(mean_iou(confusion(0 * m.test[1], m.test[1]))), 4),
        "objects_at_10": objects(),
        "seeds": SEEDS,
        "cpu_seconds": round(time.process_time() - begin) + known["cpu_seconds"],
    }


def gaps(curves: dict[str, list]) -> dict:
    """By how much the features lead, scene pool by scene pool: mean and spread at each budget."""
    found = {}
    for name, curve in curves.items():
        if name != "features":
            gap = scores(curves["features"]) - scores(curve)  # (n, seeds)
            found[name] = {
                "mean": rounded(gap.mean(1)),
                "std": rounded(gap.std(1, ddof=1)),
            }
    return found


def objects() -> float:
    """How many objects ten labelled scenes hold, on average over the pools."""
    pools = [
        draw_scenes(max(LABELS), generator=torch.Generator().manual_seed(2000 + seed))
        for seed in range(SEEDS)
    ]
    return round(float(sum(pool.count[:10].sum() for pool in pools)) / SEEDS, 1)


def ship(arrays: dict[str, np.ndarray], figures: dict, network: dict) -> None:
    """Write the asset and its card."""
    np.savez_compressed(ASSET, **arrays)
    card = {
        "what": "how well each pixel of a scene is called ground, circle, square, triangle or "
        "cross by classifiers that saw few labelled scenes: mIoU over all test pixels",
        "arrays": "blocks (t, block, seed) and together (t, seed): development scenes, 10 labels; "
        "over_t (t, labels, seed) and methods (method, labels, seed): test scenes; "
        "shown (t, labels, scene, H, W), images, true: what the figure shows",
        "data": f"scenes of dmlib.data.draw_scenes: {TEST} test scenes (seed 1000), {DEVELOPMENT} "
        f"for choosing (999), {max(LABELS)} labelled for each seed s (2000 + s)",
        "licence": "MIT",
        "network": network,
        **figures,
        "command": "python tools/make/measure_segmentation.py",
        "revision": revision(),
        "device": f"CPU {platform.machine()}, 1 thread, shared",
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "bytes": ASSET.stat().st_size,
        "sha256": hashlib.sha256(ASSET.read_bytes()).hexdigest(),
    }
    ASSET.with_suffix(".json").write_text(json.dumps(card, indent=1))
    print(f"{ASSET}: {card['bytes']:,} bytes")


def revision() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip()


def networks() -> tuple[NetDenoiser, NetDenoiser, dict]:
    """The network of chapter 10, the smaller one without captions, and what they are."""
    net, card = load_words()
    small, small_card = load_shipped("scenes_unet")
    return net, small, {"words_unet": card["sha256"], "scenes_unet": small_card["sha256"]}


def main() -> int:
    """Measure and ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baselines", action="store_true", help="only what needs no denoiser")
    args = parser.parse_args()
    torch.set_num_threads(1)
    m = Measurement(SEEDS, LABELS)
    if args.baselines:
        baselines(m)
        return 0
    net, small, network = networks()
    arrays, figures = measure(m, net, small)
    ship(arrays, figures, network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
