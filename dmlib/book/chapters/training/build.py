"""The exercises of chapter 5, training: what goes into one step."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from dmlib.book.chapters.training.nets import HiddenNet
from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake
from dmlib.forward import q_sample
from dmlib.losses import simple_loss
from dmlib.schedules import NoiseSchedule

Cases = list[tuple[Any, ...]]


def _grey(x: Tensor) -> Tensor:
    return ((x + 1) * 127.5).round().clamp(0, 255)


def _samples(generator: Generator) -> Cases:
    cases = []
    for B in (2, 3):
        x = 0.8 * draw.normal(B, 1, 4, 4, generator=generator)
        x[0, 0, 0, 0], x[0, 0, 0, 1], x[0, 0, 1, 0] = -1.2, 1.2, 0.5
        cases.append((x,))
    return cases


GREY = Function(
    id="ex-training-2",
    level="build",
    title="From samples to grey levels",
    minutes=5,
    call="to_grey(x)",
    cases=_samples,
    reference=_grey,
    mistakes=(
        Mistake(
            "what lies outside is not clipped, and wraps around in uint8",
            lambda x: ((x + 1) * 127.5).round().long() % 256,
            "Samples leave [-1, 1] a little. As uint8 a level of 260 would be 4, nearly black: "
            "clip to 0..255 first.",
        ),
        Mistake(
            "not clipped",
            lambda x: ((x + 1) * 127.5).round(),
            "There are no levels below 0 and above 255: samples leave [-1, 1] a little.",
        ),
        Mistake(
            "rounded down, not to the nearest level",
            lambda x: ((x + 1) * 127.5).clamp(0, 255).floor(),
            "Conversion to a whole number drops the fraction. Round first.",
        ),
        Mistake(
            "not rounded",
            lambda x: ((x + 1) * 127.5).clamp(0, 255),
            "Grey levels are whole numbers.",
        ),
        Mistake(
            "as if x lay in [0, 1]",
            lambda x: (x * 255).round().clamp(0, 255),
            "Black is -1 here, not 0: shift before you stretch.",
        ),
    ),
)


def _loss(net: Any, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    xt = q_sample(x0, t, eps, schedule=schedule)
    return simple_loss(net(xt, t), eps)


def _loss_cases(generator: Generator) -> Cases:
    return [
        (
            HiddenNet(generator=generator, trainable=True),
            draw.normal(B, 1, 3, B, generator=generator),
            draw.steps(9, B, generator=generator),
            draw.normal(B, 1, 3, B, generator=generator),
            draw.schedule(9, generator=generator),
        )
        for B in (4, 5)  # as many pictures as columns: the wrong broadcast raises no error
    ]


def _broadcast(net: Any, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t]
    return (net(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t) - eps).square().mean()


def _noised(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    return q_sample(x0, t, eps, schedule=schedule)


def _learnable(given: tuple[Any, ...], loss: Any) -> Mistake | None:
    """Whether a training could use this loss: it must lead back to the network's weights."""
    if given[0].gradient() is not None:
        return Mistake(
            "backward() is called inside",
            None,
            "Return the loss alone; the training loop calls backward() on it.",
        )
    if isinstance(loss, Tensor) and loss.requires_grad:
        return None
    return Mistake(
        "nothing can be learned from this loss: it does not lead back to the network",
        None,
        "Return the tensor itself, made without no_grad, .item(), .detach() and float().",
    )


LOSS = Function(
    id="ex-training-4",
    level="build",
    title="The loss of one batch",
    minutes=8,
    call="my_loss(net, x0, t, eps, schedule)",
    cases=_loss_cases,
    reference=_loss,
    look=_learnable,
    mistakes=(
        Mistake(
            "the network is shown the clean picture",
            lambda net, x0, t, eps, s: (net(x0, t) - eps).square().mean(),
            "There is no noise to be found in x0. Make x_t first, with q_sample.",
        ),
        Mistake(
            "the answer is compared with the picture",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - x0).square().mean(),
            "This network predicts the noise: which tensor is its target?",
        ),
        Mistake(
            "the answer is compared with x_t",
            lambda net, x0, t, eps, s: (
                (net(_noised(x0, t, eps, s), t) - _noised(x0, t, eps, s)).square().mean()
            ),
            "x_t is what goes in. Its noise, eps, is what should come out.",
        ),
        Mistake(
            "a sum, not a mean",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - eps).square().sum(),
            "With a sum the loss grows with the batch and the picture's size.",
        ),
        Mistake(
            "absolute values, not squares",
            lambda net, x0, t, eps, s: (net(_noised(x0, t, eps, s), t) - eps).abs().mean(),
            "L_simple is the mean of the squares: its best answer is the mean of the noise.",
        ),
        Mistake(
            "wrong broadcast: alpha_bar_t runs along the columns, not along the batch",
            _broadcast,
            "alpha_bar[t] has shape (B,) and lines up with the last axis: take q_sample.",
        ),
        Mistake(
            "one t for all pictures",
            lambda net, x0, t, eps, s: _loss(net, x0, t[:1].expand(len(t)), eps, s),
            "Every picture of the batch has its own t, in q_sample and in the network.",
        ),
    ),
)
