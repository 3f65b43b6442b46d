"""Change, fill, restore: x_0 from y = A x_0 + noise, with a denoiser that has never heard of A.

Everything here is a rule made of a rule, or a denoiser made of a denoiser, so that `sample` walks
as ever. But for `pushed` with the exact likelihood all are approximations: none samples p(x_0 | y).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib._validate import (
    check_alike,
    check_denoiser,
    check_float,
    check_floating,
    check_generator,
    check_int,
    check_real,
)
from dmlib.forward import noise_like
from dmlib.parameterization import Denoiser, Guess
from dmlib.sampling import generate, spaced_times, walk_times
from dmlib.schedules import wide
from dmlib.steps import Move, Step, ddim, ddpm

LogLikelihood = Callable[[Tensor, Any, Guess], Tensor]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is known of x_0: y = A x_0 + std noise.

    Source: the book's equation eq-measurement.

    Args:
        A: (M, D), floating point: acts on a sample's D values in a row.
        y: (B, M), or (M,) for all samples alike.
        std: of the noise in y, >= 0.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or std is negative.
    """

    A: Tensor
    y: Tensor
    std: float = 0.0
    pinv: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("A", "y"):
            check_float(name, getattr(self, name))
        check_real("std", self.std, low=0)
        if self.A.ndim != 2 or self.y.ndim not in (1, 2) or self.y.shape[-1] != len(self.A):
            raise ValueError(
                f"A must be (M, D) and y (B, M), got {tuple(self.A.shape)}, {tuple(self.y.shape)}"
            )
        object.__setattr__(self, "pinv", torch.linalg.pinv(self.A.cpu().double()))

    @classmethod
    def seen(cls, x0: Tensor, mask: Tensor, std: float = 0.0) -> Measurement:
        """A picture with a hole: y are the values of x0 (B, ...) where mask (...) is True.

        Args:
            x0: (B, ...), what is measured; behind the hole it may hold anything finite.
            mask: (...), bool, of one sample's shape: True where x0 is seen.
            std: of the noise that is in x0 already.

        Raises:
            ValueError: mask is not boolean, not of the shape of a sample, or nothing is seen.
        """
        check_float("x0", x0)
        if getattr(mask, "dtype", None) != torch.bool or mask.shape != x0.shape[1:]:
            wanted = tuple(x0.shape[1:])
            raise ValueError(f"mask must be bool {wanted}, got {mask!r:.80}; try: mask.bool()")
        if not mask.any():
            raise ValueError("mask must be True somewhere, got a mask that sees nothing")
        rows = torch.eye(mask.numel(), dtype=wide(x0).dtype, device=x0.device)[mask.flatten()]
        return cls(rows, x0[:, mask], std)

    def of(self, x: Tensor) -> Tensor:
        """A x for x (B, ...), (B, M)."""
        if x[0].numel() != self.A.shape[1]:
            raise ValueError(f"x must have {self.A.shape[1]} values a sample, got {x[0].numel()}")
        return x.flatten(1) @ self.A.to(x).mT

    def residual(self, x: Tensor) -> Tensor:
        """y - A x for x (B, ...), (B, M)."""
        return self.y.to(x) - self.of(x)

    def put_in(self, x: Tensor, y: Tensor) -> Tensor:
        """x with its measured part replaced by y: x + A^+ (y - A x), shaped as x (eq-put-in)."""
        return x + ((y - self.of(x)) @ self.pinv.to(x.dtype).to(x.device).mT).view_as(x)


