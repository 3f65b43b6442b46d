"""Training in a notebook: `train_here(recipe)` says what it will do, shows it, and can be stopped.

Run the cell again after a stop, a crash or a lost connection, and it goes on where it was.
"""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from dmlib.book.live_view import LiveView
from dmlib.checkpoint import Card, read
from dmlib.data import Pictures
from dmlib.schedules import NoiseSchedule
from dmlib.training.device import fastest_device
from dmlib.training.estimate import Estimate, estimate
from dmlib.training.log import read_grids, read_log
from dmlib.training.model_card import device_name
from dmlib.training.outcome import Outcome
from dmlib.training.recipes import Recipe
from dmlib.training.record import Record
from dmlib.training.session import Session

DRIVE = Path("/content/drive")
PICTURE_SECONDS = 30.0  # between two pictures of the curves, if no grid comes in between


@dataclass(frozen=True)
class Trained:
    """What `train_here` hands back, finished or not.

    Args:
        net: the averaged network as it stands, in eval mode: net(xt, t, y) -> eps_hat.
        raw: the network that the optimizer worked on, not averaged.
        schedule: that it was trained with.
        recipe: that was trained.
        folder: where the run is kept: checkpoints, log.jsonl, grids, weights, cards.
        outcome: how the training ended.
    """

    net: nn.Module = field(repr=False)
    raw: nn.Module = field(repr=False)
    schedule: NoiseSchedule = field(repr=False)
    recipe: Recipe = field(repr=False)
    folder: Path
    outcome: Outcome

    @property
    def weights(self) -> Path:
        """The file of the averaged weights; it is there when the training is done."""
        return self.folder / "weights.safetensors"

    @property
    def card(self) -> Card:
        """The weights' card, as it stands on the disk."""
        return read(self.weights).card


def train_here(
    recipe: Recipe,
    *,
    folder: str | Path | None = None,
    device: str | None = None,
    data_folder: str | None = None,
    drive: bool = False,
    images: Tensor | Pictures | None = None,
    labels: Tensor | None = None,
) -> Trained:
    """Train in this notebook (or script), or go on with the run in the same folder.

    Args:
        recipe: `CPU`, `choose_recipe()`, or one changed with `replace`.
        folder: where the run is kept; runs/<name of the recipe> if None.
        device: "cpu", "cuda", ...; the fastest there is if None.
        data_folder: where the data set's files lie, if they shall not be looked for or downloaded.
        drive: on Colab, keep the run on your Google Drive (asks for permission).
        images, labels: of your own, instead of the recipe's data; see `Session`.

    Returns:
        The network and where everything is kept, also when the training was stopped.

    Raises:
        CheckpointError: the folder holds another network's run, or nothing but checkpoints that
            cannot be read.
        DataError: the data can be neither found nor downloaded.
        ValueError: drive is asked for, but this is not Colab; images or labels do not fit.
    """
    place = _place(recipe, folder, drive=drive)
    device = device or fastest_device()
    session = Session(
        recipe, folder=place, device=device, data_folder=data_folder, images=images, labels=labels
    )
    for reason in session.refused:
        print(f"passed over: {reason}")
    if session.training.step < recipe.train.steps:
        announce(recipe, estimate(recipe, device=device), device=device, folder=place)
    if session.training.step >= recipe.train.steps:
        print(f"nothing left to do: all {recipe.train.steps} steps are done")
    elif session.found is not None:
        print(f"going on after step {session.training.step} of {recipe.train.steps}")
    outcome = _show(session)
    print(outcome.sentence)
    net = session.training.ema.net
    return Trained(
        net, session.training.net.eval(), session.training.schedule, recipe, place, outcome
    )


def announce(recipe: Recipe, cost: Estimate, *, device: str, folder: Path) -> None:
    """Print what a training will do and cost."""
    per_step = recipe.batch_size * recipe.train.accumulation
    print(f"recipe     {recipe.name}")
    print(textwrap.fill(recipe.purpose, 76, initial_indent=" " * 11, subsequent_indent=" " * 11))
    print(f"device     {device_name(torch.device(device))}")
    print(f"network    {cost.parameters:,} parameters")
    print(f"training   {recipe.train.steps:,} steps of {per_step} images")
    print(f"memory     about {_size(cost.memory)}{_available(device)}")
    if cost.seconds_per_step is None:
        print("time       could not be measured: not even one step fits into memory")
    else:
        total = cost.seconds_per_step * recipe.train.steps
        print(f"time       about {_duration(total)}, {cost.seconds_per_step:.2g} s a step")
    print(f"kept in    {folder}; run this again to go on after a stop")


def _place(recipe: Recipe, folder: str | Path | None, *, drive: bool) -> Path:
    place = Path(folder or f"runs/{recipe.name}")
    try:
        from google.colab import drive as colab_drive
    except ImportError:
        if drive:
            raise ValueError("drive=True works on Colab only; try: leave it out") from None
        return place
    if not drive:
        print("On Colab the folder is lost with the machine. To keep it: train_here(…, drive=True)")
        return place
    colab_drive.mount(str(DRIVE))
    return DRIVE / "MyDrive" / "diffusion-book" / place


def _show(session: Session) -> Outcome:
    steps = session.recipe.train.steps
    view = LiveView(steps, done=session.training.step)
    drawn, grids = time.monotonic(), -1

    def watch(record: Record) -> None:
        nonlocal drawn, grids
        view.step(record)
        if session.log is None or (session.log.fresh() is None and record.step != steps):
            return
        newest = record.step // session.recipe.preview_every
        if newest != grids or record.step == steps or time.monotonic() - drawn > PICTURE_SECONDS:
            view.picture(read_log(session.folder), _newest_grid(session.folder))
            drawn, grids = time.monotonic(), newest

    outcome = session.train(watch)
    # Also for a run that was already done: what one sees is where it stands.
    view.picture(read_log(session.folder), _newest_grid(session.folder))
    view.close()
    return outcome


def _newest_grid(folder: Path):
    grids = read_grids(folder)
    return max(grids.items()) if grids else None


def _available(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    return f" of the GPU's {_size(torch.cuda.get_device_properties(device).total_memory)}"


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{max(n / 1e6, 1):.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
