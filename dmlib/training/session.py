"""One run in one folder: begun or gone on with, trained, kept. Command and notebook share it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmlib import checkpoint
from dmlib.checkpoint import CheckpointError
from dmlib.checkpoint.files import FolderError, clear_leftovers, locked, make_folder
from dmlib.data import Pictures, check_range
from dmlib.training import resume
from dmlib.training.batches import shuffled
from dmlib.training.device import OneDevice, fastest_device
from dmlib.training.inputs import check_labels, fingerprint
from dmlib.training.log import RunLog, preview
from dmlib.training.loop import Batch, Diverged, Training
from dmlib.training.outcome import Outcome, is_out_of_memory
from dmlib.training.recipes import Recipe
from dmlib.training.record import Record
from dmlib.training.seeding import seeded
from dmlib.training.stopping import stop_between_steps

SAVE_SECONDS = 120.0  # at least this often, whatever the recipe says in steps


class Session:
    """A run: the recipe's network, where it stands, its data, and what it leaves in its folder.

    Made in a folder that holds a checkpoint of the same run, it goes on there.

    Args:
        recipe: what is trained.
        folder: of the run; made if it is not there.
        device: "cpu", "cuda", ...; the fastest there is if None.
        data_folder: where the data set's files lie, if they shall not be looked for or downloaded.
        images: of your own, instead of the recipe's data: (N, C, H, W) uint8 or floats in
            [-1, 1], or what `data.folder` gives, with its labels.
        labels: (N,) int64 in 0..num_classes-1, theirs; None for a network without classes.

    Raises:
        CheckpointError: the folder holds another network's run, or nothing but checkpoints that
            cannot be read.
        DataError: the data can be neither found nor downloaded.
        FolderError: the folder cannot be written to, or another process is training there.
        ValueError: the images or labels do not fit the recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        folder: Path | str,
        device: str | None = None,
        data_folder: str | None = None,
        images: Tensor | Pictures | None = None,
        labels: Tensor | None = None,
    ) -> None:
        self.recipe, self.folder = recipe, Path(folder)
        self.accelerator = make_accelerator(device)
        self.main = self.accelerator.is_main_process
        with seeded(recipe.train.seed):  # the start of the weights depends on nothing else
            denoiser = recipe.make_denoiser()
        self.training = Training(denoiser, config=recipe.train, accelerator=self.accelerator)
        own, names = images is not None or labels is not None, ()
        if isinstance(images, Pictures):
            images, labels, names = images.images, images.labels, images.names
        if not own:
            images, labels = recipe.data(data_folder)
        self.images, self.labels = _fitting(recipe, images, labels)
        self.data = fingerprint(self.images, self.labels)
        self.found, self.refused = checkpoint.latest(self.folder)
        if self.found is not None:
            resume.restore(self.training, self.found)
            self._check_data()
        elif self.refused and not _first_save_was_cut(self.folder):
            raise CheckpointError(
                f"{self.folder}: no checkpoint can be read ({'; '.join(self.refused)}); try: put "
                "good ones there, or move these away to begin anew"
            )
        self.kept = None if self.found is None else self.training.step
        self._batches()  # refuses a batch that cannot be made of them
        self.log: RunLog | None = None
        if self.main:
            numbers = sum(p.numel() for p in denoiser.parameters())
            make_folder(self.folder, room=3 * 16 * numbers)  # three states for a moment
            with locked(self.folder):
                clear_leftovers(self.folder)
            data = f"{len(self.images):,} images of one's own" if own else None
            step = self.training.step
            self.log = RunLog(self.folder, recipe, step=step, data=data, names=names)
        self._kept_at = time.monotonic()

    def start_from(self, path: Path | str) -> None:
        """Begin with the weights of another run; nothing happens where this run has begun.

        Args:
            path: see `resume.start_from`.

        Raises:
            CheckpointError: the file is bad, or holds another network.
        """
        if self.found is None:
            resume.start_from(self.training, path)

    def keep(self) -> None:
        """Write a checkpoint (on the main process).

        Raises:
            Diverged: the last step's loss or gradient is not finite; nothing is written.
            FolderError: it cannot be written.
        """
        if self.main:
            tensors, card = resume.state(self.training)
            card["data_sha256"] = self.data
            checkpoint.save(self.folder, tensors, card, step=self.training.step)
        self.kept, self._kept_at = self.training.step, time.monotonic()

    def train(self, watch: Callable[[Record], None] = lambda record: None) -> Outcome:
        """Train to the recipe's end, or until something stops it; nothing that was kept is lost.

        Ctrl-C (the notebook's stop button), SIGTERM and SIGUSR1 (a cluster's time limit) wait for
        the step that runs to end, and then keep a checkpoint; a second Ctrl-C acts at once. Of
        several processes it is enough that one is asked: all stop after the same step.

        Args:
            watch: called after every step, with its record, when log and checkpoint are written.

        Returns:
            How it ended; the final weights are written only when it is "done".
        """
        try:
            with contextlib.ExitStack() as inside:
                if self.main:
                    inside.enter_context(locked(self.folder))
                patient = self.accelerator.num_processes > 1
                stop_asked = inside.enter_context(stop_between_steps(patient=patient))
                return self._train(watch, stop_asked)
        except Diverged as error:
            return Outcome.diverged(error, folder=self.folder, kept=self.kept)
        except FolderError as error:
            return Outcome("folder", f"stopped: {error}", 1)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            train = self.recipe.train
            return Outcome.memory(
                batch_size=self.recipe.batch_size, accumulation=train.accumulation
            )

    def _train(self, watch: Callable[[Record], None], stop_asked: Callable[[], bool]) -> Outcome:
        last = self.training.step
        try:
            self._owed()
            for record in self.training.run(self._batches()):
                last = record.step
                self._note(record)
                watch(record)
                if self._any(stop_asked()):
                    self.keep()
                    self._any(False)  # nobody leaves, and gets the others killed, before that
                    return Outcome.stopped(last)
        except KeyboardInterrupt:
            if last == self.training.step:  # not in the middle of an update
                self.keep()
            return Outcome.stopped(last)
        return Outcome("done", f"weights: {self.log.finish(self.training)}" if self.log else "", 0)

    def _any(self, asked: bool) -> bool:
        """Whether any process was asked: the same answer on all of them."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.training.device)
        return bool(self.accelerator.reduce(flag, reduction="sum"))

    def _check_data(self) -> None:
        """Raise if the run was begun on other images; a checkpoint of old does not tell."""
        theirs = self.found.card.get("data_sha256", self.data)
        if theirs != self.data:
            raise CheckpointError(
                f"{self.found.path}: trained on other images or labels (SHA-256 {theirs[:12]}…, "
                f"these have {self.data[:12]}…); try: the same data, or another folder"
            )

    def _batches(self) -> Iterator[Batch]:
        return shuffled(
            self.images,
            self.labels,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.train.seed,
            start=self.training.step * self.recipe.train.accumulation,
            share=(self.accelerator.process_index, self.accelerator.num_processes),
            flips=self.recipe.flips,
        )

    def _note(self, record: Record) -> None:
        """What a step leaves: a line of the log, then a checkpoint, and a picture last."""
        if self.log is not None:
            self.log.add(record)
        due = record.step % self.recipe.save_every == 0 or record.step == self.recipe.train.steps
        if due or time.monotonic() - self._kept_at > SAVE_SECONDS:
            self.keep()
        self._picture()

    def _owed(self) -> None:
        if self.log is not None and self.log.owes(self.training.step):
            self._picture()

    def _picture(self) -> None:
        if self.log is None:
            return
        net = self.training.ema.net
        chunk = max(1, self.recipe.batch_size // self.accelerator.num_processes)
        trouble = self.log.picture(self.training.step, lambda: preview(net, chunk=chunk))
        if trouble is not None:
            print(f"{trouble}; the training goes on", file=sys.stderr, flush=True)


def _first_save_was_cut(folder: Path) -> bool:
    """Whether all that lies there are tensors without their card: a crash in the first save."""
    files = list(folder.glob("step_*"))
    return len(files) == 1 and files[0].suffix == ".safetensors"


def _fitting(
    recipe: Recipe, images: Tensor | None, labels: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Images and labels for the recipe's network; no labels where it has no classes."""
    net = recipe.net
    shape = net.shape
    if not isinstance(images, Tensor) or tuple(images.shape[1:]) != shape:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"images must be a tensor (N, {shape[0]}, {shape[1]}, {shape[2]}) for the recipe's "
            f"network, got {got}; try: fitted(recipe, images, labels) of dmlib.training.recipes"
        )
    check_range("images", images)
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
