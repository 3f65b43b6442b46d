"""Train from a shell: `python -m dmlib.train --preset cpu`, and the same command to go on.

On several processes or GPUs: `accelerate launch -m dmlib.train --preset big`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dmlib import checkpoint, resume
from dmlib.batches import load_data, shuffled
from dmlib.presets import Preset, preset
from dmlib.runlog import RunLog
from dmlib.training import Batch, Diverged, OneDevice, Training


def main(arguments: list[str] | None = None) -> int:
    """Train, or go on; see `--help`."""
    args = _parse(arguments)
    recipe = _recipe(args)
    accelerator = _accelerator(args.device)
    folder = Path(args.folder or f"runs/{recipe.name}")
    # The start of the weights depends on nothing else, and nobody else's random numbers move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        net = recipe.make_net()
    training = Training(
        net, schedule=recipe.make_schedule(), config=recipe.train, accelerator=accelerator
    )
    found, refused = checkpoint.latest(folder)
    for reason in refused:
        print(f"passed over: {reason}")
    if found is not None:
        resume.restore(training, found)
        print(f"going on after step {training.step}: {found.path}")
    images, labels = load_data(recipe.data, folder=args.data_folder)
    batches = shuffled(
        images,
        labels,
        batch_size=recipe.batch_size,
        seed=recipe.train.seed,
        start=training.step * recipe.train.accumulation,
        share=(accelerator.process_index, accelerator.num_processes),
    )
    if accelerator.is_main_process:
        _announce(recipe, net, images, folder=folder)
    return _run(training, recipe, batches, folder=folder)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dmlib.train", description=__doc__)
    parser.add_argument("--preset", default="smoke", help="smoke, cpu, shipped, t4, big, cifar10")
    parser.add_argument("--folder", help="where the run is kept; runs/<preset> if not given")
    parser.add_argument("--data-folder", help="where the data set's files lie, if not downloaded")
    parser.add_argument("--steps", type=int, help="of the optimizer, instead of the preset's")
    parser.add_argument("--batch-size", type=int, help="of all processes together")
    parser.add_argument("--accumulation", type=int, help="batches added up to one step")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu, cuda, mps; the fastest there is if not given")
    return parser.parse_args(arguments)


def _recipe(args: argparse.Namespace) -> Preset:
    chosen = preset(args.preset)
    given = {k: getattr(args, k) for k in ("steps", "accumulation", "seed")}
    train = replace(chosen.train, **{k: v for k, v in given.items() if v is not None})
    return replace(chosen, train=train, batch_size=args.batch_size or chosen.batch_size)


def _accelerator(device: str | None) -> Any:
    """accelerate's, if a launcher started this process; else one device."""
    if "WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ:
        from accelerate import Accelerator

        return Accelerator(cpu=device == "cpu")
    return OneDevice(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _announce(recipe: Preset, net: nn.Module, images: Tensor, *, folder: Path) -> None:
    parameters = sum(p.numel() for p in net.parameters())
    per_step = recipe.batch_size * recipe.train.accumulation
    print(f"preset {recipe.name}: {recipe.purpose}")
    print(f"{parameters:,} parameters, {len(images):,} images, {per_step} a step")
    print(f"{recipe.train.steps:,} steps; kept in {folder}, same command to go on")


def _run(training: Training, recipe: Preset, batches: Iterator[Batch], *, folder: Path) -> int:
    main_process = training.accelerator.is_main_process
    log = RunLog(folder, recipe, step=training.step) if main_process else None

    def keep() -> None:
        if main_process:
            checkpoint.save(folder, *resume.state(training), step=training.step)

    try:
        for record in training.run(batches):
            done = record.step == recipe.train.steps
            if log is not None:
                log.add(record, training.ema)
            if done or record.step % recipe.save_every == 0:
                keep()
    except KeyboardInterrupt:
        keep()
        print(f"stopped after step {training.step}; same command to go on")
        return 130
    except Diverged as error:
        print(f"stopped: {error}; the last good checkpoint is kept in {folder}")
        return 1
    except torch.cuda.OutOfMemoryError:
        half = max(1, recipe.batch_size // 2)
        print(
            f"out of memory with batches of {recipe.batch_size}; the same training in smaller "
            f"pieces: --batch-size {half} --accumulation {2 * recipe.train.accumulation}"
        )
        return 1
    if log is not None:
        print(f"weights: {log.finish(training)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
