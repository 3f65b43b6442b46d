"""What a training will cost, before it starts: counted and measured, not promised."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dmlib.training.batches import shuffled
from dmlib.training.device import OneDevice
from dmlib.training.loop import Training
from dmlib.training.outcome import is_out_of_memory
from dmlib.training.recipes import Recipe
from dmlib.training.seeding import seeded


@dataclass(frozen=True)
class Estimate:
    """The cost of a recipe on a device.

    Args:
        parameters: of the network.
        memory: bytes that training holds at once, about: weights, their average, gradients and
            Adam's two moments, and what the backward pass needs of one batch.
        seconds_per_step: of the optimizer, measured; None if not even that fitted into memory.
    """

    parameters: int
    memory: int
    seconds_per_step: float | None


def estimate(recipe: Recipe, *, device: str) -> Estimate:
    """Count the memory and time a few steps on made-up images; nothing of it is kept.

    A small batch is timed first. If a whole step would take more than 3 s on its account, it is
    scaled up; else a whole step is timed, too.

    Args:
        recipe: that shall be trained.
        device: to train on.
    """
    config = replace(recipe.train, compile=False, accumulation=1, steps=100)
    with seeded(0, device):
        denoiser = recipe.make_denoiser()
    training = Training(denoiser, config=config, accelerator=OneDevice(device))
    try:
        seconds = _seconds(training, recipe)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        seconds = None
    parameters = sum(p.numel() for p in denoiser.parameters())
    return Estimate(parameters, memory_of(training, recipe), seconds)


def memory_of(training: Training, recipe: Recipe) -> int:
    """Bytes that a step of the recipe holds at once, about.

    float32 each: weight, average, gradient, Adam's first and second moment; and what autograd
    saves for the backward pass. Of that, what grows with the batch is told from what does not
    (weights cast to 16 bits) by two batch sizes.
    """
    two, four = (_saved_bytes(training, recipe, size) for size in (2, 4))
    per_image = (four - two) // 2
    parameters = sum(p.numel() for p in training.net.parameters())
    return 5 * 4 * parameters + (two - 2 * per_image) + recipe.batch_size * per_image


def _saved_bytes(training: Training, recipe: Recipe, size: int) -> int:
    """Bytes that the forward pass of a batch leaves for the backward pass: what autograd saves."""
    own = {p.untyped_storage().data_ptr() for p in training.net.parameters()}
    saved: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    x0, y = next(_some_batches(recipe, size))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x), seeded(0, training.device):
        # Held, so that no storage is freed and its address used again.
        losses = training._losses(x0.to(training.device), y, training._draw([(x0, y)])[0])
    del losses
    return sum(saved.values())


def _seconds(training: Training, recipe: Recipe) -> float:
    few = min(8, recipe.batch_size)
    for size in (few, recipe.batch_size):
        steps = training.run(_some_batches(recipe, size))
        next(steps)  # the first one also sets things up
        training.settle()  # on CUDA: until the work is done
        start = time.perf_counter()
        next(steps)
        training.settle()
        step = (time.perf_counter() - start) * recipe.batch_size / size
        if step > 3:
            break
    return step * recipe.train.accumulation


def _some_batches(recipe: Recipe, size: int):
    shape = (size, *recipe.net.shape)
    labels = torch.arange(size) % recipe.net.num_classes if recipe.net.num_classes else None
    return shuffled(torch.linspace(-1, 1, math.prod(shape)).view(shape), labels, batch_size=size)


def training_flops(recipe: Recipe) -> float:
    """Floating-point operations of a whole training: forward and backward, counted on one image.

    Divided by what a device does in a second it is a time, if one knows what share of its peak it
    reaches: some tenths for convolutions as small as ours.
    """
    with seeded(0):
        denoiser = recipe.make_denoiser()
    x0, y = next(_some_batches(recipe, 1))
    with FlopCounterMode(display=False) as counter:
        denoiser.net(x0, 1, y).sum().backward()
    images = recipe.train.steps * recipe.train.accumulation * recipe.batch_size
    return float(counter.get_total_flops()) * images
