"""From one picture to another: what a network is shown, and what is left for it to invent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dmlib._validate import check_alike, check_floating, check_int
from dmlib.guidance import conditioned
from dmlib.mixture import LowRankMixture
from dmlib.models import NetDenoiser
from dmlib.sampling import clipped, generate
from dmlib.steps import ddim

EDGE = 0.5  # how steep a picture must be, in its range [-1, 1] a pixel, to be drawn as a line


def shrunk(x: Tensor, factor: int = 4) -> Tensor:
    """Each block of factor x factor pixels becomes one, its mean: y = A x, A linear.

    Source: Saharia et al. 2022 (SR3), section 2; the book's equation eq-block-mean.

    Args:
        x: (B, C, H, W), H and W multiples of factor.
        factor: >= 1.

    Returns:
        (B, C, H / factor, W / factor).

    Raises:
        ValueError: x is no batch of images, or its size is no multiple of factor.
    """
    _check_images(x)
    factor = check_int("factor", factor, low=1)
    if x.shape[2] % factor or x.shape[3] % factor:
        raise ValueError(f"x must have sides that {factor} divides, got {tuple(x.shape)}")
    return F.avg_pool2d(x, factor)


def enlarged(y: Tensor, factor: int = 4) -> Tensor:
    """Each pixel becomes a block of factor x factor: as large as the picture that is asked for.

    Args:
        y: (B, C, h, w).
        factor: >= 1.

    Returns:
        (B, C, factor h, factor w); `shrunk` of it is y again.

    Raises:
        ValueError: y is no batch of images.
    """
    _check_images(y)
    factor = check_int("factor", factor, low=1)
    return y.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def outline(x: Tensor, edge: float = EDGE) -> Tensor:
    """A drawing of the picture: a line where it is steep, nothing elsewhere.

    The slope is Sobel's: differences of neighbours two apart, over a small average across.

    Args:
        x: (B, 1, H, W) in [-1, 1].
        edge: the slope, in grey levels of [-1, 1] a pixel, from which there is a line.

    Returns:
        (B, 1, H, W), 1 on the lines and -1 elsewhere.

    Raises:
        ValueError: x is no batch of images of one channel.
    """
    _check_images(x)
    if x.shape[1] != 1:
        raise ValueError(f"x must have shape (B, 1, H, W), got {tuple(x.shape)}")
    tall = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)  # the border once more
    p = torch.cat([tall[..., :1], tall, tall[..., -1:]], 3)  # (B, 1, H + 2, W + 2)
    rows = p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]
    columns = p[..., :-2] + 2 * p[..., 1:-1] + p[..., 2:]
    right, down = rows[..., 2:] - rows[..., :-2], columns[:, :, 2:] - columns[:, :, :-2]
    slope = (right**2 + down**2).sqrt() / 8
    return 2 * (slope > edge).to(x.dtype) - 1


def translate(
    denoiser: NetDenoiser, given: Tensor, *, generator: Generator, times: int = 20
) -> Tensor:
    """One sample of p(x_0 | y) for each given picture, by DDIM.

    Args:
        denoiser: of a network that is shown a picture, such as `load_pictures` gives.
        given: (B, C, H, W), y as the network was shown it.
        generator: draws x_T.
        times: number of steps.

    Returns:
        (B, C', H, W) in [-1, 1].

    Raises:
        ValueError: given does not fit the network.
    """
    shape = (len(given), *denoiser.config.shape)
    xT = torch.randn(shape, generator=generator, device=generator.device).to(given.device)
    return generate(clipped(conditioned(denoiser, given)), xT, step=ddim(), times=times)


def first_guess(denoiser: NetDenoiser, given: Tensor, *, generator: Generator) -> Tensor:
    """What the network says before it has seen anything but y: the mean of p(x_0 | y).

    At t = T nothing is left of x_0 in x_T, so that E[x_0 | x_T, y] = E[x_0 | y]; one call.
    The book's equation eq-first-guess.

    Args:
        denoiser, given, generator: as for `translate`.

    Returns:
        (B, C', H, W).

    Raises:
        ValueError: given does not fit the network.
    """
    shape = (len(given), *denoiser.config.shape)
    xT = torch.randn(shape, generator=generator, device=generator.device).to(given.device)
    with torch.no_grad():
        return denoiser(xT, denoiser.path.T, given).x0_hat


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture: 10 log10(4 / mean square error), in decibels.

    4 is the square of the range of [-1, 1]. More is nearer to the truth, pixel by pixel.
    The book's equation eq-psnr.

    Args:
        x, truth: (B, ...), images in [-1, 1].

    Returns:
        (B,); inf where nothing differs.

    Raises:
        ValueError: shapes differ.
    """
    check_alike(truth=truth, x=x)
    return 10 * torch.log10(4 / (x - truth).square().flatten(1).mean(1))


@dataclass(frozen=True, eq=False)
class BlockPosterior:
    """p(x_0 | block means), for a mixture whose law is known: exact, without any network.

    Within each block turn the pixels' axes so that the first one is the mean, times factor. The
    noise of the mixture is the same in all directions, so it is one like before; and now some
    values are seen and the others hidden.
    The book's equation eq-block-turn.

    Args:
        hidden: of the values that the means leave open, one row for each y.
        y: (B, 1, h, w), the means, float64.
        turn: (f^2, f^2), orthonormal rows, the first one 1 / f everywhere.
    """

    hidden: LowRankMixture
    y: Tensor
    turn: Tensor

    def mean(self) -> Tensor:
        """E[x_0 | y], (B, 1, f h, f w)."""
        return self._whole(self.hidden.mean())

    def sample(self, generator: Generator) -> Tensor:
        """One picture for each y, (B, 1, f h, f w)."""
        return self._whole(self.hidden.sample(generator))

    def _whole(self, hidden: Tensor) -> Tensor:
        """Hidden values (B, h w (f^2 - 1)) and the means, turned back to pixels."""
        f = math.isqrt(len(self.turn))
        B, _, h, w = self.y.shape
        values = torch.cat([f * self.y.view(B, h * w, 1), hidden.view(B, h * w, -1)], 2)
        return F.fold((values @ self.turn).mT, (f * h, f * w), f, stride=f)


def block_posterior(mixture: LowRankMixture, y: Tensor) -> BlockPosterior:
    """What is known of a picture of the mixture by its block means.

    Args:
        mixture: of pictures as rows of D, as `garment_mixture()` gives; square pictures.
        y: (B, 1, h, w), as `shrunk` gives.

    Raises:
        ValueError: y does not fit pictures of D pixels.
    """
    _check_images(y)
    D, (_, _, h, w) = mixture.means.shape[-1], y.shape
    f = math.isqrt(D) // h
    if y.shape[1] != 1 or f * h * f * w != D:
        raise ValueError(f"y must be the block means of {D} pixels, got {tuple(y.shape)}")
    # An orthonormal basis whose first row is constant: that of the discrete cosine transform.
    k = torch.arange(f * f, dtype=torch.float64)
    turn = torch.cos(math.pi * k[:, None] * (k + 0.5) / f**2) * math.sqrt(2) / f
    turn[0] = 1 / f

    def turned(x: Tensor) -> Tensor:
        """Rows of D pixels -> rows of D values, block by block, the mean first."""
        pixels = x.reshape(-1, 1, f * h, f * w)
        return (F.unfold(pixels, f, stride=f).mT @ turn.mT).reshape(x.shape)

    seen = torch.arange(D) % f**2 == 0
    there = LowRankMixture(
        mixture.weights,
        turned(mixture.means),
        turned(mixture.axes.mT).mT,
        mixture.variances,
        mixture.stds,
    )
    y = y.cpu().double()
    hidden = there.given_seen(seen, f * y.flatten(1))
    return BlockPosterior(hidden, y, turn)


def _check_images(x: Tensor) -> None:
    check_floating("x", x)
    if x.ndim != 4:
        raise ValueError(f"x must have shape (B, C, H, W), got {tuple(x.shape)}")
