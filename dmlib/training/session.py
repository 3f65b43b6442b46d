"""One run in one folder: begun or gone on with, trained, kept. Command and notebook share it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmlib import checkpoint
from dmlib.checkpoint import CheckpointError
from dmlib.training import resume
from dmlib.training.batches import load_data, shuffled
from dmlib.training.inputs import check_labels
from dmlib.training.log import RunLog
from dmlib.training.loop import Batch, Diverged, OneDevice, Record, Training
from dmlib.training.recipes import Preset
from dmlib.training.stopping import stop_between_steps

SAVE_SECONDS = 120.0  # at least this often, whatever the preset says in steps


@dataclass(frozen=True)
class Outcome:
    """How a training ended, in a sentence that says what to do next.

    Args:
        status: "done", "stopped" (by hand), "diverged" (NaN) or "memory" (too little of it).
        sentence: for the reader.
        code: the command's exit status.
    """

    status: str
    sentence: str
    code: int


class Session:
    """A run: the recipe's network, where it stands, its data, and what it leaves in its folder.

    Made in a folder that holds a checkpoint of the same run, it goes on there.

    Args:
        recipe: what is trained.
        folder: of the run; made if it is not there.
        device: "cpu", "cuda", ...; the fastest there is if None.
        data_folder: where the data set's files lie, if they shall not be looked for or downloaded.
        images: (N, C, H, W) uint8 or floats in [-1, 1] of your own, instead of the recipe's data.
        labels: (N,) int64 in 0..num_classes-1, theirs; None for a network without classes.

    Raises:
        CheckpointError: the folder holds another network's run, or nothing but checkpoints that
            cannot be read.
        DataError: the data can be neither found nor downloaded.
        ValueError: the images or labels do not fit the recipe.
    """

    def __init__(
        self,
        recipe: Preset,
        *,
        folder: Path | str,
        device: str | None = None,
        data_folder: str | None = None,
        images: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> None:
        self.recipe, self.folder = recipe, Path(folder)
        self.accelerator = make_accelerator(device)
        self.main = self.accelerator.is_main_process
        # The start of the weights depends on nothing else, and nobody else's numbers move.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.train.seed)
            net = recipe.make_net()
        self.training = Training(
            net, schedule=recipe.make_schedule(), config=recipe.train, accelerator=self.accelerator
        )
        self.found, self.refused = checkpoint.latest(self.folder)
        if self.found is not None:
            resume.restore(self.training, self.found)
        elif self.refused and not _first_save_was_cut(self.folder):
            raise CheckpointError(
                f"{self.folder}: no checkpoint can be read ({'; '.join(self.refused)}); try: put "
                "good ones there, or move these away to begin anew"
            )
        self.kept = None if self.found is None else self.training.step
        own = images is not None or labels is not None
        if not own:
            images, labels = load_data(recipe.data, folder=data_folder)
        self.images, self.labels = _fitting(recipe, images, labels)
        self._batches()  # refuses a batch that cannot be made of them
        self.log: RunLog | None = None
        if self.main:
            data = f"{len(self.images):,} images of one's own" if own else None
            self.log = RunLog(self.folder, recipe, step=self.training.step, data=data)
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Write a checkpoint (on the main process)."""
        if self.main:
            checkpoint.save(self.folder, *resume.state(self.training), step=self.training.step)
        self.kept, self._kept_at = self.training.step, time.monotonic()

    def train(self, watch: Callable[[Record], None] = lambda record: None) -> Outcome:
        """Train to the recipe's end, or until something stops it; nothing that was kept is lost.

        Ctrl-C (the notebook's stop button) and SIGTERM (a cluster's time limit) wait for the step
        that runs to end, and then keep a checkpoint; a second Ctrl-C acts at once. Of several
        processes it is enough that one is asked: all stop after the same step.

        Args:
            watch: called after every step, with its record, when log and checkpoint are written.

        Returns:
            How it ended; the final weights are written only when it is "done".
        """
        last = self.training.step
        try:
            with stop_between_steps(patient=self.accelerator.num_processes > 1) as stop_asked:
                for record in self.training.run(self._batches()):
                    last = record.step
                    self._note(record)
                    watch(record)
                    if self._any(stop_asked()):
                        self.keep()
                        self._any(False)  # nobody leaves, and gets the others killed, before that
                        return self._stopped()
        except KeyboardInterrupt:
            if last == self.training.step:  # not in the middle of an update
                self.keep()
            return self._stopped()
        except Diverged as error:
            return Outcome("diverged", f"stopped: {error}; {self._what_is_kept()}", 1)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return self._out_of_memory()
        where = f"weights: {self.log.finish(self.training)}" if self.log is not None else ""
        return Outcome("done", where, 0)

    def _any(self, asked: bool) -> bool:
        """Whether any process was asked: the same answer on all of them."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.training.device)
        return bool(self.accelerator.reduce(flag, reduction="sum"))

    def _what_is_kept(self) -> str:
        if self.kept is None:
            return f"no checkpoint was kept before, a next run in {self.folder} begins anew"
        return f"the last good checkpoint is kept in {self.folder} (step {self.kept})"

    def _batches(self) -> Iterator[Batch]:
        return shuffled(
            self.images,
            self.labels,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.train.seed,
            start=self.training.step * self.recipe.train.accumulation,
            share=(self.accelerator.process_index, self.accelerator.num_processes),
        )

    def _note(self, record: Record) -> None:
        if self.log is not None:
            self.log.add(record, self.training.ema)
        due = record.step % self.recipe.save_every == 0 or record.step == self.recipe.train.steps
        if due or time.monotonic() - self._kept_at > SAVE_SECONDS:
            self.keep()

    def _stopped(self) -> Outcome:
        sentence = (
            f"stopped after step {self.training.step}; same command to go on "
            "(in a notebook: run the cell again)"
        )
        return Outcome("stopped", sentence, 130)

    def _out_of_memory(self) -> Outcome:
        half = max(1, self.recipe.batch_size // 2)
        twice = 2 * self.recipe.train.accumulation
        sentence = (
            f"out of memory with batches of {self.recipe.batch_size}; the same training in smaller "
            f"pieces: --batch-size {half} --accumulation {twice} "
            "(in a notebook: recipe = in_pieces(recipe), and run the cell again)"
        )
        return Outcome("memory", sentence, 1)


def _first_save_was_cut(folder: Path) -> bool:
    """Whether all that lies there are tensors without their card: a crash in the first save."""
    files = list(folder.glob("step_*"))
    return len(files) == 1 and files[0].suffix == ".safetensors"


def _fitting(
    recipe: Preset, images: Tensor | None, labels: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Images and labels for the recipe's network; no labels where it has no classes."""
    net = recipe.net
    shape = (net.channels, net.image_size, net.image_size)
    if not isinstance(images, Tensor) or tuple(images.shape[1:]) != shape:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"images must be a tensor (N, {net.channels}, {net.image_size}, {net.image_size}) for "
            f"the recipe's network, got {got}"
        )
    if net.num_classes is None:
        return images, None
    if labels is None:
        raise ValueError(
            f"labels must be there for the {net.num_classes} classes of the recipe's network, got "
            "None; try: replace(recipe, net=replace(recipe.net, num_classes=None))"
        )
    check_labels("labels", labels, size=len(images), num_classes=net.num_classes)
    return images, labels


def make_accelerator(device: str | None) -> Any:
    """accelerate's, if a launcher started this process; else one device, the fastest there is."""
    if "WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ:
        from accelerate import Accelerator

        return Accelerator(cpu=device == "cpu")
    return OneDevice(device or fastest_device())


def fastest_device() -> str:
    """cuda or mps where there is one, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says so; only CUDA has a class of its own for it."""
    text = str(error).lower()
    return (
        isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
