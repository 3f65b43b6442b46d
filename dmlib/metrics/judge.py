"""Judging a generator: the same samples, features, reference and floor for everyone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dmlib._validate import check_float, check_generator, check_int
from dmlib.data import check_signed, to_uint8, to_unit
from dmlib.forward import noise_like
from dmlib.guidance import conditioned, guided
from dmlib.metrics.features import Features, device_of, features_of
from dmlib.metrics.frechet import FeatureStats, frechet_distance, frechet_floor, frechet_spread
from dmlib.sampling import clipped, generate
from dmlib.steps import Step, ddim
from dmlib.training.inputs import check_labels


@dataclass(frozen=True)
class Score:
    """What a judge says of a set of samples.

    Args:
        distance: squared Fréchet distance to the reference, in the judge's feature space.
        spread: the standard deviation of `distance` over resamples of the samples.
        recognised: share of the samples that the judge's classifier takes for the class that
            was asked for.
        n: number of samples.
    """

    distance: float
    spread: float
    recognised: float
    n: int


class Judge:
    """Compares samples with reference images in the shipped feature space.

    Everything is rounded to 256 grey levels first, as a picture file would; nothing is resized.

    Args:
        reference: (N, 1, 28, 28) in [-1, 1], real images that no generator was trained on.
        features: a `Features`; the shipped one if None.
    """

    def __init__(self, reference: Tensor, *, features: Features | None = None) -> None:
        self.features = features or Features.trained()
        self.reference = self._of(reference)
        self.stats = FeatureStats.of(self.reference)

    def score(self, samples: Tensor, labels: Tensor, *, seed: int = 0) -> Score:
        """Judge samples that were asked to be of the classes `labels`.

        Args:
            samples: (B, 1, 28, 28) in [-1, 1], on any device.
            labels: (B,) int64 in 0..9.
            seed: of the resamples.

        Raises:
            ValueError: samples are no such images (0..255, say), or labels no such classes.
        """
        check_float("samples", samples)
        check_labels("labels", labels, size=len(samples), num_classes=10)
        device = device_of(self.features)
        samples, labels = samples.to(device), labels.to(device)
        features = self._of(samples)
        spread = frechet_spread(
            features, self.reference, resamples=10, generator=torch.Generator().manual_seed(seed)
        )
        right = self.features.classify(_as_shown(samples)).argmax(1) == labels
        return Score(
            distance=frechet_distance(features, self.stats),
            spread=float(spread.std()),
            recognised=float(right.double().mean()),
            n=len(samples),
        )

    def floor(self, real: Tensor, *, n: int, seed: int = 0) -> Tensor:
        """What n real images get, (20,) distances: nobody is expected to do better.

        Args:
            real: (N, 1, 28, 28) in [-1, 1], other real images than the reference.
            n: how many samples a generator will be judged by.
            seed: of the draws.
        """
        generator = torch.Generator().manual_seed(seed)
        return frechet_floor(self._of(real), self.reference, n=n, generator=generator)

    def _of(self, images: Tensor) -> Tensor:
        return features_of(_as_shown(images), self.features)


def _as_shown(images: Tensor) -> Tensor:
    check_signed("images", images)
    return to_unit(to_uint8(images))


@torch.no_grad()
def class_samples(
    net: Any,
    n: int,
    *,
    step: Step = ddim(),  # noqa: B008 (a pure function)
    times: int = 50,
    guidance_scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """n samples, as many of each of ten classes, always from the same noise; x0_hat is clipped.

    Args:
        net: a denoiser that hears classes, net(xt, t, y) -> Guess, of 28 x 28 grey images.
        n: a multiple of 10.
        step: the sampler's rule.
        times: number of its steps.
        guidance_scale: see `guided`; 1 is plain conditioning.
        generator: for other noise, on any device; if None, one on the CPU with the seed 1.

    Returns:
        samples (n, 1, 28, 28) and labels (n,), on the device of the network's weights.

    Raises:
        ValueError: n is no positive multiple of 10, or an argument of `generate` does not fit.
    """
    if check_int("n", n, low=10) % 10:
        raise ValueError(f"n must be a positive multiple of 10, got {n}")
    check_generator(generator)
    if generator is None:
        generator = torch.Generator().manual_seed(1)
    device = device_of(net) if isinstance(net, nn.Module) else torch.device("cpu")
    parts = []
    for size in [100] * (n // 100) + [n % 100] * (n % 100 > 0):
        y = torch.arange(size, device=device) % 10
        xT = noise_like(torch.empty((size, 1, 28, 28), device=device), generator)
        plain = guidance_scale == 1
        net_y = conditioned(net, y) if plain else guided(net, y, guidance_scale=guidance_scale)
        x0 = generate(clipped(net_y), xT, step=step, times=times, generator=generator)
        parts.append((x0, y))
    samples, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return samples, labels
