"""The exercises of chapter 3, the reverse process: predictions and quizzes."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.schedules import NoiseSchedule, linear_schedule

INTRACTABLE = Quiz(
    id="ex-reverse-1",
    level="understand",
    title="Why can the reverse step not be computed?",
    minutes=3,
    question="By Bayes' rule q(x_{t-1} | x_t) is proportional to q(x_{t-1}) q(x_t | x_{t-1}). "
    "Why can we not simply compute it for pictures?",
    options={
        "a": Option(
            "Because q(x_t | x_{t-1}) is unknown.",
            "It is the noising step itself, a normal distribution that we chose: the best known "
            "thing of all.",
        ),
        "b": Option(
            "Because noise destroys x_{t-1}, so that nothing can be said about it.",
            "x_t still says much about x_{t-1}: one step adds only little noise. The reverse "
            "step is a distribution, and it is narrow.",
        ),
        "c": Option(
            "Because q(x_{t-1}) is the distribution of all noisy pictures, which we know only from "
            "examples.",
            "It would need the density of the data. For our toy we know it, and there the "
            "reverse step can be computed, exactly.",
            right=True,
        ),
        "d": Option(
            "Because t steps would have to be undone one after the other.",
            "That is only work. The trouble is there in a single step, too.",
        ),
    },
)


def _toy() -> GaussianMixture:
    """The book's ground truth, as the widget shows it."""
    means = torch.tensor([[-1.5], [1.0]])
    return GaussianMixture(torch.tensor([0.3, 0.7]), means, torch.tensor([0.25, 0.35]))


def _total_variation(beta: float, *, t: int, xt: float) -> float:
    """Of q(x_{t-1} | x_t), with a step of the size beta, from the normal of its moments."""
    before = 1 - float(linear_schedule(1000).alpha_bar[t - 1])
    two = NoiseSchedule(torch.tensor([0.0, before, beta], dtype=torch.float64))
    law = reverse_posterior(_toy(), torch.tensor([xt], dtype=torch.float64), 2, schedule=two)
    x = torch.linspace(-6, 6, 801, dtype=torch.float64)
    normal = torch.distributions.Normal(law.mean(), law.cov().sqrt()[0])
    gap = law.log_prob(x[:, None]).exp() - normal.log_prob(x).exp()
    return float(torch.trapezoid(gap.abs(), x)) / 2


@cache
def _largest(level: float, *, t: int, xt: float) -> float:
    """The step's size at which the total variation reaches the level, by halving."""
    low, high = 1e-4, 0.95
    for _ in range(12):
        middle = math.sqrt(low * high)
        over = _total_variation(middle, t=t, xt=xt) > level
        low, high = (low, middle) if over else (middle, high)
    return low


def _small_enough() -> float:
    return _largest(0.05, t=50, xt=0.0)


def _own_beta() -> float:
    beta: Tensor = linear_schedule(1000).beta
    return float(beta[50])


SMALL_ENOUGH = Number(
    id="ex-reverse-2",
    level="understand",
    title="How small must a step be?",
    minutes=6,
    tolerance=0.015,
    reference=_small_enough,
    mistakes=(
        Mistake(
            "x_t stands inside a heap",
            lambda: _largest(0.05, t=50, xt=1.0),
            "At x_t = 1 there is only one heap it can have come from. Set x_t to 0, in between.",
        ),
        Mistake(
            "the slider of t stands at 200",
            lambda: _largest(0.05, t=200, xt=0.0),
            "At t = 200 the heaps are wide and overlap. The question is about t = 50.",
        ),
        Mistake(
            "ten times too strict: 0.005 in place of 0.05",
            lambda: _largest(0.005, t=50, xt=0.0),
            "The axis of the distance is logarithmic: 0.05 lies between 10^-2 and 10^-1. Or have "
            "you answered with the distance? The question is about beta.",
        ),
        Mistake(
            "the schedule's own beta_t",
            _own_beta,
            "The linear schedule takes a step that small; but how large might it be?",
        ),
    ),
)
