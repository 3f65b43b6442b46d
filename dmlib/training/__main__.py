"""Train from a shell: `python -m dmlib.training --recipe cpu`, and the same command to go on.

On pictures of your own, classes from subfolders: `python -m dmlib.training --images FOLDER`.
On several processes or GPUs: `accelerate launch -m dmlib.training --recipe big`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from dmlib.checkpoint.files import FolderError
from dmlib.data import DataError, folder
from dmlib.training.board import BoardLog
from dmlib.training.recipes import RECIPES, SMOKE, Recipe, choose_recipe, fitted
from dmlib.training.session import Session

TRAIN = (
    "steps",
    "accumulation",
    "seed",
    "learning_rate",
    "ema_decay",
    "precision",
    "compile",
)


def main(arguments: list[str] | None = None) -> int:
    """Train, or go on; see `--help`."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        session = _session(args)
        board = BoardLog(session.folder) if args.tensorboard and session.main else None
    except (ValueError, DataError, FolderError) as error:
        parser.error(str(error))
    if session.main:
        _announce(session)
    outcome = session.train(lambda record: _report(session, board))
    if session.main:
        print(outcome.sentence)
    return outcome.code


def _session(args: argparse.Namespace) -> Session:
    """The run that the arguments ask for."""
    chosen, own = _recipe(args), {}
    place = chosen.name
    if args.images is not None:
        found = folder(args.images, size=args.size)
        for reason in found.skipped:
            print(f"skipped {reason}")
        chosen, own = fitted(chosen, found), {"images": found}
        place = f"{chosen.name}-{Path(args.images).resolve().name}"
    where = Path(args.folder or f"runs/{place}")
    session = Session(chosen, folder=where, device=args.device, data_folder=args.data_folder, **own)
    if args.start is not None:
        session.start_from(args.start)
    return session


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dmlib.training", description=__doc__)
    names = [r.name for r in RECIPES]
    add = parser.add_argument
    add("--recipe", choices=names, help="smoke if not given; with --images, the machine's")
    add("--folder", help="where the run is kept; runs/<recipe> if not given")
    add("--data-folder", help="where the data set's files lie, if not downloaded")
    add("--images", help="a folder of pictures of your own, instead of the recipe's data")
    add("--size", type=_size, default=32, help="of these pictures: 32, or 48x64 (height x width)")
    add("--flips", action="store_true", default=None, help="show every other one turned round")
    add("--start", help="begin with these weights (a .safetensors file), not with random ones")
    add("--tensorboard", action="store_true", help="write the log for TensorBoard, too")
    add("--steps", type=int, help="of the optimizer, instead of the recipe's")
    add("--batch-size", type=int, help="of all processes together")
    add("--accumulation", type=int, help="batches added up to one step")
    add("--learning-rate", type=float)
    add("--ema-decay", type=float)
    add("--precision", help="float32, bfloat16, float16 or auto")
    add("--compile", action=argparse.BooleanOptionalAction, help="use torch.compile")
    add("--seed", type=int)
    add("--device", type=_device, help="cpu, cuda, mps; the fastest there is if not given")
    return parser


def _size(text: str) -> int | tuple[int, int]:
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"must be like 32 or 48x64, got {text!r}")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _device(name: str) -> str:
    try:
        torch.empty(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the latter
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"cannot compute on {name!r}: {reason}") from None
    return name


def _recipe(args: argparse.Namespace) -> Recipe:
    usual = SMOKE if args.images is None else choose_recipe()
    chosen = next((r for r in RECIPES if r.name == args.recipe), usual)
    given = {k: v for k, v in vars(args).items() if v is not None}
    train = {k: given[k] for k in TRAIN if k in given}
    rest = {k: given[k] for k in ("batch_size", "flips") if k in given}
    return replace(chosen, train=replace(chosen.train, **train), **rest)


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


def _report(session: Session, board: BoardLog | None) -> None:
    """A line of text (and of TensorBoard's log) whenever the log got one."""
    line = session.log.fresh() if session.log is not None else None
    if line is None:
        return
    if board is not None:
        board.add(line)
    steps = session.recipe.train.steps
    left = (steps - line["step"]) * line["seconds"] / line["step"]
    print(
        f"step {line['step']}/{steps}  loss {line['loss']:.4f}  "
        f"{line['images_per_second']:.0f} images/s  {left / 60:.0f} min left",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
