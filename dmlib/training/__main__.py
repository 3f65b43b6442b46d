"""Train from a shell: `python -m dmlib.training --recipe cpu`, and the same command to go on.

On several processes or GPUs: `accelerate launch -m dmlib.training --recipe big`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from dmlib.data.download import DataError
from dmlib.training.recipes import RECIPES, Recipe
from dmlib.training.session import Session


def main(arguments: list[str] | None = None) -> int:
    """Train, or go on; see `--help`."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        recipe = _recipe(args)
        folder = Path(args.folder or f"runs/{recipe.name}")
        session = Session(recipe, folder=folder, device=args.device, data_folder=args.data_folder)
    except (ValueError, DataError) as error:
        parser.error(str(error))
    if session.main:
        _announce(session)
    outcome = session.train(lambda record: _report(session))
    if session.main:
        print(outcome.sentence)
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dmlib.training", description=__doc__)
    names = [r.name for r in RECIPES]
    parser.add_argument("--recipe", default="smoke", choices=names, help="the recipe")
    parser.add_argument("--folder", help="where the run is kept; runs/<recipe> if not given")
    parser.add_argument("--data-folder", help="where the data set's files lie, if not downloaded")
    parser.add_argument("--steps", type=int, help="of the optimizer, instead of the recipe's")
    parser.add_argument("--batch-size", type=int, help="of all processes together")
    parser.add_argument("--accumulation", type=int, help="batches added up to one step")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--device", type=_device, help="cpu, cuda, mps; the fastest there is if not given"
    )
    return parser


def _device(name: str) -> str:
    try:
        torch.empty(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the latter
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"cannot compute on {name!r}: {reason}") from None
    return name


def _recipe(args: argparse.Namespace) -> Recipe:
    chosen = next(r for r in RECIPES if r.name == args.recipe)
    given = {k: v for k, v in vars(args).items() if v is not None}
    train = {k: given[k] for k in ("steps", "accumulation", "seed") if k in given}
    batch_size = given.get("batch_size", chosen.batch_size)
    return replace(chosen, train=replace(chosen.train, **train), batch_size=batch_size)


def _announce(session: Session) -> None:
    recipe = session.recipe
    for reason in session.refused:
        print(f"passed over: {reason}")
    if session.training.step >= recipe.train.steps:
        print(f"nothing left to do: all {recipe.train.steps} steps are done")
    elif session.found is not None:
        print(f"going on after step {session.training.step}: {session.found.path}")
    parameters = sum(p.numel() for p in session.training.net.parameters())
    per_step = recipe.batch_size * recipe.train.accumulation
    print(f"recipe {recipe.name}: {recipe.purpose}")
    print(f"{parameters:,} parameters, {len(session.images):,} images, {per_step} a step")
    print(f"{recipe.train.steps:,} steps; kept in {session.folder}, same command to go on")


def _report(session: Session) -> None:
    """A line of text whenever the log got one."""
    line = session.log.fresh() if session.log is not None else None
    if line is None:
        return
    steps = session.recipe.train.steps
    left = (steps - line["step"]) * line["seconds"] / line["step"]
    print(
        f"step {line['step']}/{steps}  loss {line['loss']:.4f}  "
        f"{line['images_per_second']:.0f} images/s  {left / 60:.0f} min left",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
