"""One run in one folder: begun or gone on with, trained, kept. Command and notebook share it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dmlib import checkpoint, resume
from dmlib.batches import load_data, shuffled
from dmlib.presets import Preset
from dmlib.runlog import RunLog
from dmlib.training import Diverged, OneDevice, Record, Training

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

    Raises:
        CheckpointError: the folder holds another network's run.
        DataError: the data can be neither found nor downloaded.
    """

    def __init__(
        self,
        recipe: Preset,
        *,
        folder: Path | str,
        device: str | None = None,
        data_folder: str | None = None,
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
        self.images, self.labels = load_data(recipe.data, folder=data_folder)
        self.log = RunLog(self.folder, recipe, step=self.training.step) if self.main else None
        self._kept = time.monotonic()

    def keep(self) -> None:
        """Write a checkpoint (on the main process)."""
        if self.main:
            checkpoint.save(self.folder, *resume.state(self.training), step=self.training.step)
        self._kept = time.monotonic()

    def train(self, watch: Callable[[Record], None] = lambda record: None) -> Outcome:
        """Train to the recipe's end, or until something stops it; nothing that was kept is lost.

        Ctrl-C (the notebook's stop button) and SIGTERM (a cluster's time limit) wait for the step
        that runs to end, and then keep a checkpoint; a second Ctrl-C acts at once.

        Args:
            watch: called after every step, with its record, when log and checkpoint are written.

        Returns:
            How it ended; the final weights are written only when it is "done".
        """
        last = self.training.step
        try:
            with stop_between_steps() as stop_asked:
                for record in self.training.run(self._batches()):
                    last = record.step
                    self._note(record)
                    watch(record)
                    if stop_asked():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            if last == self.training.step:  # not in the middle of an update
                self.keep()
            return self._stopped()
        except Diverged as error:
            sentence = f"stopped: {error}; the last good checkpoint is kept in {self.folder}"
            return Outcome("diverged", sentence, 1)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return self._out_of_memory()
        where = f"weights: {self.log.finish(self.training)}" if self.log is not None else ""
        return Outcome("done", where, 0)

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
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
        if due or time.monotonic() - self._kept > SAVE_SECONDS:
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


@contextlib.contextmanager
def stop_between_steps() -> Iterator[Callable[[], bool]]:
    """Within, a first Ctrl-C or SIGTERM only raises a flag, which the yielded function reads."""
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may set handlers
        return
    before = {n: signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says so; only CUDA has a class of its own for it."""
    text = str(error).lower()
    return (
        isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