def replacement(step: Step, measurement: Measurement) -> Step:
    """After each step, what is measured is put in, noised to the level of x_prev.

    y_prev = a_prev y + sqrt(b_prev^2 - a_prev^2 std^2) A z; x_prev + A^+ (y_prev - A x_prev).
    z is the step's noise, which is lost where y is put in. The noise of y counts as part of the
    noise; where y holds more of it than x_prev should, nothing is put in. Exact for the noise if
    A A^T = I, as for a picture with a hole.
    Source: Song et al. 2021 (score SDE), appendix I.2; the book's equation eq-replacement.

    Args:
        step: the rule, such as ddpm().
        measurement: what is known.

    Returns:
        A rule, rule(xt, guess, noise, move) -> x_prev.
    """

    def rule(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        x_prev = step(xt, guess, noise, move)
        _, _, a_prev, b_prev = move.levels
        rest = b_prev**2 - a_prev**2 * measurement.std**2
        if rest < 0:
            return x_prev
        y_prev = a_prev * measurement.y.to(x_prev)
        if rest > 0:
            check_alike(xt=xt, noise=noise)
            y_prev = y_prev + math.sqrt(rest) * measurement.of(wide(noise))
        return measurement.put_in(x_prev, y_prev)

    return rule


def repaint(
    step: Step, measurement: Measurement, *, repeats: int, generator: Generator | None = None
) -> Step:
    """Replacement, each step taken several times: back up by q(x_t | x_prev), and down again.

    x_t = a_t / a_prev x_prev + sqrt(b_t^2 - (a_t / a_prev)^2 b_prev^2) z. So the hole has time to
    come to terms with what is around it. Steps that put nothing in, and the last, are taken once.
    Source: Lugmayr et al. 2022, algorithm 1 (their jumps of several steps are not here); the book's
    equation eq-repaint.

    Args:
        step: the rule, such as ddpm().
        measurement: what is known.
        repeats: how often each step is taken, >= 1; 1 is `replacement`. Each calls the denoiser.
        generator: for the noise of the repeats; torch's global one if None.

    Returns:
        A rule, rule(xt, guess, noise, move) -> x_prev; move.look is needed.

    Raises:
        ValueError: repeats < 1.
    """
    repeats = check_int("repeats", repeats, low=1)
    check_generator(generator)
    once = replacement(step, measurement)

    def rule(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        a, b, a_prev, b_prev = move.levels
        x_prev = once(xt, guess, noise, move)
        puts_in = b_prev > a_prev * measurement.std  # else the repeats would only forget y
        for _ in range(repeats - 1 if puts_in else 0):
            fresh = math.sqrt(b**2 - (a / a_prev) ** 2 * b_prev**2)
            xt = a / a_prev * x_prev + fresh * noise_like(x_prev, generator)
            x_prev = once(xt, move.look(xt, move.t), noise_like(xt, generator), move)
        return x_prev

    return rule


def dps(step: Step, measurement: Measurement, *, scale: float = 1.0) -> Step:
    """Diffusion posterior sampling: after each step go down the slope of the misfit.

    x_prev = step - scale grad_{x_t} ||y - A x0_hat(x_t)||, for each sample.
    This is the public code. Algorithm 1 of the paper has grad ||.||^2 with the factor
    zeta / ||.||, which is twice as much: scale = 2 zeta. Neither knows how noisy y is. The rule
    looks a second time, with gradients, since the walk keeps none.
    Source: Chung et al. 2023, algorithm 1 and its code; the book's equation eq-dps.

    Args:
        step: the rule, ddpm() in the paper.
        measurement: what is known.
        scale: of the slope, >= 0.

    Returns:
        A rule, rule(xt, guess, noise, move) -> x_prev; move.look is needed.

    Raises:
        ValueError: scale is negative or not finite.
    """
    scale = check_real("scale", scale, low=0)

    def rule(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        with torch.enable_grad():
            x = wide(xt).detach().requires_grad_()
            misfit = measurement.residual(move.look(x, move.t).x0_hat).norm(dim=1)
            (slope,) = torch.autograd.grad(misfit.sum(), x)
        return step(xt, guess, noise, move) - scale * slope

    return rule


def ddnm(denoiser: Denoiser, measurement: Measurement) -> Denoiser:
    """The guess of x_0 is corrected to fit y; eps_hat stays: x0_hat + A^+ (y - A x0_hat).

    For a measurement without noise. What A does not see is left as guessed.
    Source: Wang et al. 2023 (DDNM), algorithm 1, with ddpm(); the book's equation eq-put-in.

    Args:
        denoiser: what is said of x_t without y.
        measurement: what is known; its std is not used.

    Returns:
        A denoiser whose two halves are of different minds: x_t = a x0_hat + b eps_hat is lost.
    """
    check_denoiser(denoiser)

    def look(xt: Tensor, t: Any) -> Guess:
        x0_hat, eps_hat = denoiser(xt, t)
        return Guess(measurement.put_in(x0_hat, measurement.y.to(x0_hat)), eps_hat)

    return Denoiser(denoiser.path, look)


def pushed(denoiser: Denoiser, log_likelihood: LogLikelihood) -> Denoiser:
    """The denoiser, pushed by g = grad log p(y | x_t): the score becomes score + g.

    x0_hat + b_t^2 / a_t g and eps_hat - b_t g. With the exact likelihood of x_t this is the exact
    conditional denoiser; with that of a noisy classifier it is classifier guidance (Dhariwal &
    Nichol 2021). The gradient goes through the denoiser: one call and one backward pass.
    Source: Bayes' rule; Song et al. 2021 (score SDE), eq. 14; the book's equation eq-push.

    Args:
        denoiser: what is said of x_t without y; differentiable.
        log_likelihood: answers log_likelihood(xt, t, guess) -> (B,), up to a constant.

    Returns:
        A denoiser, (xt, t) -> Guess, without gradients.
    """
    check_denoiser(denoiser)
    path = denoiser.path

    def look(xt: Tensor, t: Any) -> Guess:
        check_floating("xt", xt)
        with torch.enable_grad():
            x = wide(xt).detach().requires_grad_()
            guess = denoiser(x, t)
            (g,) = torch.autograd.grad(log_likelihood(x, t, guess).sum(), x)
        a, b = path.mix(t, g, low=1)
        return Guess(guess.x0_hat.detach() + b**2 / a * g, guess.eps_hat.detach() - b * g)

    return Denoiser(path, look)


def at_the_guess(measurement: Measurement) -> LogLikelihood:
    """log p(y | x_t) as if x_0 were x0_hat: -||y - A x0_hat||^2 / (2 std^2).

    What `dps` stands for before its factors are changed by hand; steep where std is small.
    Source: Chung et al. 2023, theorem 1 (which bounds the error); the book's equation
    eq-at-the-guess.

    Args:
        measurement: what is known, with std > 0.

    Raises:
        ValueError: std is 0.
    """
    std = check_real("std", measurement.std, low=0, open_low=True)

    def log_likelihood(xt: Tensor, t: Any, guess: Guess) -> Tensor:
        return -measurement.residual(guess.x0_hat).square().sum(1) / (2 * std**2)

    return log_likelihood


def around_the_guess(
    measurement: Measurement, path: Any, *, data_std: float = 1.0
) -> LogLikelihood:
    """log p(y | x_t) as if x_0 were normal around x0_hat: pseudo-inverse guidance (PiGDM).

    -r^T (r_t^2 A A^T + std^2 I)^-1 r / 2 with r = y - A x0_hat and
    r_t^2 = b_t^2 s^2 / (a_t^2 s^2 + b_t^2), the variance that normal data of variance s^2 would
    have. For such data it is exact. (The paper also multiplies the push by a factor of its own.)
    Source: Song et al. 2023 (PiGDM), section 3; the book's equation eq-around-the-guess.

    Args:
        measurement: what is known; std may be 0 if A has full row rank.
        path: of the denoiser.
        data_std: s, of the data, > 0.

    Raises:
        ValueError: data_std is not positive.
    """
    s2 = check_real("data_std", data_std, low=0, open_low=True) ** 2
    # A A^T = U diag(c2) U^T once, so that each t costs a product.
    A = measurement.A.cpu().double()  # not every device has float64
    c2, U = torch.linalg.eigh(A @ A.mT)

    def log_likelihood(xt: Tensor, t: Any, guess: Guess) -> Tensor:
        r = measurement.residual(guess.x0_hat) @ U.to(xt.dtype).to(xt.device)  # (B, M)
        a, b = path.mix(t, r, low=1)
        r2 = b**2 * s2 / (a**2 * s2 + b**2)
        return -(r**2 / (r2 * c2.to(xt.dtype).to(xt.device) + measurement.std**2)).sum(1) / 2

    return log_likelihood


def sdedit(
    denoiser: Denoiser,
    x0: Tensor,
    *,
    start: int,
    steps: int,
    step: Step = ddpm(),  # noqa: B008 (a pure function)
    generator: Generator | None = None,
) -> Tensor:
    """Change a picture: noise it to t = start, and walk back from there.

    x_start = a x_0 + b eps. A small start keeps the picture, a large one keeps little of it.
    Source: Meng et al. 2022 (SDEdit), algorithm 1; the book's equation eq-kernel-sample.

    Args:
        denoiser: on the path of a NoiseSchedule.
        x0: (B, ...), a picture, a drawing, a collage.
        start: the step to start at, in 1..T.
        steps: how many steps back, in 1..start.
        step: the rule; ddpm() in the paper.
        generator: for all noise; torch's global one if None.

    Returns:
        The changed pictures, (B, ...).

    Raises:
        ValueError: start or steps is out of its range.
    """
    check_denoiser(denoiser)
    start = check_int("start", start, low=1, high=denoiser.path.end)
    a, b = denoiser.path.level(start)
    xt = a * wide(x0) + b * noise_like(wide(x0), generator)
    times = spaced_times(start, steps)
    return generate(denoiser, xt, step=step, times=times, generator=generator)


@torch.no_grad()
def invert(denoiser: Denoiser, x0: Tensor, *, times: int | Sequence[float] | None = None) -> Tensor:
    """DDIM walked upwards: the x_T from which DDIM would come back to x0, nearly.

    x_next = a_next x0_hat + b_next eps_hat with the guess at x_t. The first step, from the data,
    takes eps_hat from a look at a_1 x_0. How nearly is a matter of the number of steps.
    Source: Song et al. 2021 (DDIM), section 4.3; the book's equation eq-ddim-step.

    Args:
        denoiser: as for `sample`.
        x0: (B, ...), data.
        times: as for `sample`, which would walk down them: falling to 0.

    Returns:
        x at the first of the times, (B, ...).

    Raises:
        ValueError: times do not fit the path.
    """
    check_denoiser(denoiser)
    check_float("x0", x0)
    path, rising = denoiser.path, walk_times(times, denoiser.path)[::-1]

    def look(x: Tensor, t: float) -> Guess:
        dtype = x.dtype if isinstance(t, float) else torch.int64
        return denoiser(x, torch.full((len(x),), t, dtype=dtype, device=x.device))

    a, b = path.level(rising[1])
    xt = a * wide(x0)
    xt = xt + b * look(xt, rising[1]).eps_hat
    for t, t_next in pairwise(rising[1:]):
        xt = ddim()(xt, look(xt, t), None, Move(path, t, t_next))
    return xt


def slerp(x: Tensor, y: Tensor, share: float) -> Tensor:
    """From x to y along the great circle, so that noise keeps its length.

    (sin((1 - share) angle) x + sin(share angle) y) / sin(angle), the angle between x and y.
    Source: Shoemake 1985; Song et al. 2021 (DDIM), appendix D.5; the book's equation eq-slerp.

    Args:
        x, y: (B, ...), such as two x_T.
        share: 0 is x, 1 is y.

    Returns:
        (B, ...).

    Raises:
        ValueError: shapes do not fit.
    """
    check_alike(x=x, y=y)
    p, q = (wide(z).flatten(1) for z in (x, y))
    cosine = (p * q).sum(1, keepdim=True) / (p.norm(dim=1) * q.norm(dim=1))[:, None]
    angle = cosine.clamp(-1, 1).acos()
    mixed = ((1 - share) * angle).sin() * p + (share * angle).sin() * q
    return torch.where(angle > 1e-4, mixed / angle.sin(), p + share * (q - p)).view_as(x)
