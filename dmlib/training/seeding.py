"""Randomness that depends on a seed and on nothing else, and that takes nothing from anybody."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def seed_of(*parts: int | str) -> int:
    """A seed for one purpose: of the run's seed, a step, a name; unlike that of any other."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within, torch's global generators draw from `seed`; after it they stand where they stood.

    Dropout and the start of weights can draw from nothing else.

    Args:
        seed: >= 0.
        device: whose generator is meant, beside the CPU's.
    """
    device = torch.device(device)
    cpu = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds every device
    on = (device,) if device.type == "cuda" else ()
    module = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    before = None
    if module is not None:
        before = module.get_rng_state(*on)
        module.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if before is not None:
            module.set_rng_state(before, *on)
