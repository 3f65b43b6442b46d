"""The exercises of the chapter on which pixel is what: the score, and how to listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.chapters.training.nets import HiddenNet
from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _score(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    pair = true.flatten() * classes + predicted.flatten()
    counts = torch.bincount(pair, minlength=classes**2).view(classes, classes)
    both = counts.diagonal()
    either = counts.sum(0) + counts.sum(1) - both
    there = either > 0
    return (both[there] / either[there]).mean()


def _sets(predicted: Tensor, true: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class, pixels that are so and are called so; that are so; that are called so."""
    k = torch.arange(classes)[:, None]
    is_so, called = true.flatten() == k, predicted.flatten() == k
    return tuple(x.sum(1).double() for x in (is_so & called, is_so, called))


def _each(rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A wrong score: a rule of (both, true, called), each (K,)."""
    return lambda predicted, true, classes: rule(*_sets(predicted, true, classes))


def _iou(both: Tensor, true: Tensor, called: Tensor) -> Tensor:
    """NaN where the class is nowhere."""
    return both / (true + called - both)


def _per_image(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    pairs = zip(predicted, true, strict=True)
    return torch.stack([_score(p, t, classes).double() for p, t in pairs]).mean()


def _score_cases(generator: Generator) -> Cases:
    """Six classes: the last is nowhere, the one before it is called in one pixel and never true."""
    cases = []
    for n in (3, 2):
        true = torch.randint(1, 4, (n, 5, 6), generator=generator)
        true[:, :, :2] = 0
        true[0, :, 2:] = torch.randint(1, 3, (5, 4), generator=generator)  # no class 3 in the first
        wrong = torch.rand(true.shape, generator=generator) < 0.4
        called = torch.randint(0, 4, true.shape, generator=generator)
        predicted = torch.where(wrong, called, true)
        predicted[0, 0, 0], predicted[1, 0, 0] = 4, 2
        cases.append((predicted, true, 6))
    return cases


SCORE = Function(
    id="ex-pixels-4",
    level="build",
    title="The score, with all its corners",
    minutes=12,
    call="my_mean_iou(predicted, true, classes)",
    cases=_score_cases,
    reference=_score,
    mistakes=(
        Mistake(
            "each image gets a score of its own, and these are averaged",
            _per_image,
            "Count over all images first: an image with three pixels of a class should not weigh "
            "as much as one with three hundred.",
        ),
        Mistake(
            "a class that is nowhere counts as 0",
            _each(lambda b, t, c: _iou(b, t, c).nan_to_num(0.0).mean()),
            "0/0 is no score. Nobody could have found a class that is nowhere: leave it out.",
        ),
        Mistake(
            "a class that is nowhere counts as 1",
            _each(lambda b, t, c: _iou(b, t, c).nan_to_num(1.0).mean()),
            "0/0 is no score. Leave the class out, or the more classes are absent, the better.",
        ),
        Mistake(
            "a class that is called, but never true, is left out",
            _each(lambda b, t, c: _iou(b, t, c)[t > 0].mean()),
            "To call pixels what they never are is a mistake, and has the score 0.",
        ),
        Mistake(
            "the ground is left out",
            _each(lambda b, t, c: _iou(b, t, c)[1:].nanmean()),
            "Class 0 is a class like the others.",
        ),
        Mistake(
            "the intersection is counted twice in the union",
            _each(lambda b, t, c: (b / (t + c)).nanmean()),
            "Pixels that are so, and pixels that are called so, share the intersection.",
        ),
        Mistake(
            "the Dice score",
            _each(lambda b, t, c: (2 * b / (t + c)).nanmean()),
            "Below the line stands the union, not the mean of the two sizes.",
        ),
        Mistake(
            "the share of all pixels that are right",
            lambda p, t, k: (p == t).double().mean(),
            "That is the accuracy. First a ratio for each class, then the mean over the classes.",
        ),
    ),
)


def _listen(net: Any, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    bar = alpha_bar[t].view(-1, 1, 1, 1)
    return net(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t)


def _listen_cases(generator: Generator) -> Cases:
    return [
        (
            HiddenNet(generator=generator),
            draw.normal(B, 2, 3, 4, generator=generator),
            draw.steps(9, B, generator=generator),
            draw.normal(B, 2, 3, 4, generator=generator),
            draw.schedule(9, generator=generator).alpha_bar,
        )
        for B in (3, 5)
    ]


def _mixed(x0: Tensor, eps: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    return signal.view(-1, 1, 1, 1) * x0 + noise.view(-1, 1, 1, 1) * eps


LISTEN = Function(
    id="ex-pixels-5",
    level="build",
    title="Listen at time t",
    minutes=6,
    call="listen(net, x0, t, eps, alpha_bar)",
    cases=_listen_cases,
    reference=_listen,
    mistakes=(
        Mistake(
            "the clean picture at a noisy time",
            lambda net, x0, t, e, bar: net(x0, t),
            "At t the network expects the noise of t. A clean picture there is nothing that it "
            "has ever seen.",
        ),
        Mistake(
            "a noisy picture at time 0",
            lambda net, x0, t, e, bar: net(
                _mixed(x0, e, bar[t].sqrt(), (1 - bar[t]).sqrt()), 0 * t
            ),
            "The network must be told how noisy its input is: the same t in both places.",
        ),
        Mistake(
            "no roots",
            lambda net, x0, t, e, bar: net(_mixed(x0, e, bar[t], 1 - bar[t]), t),
            "alpha_bar and 1 - alpha_bar are variances. What multiplies x0 and eps?",
        ),
        Mistake(
            "the picture is not shrunk",
            lambda net, x0, t, e, bar: net(
                _mixed(x0, e, torch.ones_like(bar[t]), (1 - bar[t]).sqrt()), t
            ),
            "On the lecture's path the picture fades as the noise grows.",
        ),
        Mistake(
            "the noise level of the step before",
            lambda net, x0, t, e, bar: net(
                _mixed(x0, e, bar[t - 1].sqrt(), (1 - bar[t - 1]).sqrt()), t
            ),
            "Slot 0 of the table is the clean data: the index is t itself.",
        ),
        Mistake(
            "all pictures get the first one's t",
            lambda net, x0, t, e, bar: _listen(net, x0, t[:1].expand(len(t)), e, bar),
            "Every picture of the batch has its own t.",
        ),
    ),
)
