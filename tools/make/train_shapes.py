"""Train the network of the chapter on shapes in space: one for generation and completion.

    python -u tools/make/train_shapes.py [--steps N] [--folder runs/shapes]

Clouds are drawn anew for each batch. In half of them up to 64 points of what a random plane leaves
visible are given clean; the loss is that of v on all others. Every 1,000 steps the state is
written, and a run that was cut off goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Generator, Tensor

from dmlib.applications.point_clouds import some_of, visible
from dmlib.data.shapes3d import SHAPES, shapes
from dmlib.models.points import CloudNet
from dmlib.schedules import NoiseSchedule, cosine_schedule
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.ema import EMA

ROOT = Path(__file__).parents[2]
BATCH, POINTS, GIVEN = 32, 256, 64
YOUNG = (2_000, 8_000)  # steps whose averaged weights are kept, to be measured beside the last
UNTOLD = 0.3  # share of the clouds whose class is not told
CONFIG = {"width": 64, "blocks": 4, "tokens": 32, "heads": 4, "num_classes": len(SHAPES)}


def planes(n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Normals (n, 3), half of them along an axis, and offsets (n,), whatever the shapes are."""
    any_way = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    axis = torch.randint(3, (n,), generator=generator)
    sign = torch.randint(2, (n, 1), generator=generator) * 2 - 1
    along = torch.nn.functional.one_hot(axis, 3) * sign.float()
    coin = torch.rand(n, 1, generator=generator) < 0.5
    offset = 3 * torch.rand(n, generator=generator) - 1.5
    return torch.where(coin, any_way, along), offset


def loss_of(net: CloudNet, schedule: NoiseSchedule, generator: Generator) -> Tensor:
    """The mean squared error of v on the points that are not known, of one fresh batch."""
    x0, y, _, _ = shapes(BATCH, points=POINTS, generator=generator)
    known = some_of(visible(x0, *planes(BATCH, generator)), GIVEN, generator=generator)
    known[BATCH // 2 :] = False
    untold = torch.rand(BATCH, generator=generator) < UNTOLD
    y = y.masked_fill(untold, len(SHAPES))
    t = torch.randint(1, schedule.T + 1, (BATCH,), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    a, b = schedule.mix(t, x0)
    asked = torch.where(known[..., None], x0, a * x0 + b * eps)
    with torch.autocast("cpu", torch.bfloat16):
        v_hat = net(asked, t, y, known=known)
    off = (v_hat.float() - (a * eps - b * x0)).square().mean(-1)
    return off[~known].mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=19_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "shapes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = TrainConfig(steps=options.steps, learning_rate=1.5e-3, warmup=500, ema_decay=0.9995)
    schedule, net = cosine_schedule(1000), CloudNet(**CONFIG)
    ema = EMA(net, decay=config.ema_decay)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.5e-3, weight_decay=0.0, fused=True)
    path, first, cpu = options.folder / "state.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        ema.net.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        first, cpu = state["step"], state["cpu_seconds"]
        ema.updates = first
    begun, losses = time.process_time(), []
    for step in range(first + 1, options.steps + 1):
        generator = torch.Generator().manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        loss = loss_of(net, schedule, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.grad_clip)
        optimizer.step()
        ema.update(net)
        losses.append(loss.detach())
        if step % 200 == 0 or step == options.steps:
            spent, mean = cpu + time.process_time() - begun, float(torch.stack(losses).mean())
            line = {"step": step, "loss": round(mean, 5), "cpu_seconds": round(spent)}
            with (options.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(line, flush=True)
            losses = []
        if step in YOUNG:
            torch.save(ema.net.state_dict(), options.folder / f"young_{step}.pt")
        if step % 1000 == 0 or step == options.steps:
            state = {
                "net": net.state_dict(),
                "ema": ema.net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "cpu_seconds": cpu + time.process_time() - begun,
            }
            torch.save(state, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)


if __name__ == "__main__":
    main()
