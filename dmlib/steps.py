"""The steps of the samplers: pure functions of x_t, a guess, and fresh noise.

A rule is called as rule(xt, guess, noise, move) -> x_prev. It is written for any path
x_t = a_t x_0 + b_t eps, and divides by nothing that may be 0: there is no special case where all
is noise. On the lecture's path a_t = sqrt(alpha_bar_t) and b_t = sqrt(1 - alpha_bar_t).
Rules remember nothing; what a rule wants of the step before, the walk hands to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from dmlib._validate import check_alike, check_choice, check_guess, check_move, check_real
from dmlib.parameterization import Guess, Path
from dmlib.schedules import wide

Variance = Literal["beta_tilde", "beta"]
Clock = Literal["lambda", "sigma"]


@dataclass(frozen=True, eq=False)
class Move:
    """From where to where a step goes, and whom it may ask.

    Args:
        path: that x_t lies on, such as a NoiseSchedule.
        t, t_prev: where we are and where to, 0 <= t_prev < t for all rules; DDIM without noise
            goes up as well, 0 < t < t_prev.
        look: what a rule may ask again, look(x, t) -> Guess, t a number.
        before: the walk's last look, (t, Guess), where it made a step to here; None at the start.

    Raises:
        ValueError: t or t_prev is not on the path, or they are the same.
    """

    path: Path
    t: float
    t_prev: float
    look: Callable[[Tensor, float], Guess] | None = None
    before: tuple[float, Guess] | None = None

    def __post_init__(self) -> None:
        check_move(self.path, self.t, self.t_prev)

    @property
    def levels(self) -> tuple[float, float, float, float]:
        """a_t, b_t, a_prev, b_prev."""
        return *self.path.level(self.t), *self.path.level(self.t_prev)


Step = Callable[[Tensor, Guess, "Tensor | None", Move], Tensor]


class _Variances(NamedTuple):
    """Of one step: q(x_t | x_prev) = N(sqrt(alpha) x_prev, beta I), and of q(x_prev | x_t, x_0)."""

    alpha: float
    beta: float
    beta_tilde: float


def _variances(move: Move) -> _Variances:
    """alpha = (a_t / a_prev)^2, beta = b_t^2 - alpha b_prev^2, beta_tilde = (b_prev/b_t)^2 beta.

    On the lecture's path alpha = alpha_bar_t / alpha_bar_prev and beta = 1 - alpha.
    """
    a, b, a_prev, b_prev = move.levels
    alpha = (a / a_prev) ** 2
    beta = b**2 - alpha * b_prev**2
    if beta < 0:
        raise ValueError(f"t_prev must be below t = {move.t} to add noise, got {move.t_prev}")
    return _Variances(alpha, beta, (b_prev / b) ** 2 * beta)


def ddpm(variance: Variance = "beta_tilde") -> Step:
    """The step of DDPM: sample p(x_prev | x_t) = N(x_prev; mu, sigma_t^2 I).

    mu = sqrt(alpha_bar_prev) beta / (1 - alpha_bar_t) x0_hat
       + sqrt(alpha) (1 - alpha_bar_prev) / (1 - alpha_bar_t) x_t,
    the posterior mean at x0_hat; in terms of eps_hat it is the line of algorithm 2,
    (x_t - beta / sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha). No noise in the step to x_0. A step
    over several t has alpha = alpha_bar_t / alpha_bar_prev and beta = 1 - alpha.
    Source: Ho et al. 2020, eqs. 7 and 11, algorithm 2 (strides: Nichol & Dhariwal 2021, section
    4); the book's equations eq-posterior-mean and eq-ddpm-step.

    Args:
        variance: sigma_t^2 is beta_tilde_t (right for one-point data) or beta_t (for normal data).

    Returns:
        The rule, rule(xt, guess, noise, move) -> x_prev, all (B, ...).

    Raises:
        ValueError: variance is none of the two; at a call, shapes do not fit.
    """
    check_choice("variance", variance, ("beta_tilde", "beta"))

    def step(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        xt, x0_hat, _ = _checked(xt, guess)
        _, b, a_prev, b_prev = move.levels
        alpha, beta, beta_tilde = _variances(move)
        mu = a_prev * beta / b**2 * x0_hat + math.sqrt(alpha) * b_prev**2 / b**2 * xt
        if b_prev == 0:  # the step to x_0
            return mu
        sigma = math.sqrt(beta_tilde if variance == "beta_tilde" else beta)
        return mu + sigma * _fresh(noise, xt)

    return step


def ddim(eta: float = 0.0) -> Step:
    """The step of DDIM: the guessed x_0, noised again to the level of t_prev.

    x_prev = a_prev x0_hat + sqrt(b_prev^2 - sigma^2) eps_hat + sigma noise,
    sigma = eta sqrt(beta_tilde). eta = 0 adds no noise; eta = 1 is DDPM with variance beta_tilde.
    Source: Song et al. 2021 (DDIM), eqs. 12 and 16; the book's equation eq-ddim-step.

    Args:
        eta: how much of the noise is new, in [0, 1].

    Returns:
        The rule, rule(xt, guess, noise, move) -> x_prev, all (B, ...).

    Raises:
        ValueError: eta lies outside [0, 1]; at a call, shapes do not fit.
    """
    eta = check_real("eta", eta, low=0, high=1)

    def step(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        xt, x0_hat, eps_hat = _checked(xt, guess)
        _, _, a_prev, b_prev = move.levels
        sigma = eta * math.sqrt(_variances(move).beta_tilde) if eta else 0.0
        x_prev = a_prev * x0_hat + math.sqrt(b_prev**2 - sigma**2) * eps_hat
        return x_prev + sigma * _fresh(noise, xt) if sigma > 0 else x_prev

    return step


def dpm_solver() -> Step:
    """The step of DPM-Solver++(2M): DDIM that remembers what was guessed before; no noise.

    With lambda = log(a/b), h = lambda_prev - lambda_t and r = h_before / h:
    D = x0_hat + (x0_hat - x0_hat_before) / (2 r),
    x_prev = b_prev / b_t x_t - a_prev (exp(-h) - 1) D.
    The first step and the step to t = 0, where h is infinite, take D = x0_hat: that is DDIM.
    Source: Lu et al. 2022 (DPM-Solver++), algorithm 2; the book's equation eq-dpm-solver.

    Returns:
        The rule, rule(xt, guess, noise, move) -> x_prev, all (B, ...).
    """

    def step(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        xt, x0_hat, _ = _checked(xt, guess)
        _, b, a_prev, b_prev = move.levels
        lambda_t = _log_ratio(move.path, move.t)
        h = _log_ratio(move.path, move.t_prev) - lambda_t
        D = x0_hat
        if move.before is not None and b_prev > 0:
            t_before, last = move.before
            r = (lambda_t - _log_ratio(move.path, t_before)) / h
            D = x0_hat + (x0_hat - wide(last.x0_hat)) / (2 * r)
        return b_prev / b * xt - a_prev * math.expm1(-h) * D

    return step


def heun(clock: Clock = "lambda") -> Step:
    """The step of Heun: go as DDIM would, look again there, and use both guesses.

    With h = lambda_prev - lambda_t as in `dpm_solver`, and x0_hat' guessed where DDIM's step ends:
    x_prev = a_prev x0_hat + b_prev eps_hat + a_prev (1 - (1 - exp(-h)) / h) (x0_hat' - x0_hat):
    in the time lambda the guess goes straight from the one to the other. In the time sigma = b/a
    it is eps_hat whose two values are averaged, and the last factor is (exp(h) - 1) / 2: good for
    steps so short that h < 1. It looks twice in each step but the last, which is that of DDIM.
    Source: Karras et al. 2022, algorithm 1 without churn (sigma); Hochbruck & Ostermann 2010,
    section 2 (lambda: an exponential Runge-Kutta method); the book's equation eq-heun.

    Args:
        clock: in which time the way between two looks is straight, "lambda" or "sigma".

    Returns:
        The rule, rule(xt, guess, noise, move) -> x_prev, all (B, ...); move.look is needed.

    Raises:
        ValueError: clock is none of the two; at a call, shapes do not fit.
    """
    check_choice("clock", clock, ("lambda", "sigma"))

    def step(xt: Tensor, guess: Guess, noise: Tensor | None, move: Move) -> Tensor:
        xt, x0_hat, eps_hat = _checked(xt, guess)
        a, _, a_prev, b_prev = move.levels
        x_prev = a_prev * x0_hat + b_prev * eps_hat
        if b_prev == 0 or (a == 0 and clock == "sigma"):
            return x_prev
        h = _log_ratio(move.path, move.t_prev) - _log_ratio(move.path, move.t)
        share = 1 + math.expm1(-h) / h if clock == "lambda" else math.expm1(h) / 2
        again = wide(move.look(x_prev, move.t_prev).x0_hat)
        return x_prev + a_prev * share * (again - x0_hat)

    return step


def _checked(xt: Tensor, guess: Guess) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, x0_hat and eps_hat of one shape, in float32 at least."""
    check_guess("guess", guess, xt=xt)
    return wide(xt), wide(guess.x0_hat), wide(guess.eps_hat)


def _fresh(noise: Any, xt: Tensor) -> Tensor:
    check_alike(xt=xt, noise=noise)
    return wide(noise)


def _log_ratio(path: Path, t: float) -> float:
    """lambda_t = log(a_t / b_t), half the log SNR; inf at the data, -inf where all is noise."""
    a, b = path.level(t)
    if b == 0:
        return math.inf
    return math.log(a / b) if a > 0 else -math.inf
