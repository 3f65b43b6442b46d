"""The exercises of chapter 5, training: labels, dropped in training and used in sampling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.chapters.training.nets import HiddenNet
from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]


def _drop(y: Tensor, u: Tensor, share: float, null_class: int) -> Tensor:
    dropped = (u < share).long()
    return dropped * null_class + (1 - dropped) * y


def _label_cases(generator: Generator) -> Cases:
    cases = []
    for _ in range(4):
        classes = draw.integer(4, 9, generator=generator)
        y = torch.randint(1, classes, (12,), generator=generator)
        u = torch.rand(12, generator=generator, dtype=torch.float64)
        share = draw.uniform(0.15, 0.4, generator=generator)
        u[:2] = torch.tensor([0.9 * share, 1 - 0.5 * share], dtype=torch.float64)
        cases.append((y, u, share, classes))
    return cases


DROP = Function(
    id="ex-training-6",
    level="build",
    title="Drop some labels",
    minutes=5,
    call="drop_labels(y, u, share, null_class)",
    cases=_label_cases,
    reference=_drop,
    mistakes=(
        Mistake(
            "the share is kept, and the rest dropped",
            lambda y, u, share, null: torch.where(u < share, y, null),
            "u lies below 0.1 in one of ten cases: these labels are to be dropped.",
        ),
        Mistake(
            "the upper part of the interval is dropped",
            lambda y, u, share, null: torch.where(u > 1 - share, null, y),
            "As likely as what is asked for, but not the same: drop where u < share.",
        ),
        Mistake(
            "dropped labels become class 0",
            lambda y, u, share, null: torch.where(u < share, 0, y),
            "Class 0 is a real class. 'No label' has a number of its own: null_class.",
        ),
        Mistake(
            "all labels or none",
            lambda y, u, share, null: torch.where(u[:1] < share, null, y),
            "Every label has its own u.",
        ),
        Mistake(
            "dropped labels are removed from the batch",
            lambda y, u, share, null: y[u >= share],
            "The pictures stay in the batch; only what the network is told about them changes.",
        ),
    ),
)


def _guided(net: Any, xt: Tensor, t: Tensor, y: Tensor, guidance_scale: float) -> Tensor:
    with_label = net(xt, t, y)
    without = net(xt, t, torch.full_like(y, net.num_classes))
    return without + guidance_scale * (with_label - without)


def _guided_cases(generator: Generator) -> Cases:
    return [
        (
            HiddenNet(generator=generator, num_classes=4),
            draw.normal(3, 1, 2, 2, generator=generator),
            draw.steps(9, 3, generator=generator),
            torch.randperm(3, generator=generator) + 1,
            scale,
        )
        for scale in (0.0, 1.0, draw.uniform(1.5, 6, generator=generator))
    ]


GUIDED = Function(
    id="ex-training-9",
    level="build",
    title="Classifier-free guidance",
    minutes=10,
    call="my_guided(net, xt, t, y, guidance_scale)",
    cases=_guided_cases,
    reference=_guided,
    mistakes=(
        Mistake(
            "the paper's scale, which is ours less one",
            lambda net, xt, t, y, w: _guided(net, xt, t, y, 1 + w),
            "In this book scale 1 is the answer with label as it is, and 0 the one without: the "
            "scaled difference is added to the one without.",
        ),
        Mistake(
            "with and without label are exchanged",
            lambda net, xt, t, y, w: _guided(net, xt, t, y, 1 - w),
            "With a large scale you move away from the label. Where must scale 1 end?",
        ),
        Mistake(
            "only the difference: the answer without label is missing",
            lambda net, xt, t, y, w: _guided(net, xt, t, y, w) - _guided(net, xt, t, y, 0.0),
            "The scaled difference is added to the answer without label.",
        ),
        Mistake(
            "class 0 taken for 'no label'",
            lambda net, xt, t, y, w: net(xt, t, 0 * y) + w * (net(xt, t, y) - net(xt, t, 0 * y)),
            "Class 0 is a real class; the null class has the number net.num_classes.",
        ),
        Mistake(
            "only the answer with label is scaled",
            lambda net, xt, t, y, w: w * net(xt, t, y),
            "Guidance stretches the difference that the label makes, not the noise itself.",
        ),
    ),
)
