"""What a training will cost, before it starts: counted and measured, not promised."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dmlib.training.batches import shuffled
from dmlib.training.loop import OneDevice, Training
from dmlib.training.recipes import Preset
from dmlib.training.session import is_out_of_memory


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


def estimate(recipe: Preset, *, device: str) -> Estimate:
    """Count the memory and time a few steps on random images; nothing of it is kept.

    A small batch is timed first. If a whole step would take more than 3 s on its account, it is
    scaled up; else a whole step is timed, too.

    Args:
        recipe: that shall be trained.
        device: to train on.
    """
    config = replace(recipe.train, compile=False, accumulation=1, steps=100)
    devices = list(range(torch.cuda.device_count())) if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        training = Training(
            recipe.make_denoiser(),
            config=config,
            accelerator=OneDevice(device),
        )
        parameters = sum(p.numel() for p in training.net.parameters())
        # float32 each: weight, average, gradient, Adam's first and second moment
        memory = 5 * 4 * parameters + recipe.batch_size * _bytes_for_backward(training, recipe)
        try:
            seconds = _seconds(training, recipe)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            seconds = None
    return Estimate(parameters, memory, seconds)


def _bytes_for_backward(training: Training, recipe: Preset) -> int:
    """Bytes that one image's forward pass leaves for the backward pass: what autograd saves."""
    own = {p.untyped_storage().data_ptr() for p in training.net.parameters()}
    saved: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    x0, y = next(_random_batches(recipe, 2))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        # Held, so that no storage is freed and its address used again.
        losses = training._losses(x0.to(training.device), y, training._draw([(x0, y)])[0])
    del losses
    return sum(saved.values()) // 2


def _seconds(training: Training, recipe: Preset) -> float:
    few = min(8, recipe.batch_size)
    for size in (few, recipe.batch_size):
        steps = training.run(_random_batches(recipe, size))
        next(steps)  # the first one also sets things up
        start = time.perf_counter()
        next(steps)
        step = (time.perf_counter() - start) * recipe.batch_size / size
        if step > 3:
            break
    return step * recipe.train.accumulation


def _random_batches(recipe: Preset, size: int):
    shape = (size, recipe.net.channels, recipe.net.image_size, recipe.net.image_size)
    labels = torch.arange(size) % recipe.net.num_classes if recipe.net.num_classes else None
    return shuffled(torch.rand(shape) * 2 - 1, labels, batch_size=size)
