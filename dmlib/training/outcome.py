"""How a training ended, in a sentence that says what to do next."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        status: "done", "stopped" (by hand), "diverged" (NaN), "memory" (too little of it) or
            "folder" (full, or somebody else's).
        sentence: for the reader.
        code: the command's exit status.
    """

    status: str
    sentence: str
    code: int

    @classmethod
    def stopped(cls, step: int) -> Outcome:
        """Asked to by Ctrl-C or a signal."""
        again = "same command to go on (in a notebook: run the cell again)"
        return cls("stopped", f"stopped after step {step}; {again}", 130)

    @classmethod
    def memory(cls, *, batch_size: int, accumulation: int) -> Outcome:
        """Not enough of it for a step."""
        half, twice = max(1, batch_size // 2), 2 * accumulation
        sentence = (
            f"out of memory with batches of {batch_size}; the same training in smaller pieces: "
            f"--batch-size {half} --accumulation {twice} "
            "(in a notebook: recipe = in_pieces(recipe), and run the cell again)"
        )
        return cls("memory", sentence, 1)

    @classmethod
    def diverged(cls, error: Exception, *, folder: object, kept: int | None) -> Outcome:
        """NaN; `kept` is the last checkpoint's step, if there is one."""
        if kept is None:
            what = f"no checkpoint was kept before, a next run in {folder} begins anew"
        else:
            what = f"the last good checkpoint is kept in {folder} (step {kept})"
        return cls("diverged", f"stopped: {error}; {what}", 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says so; only CUDA has a class of its own for it."""
    text = str(error).lower()
    return (
        isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
