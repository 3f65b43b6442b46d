"""The exercises of the chapter on which pixel is what: the open-ended one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.applications.segmentation import confusion, mean_iou
from dmlib.book.exercises.exercise import Open, Requirement
from dmlib.book.exercises.values import WrongForm, to_tensor

K, LABELLED, NEW = 3, 240, 1500
SHARES = (0.8, 0.1, 0.1)
# One loud feature says nothing; the quiet ones tell the classes apart.
SCALES = (0.05, 0.1, 0.1, 0.2, 40.0)


def _pixels(n: int, means: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    y = torch.multinomial(torch.tensor(SHARES), n, replacement=True, generator=generator)
    f = means[y] + torch.randn(n, len(SCALES), generator=generator)
    return f * torch.tensor(SCALES), y


def _measure(label: Callable[..., Any], generator: Generator) -> dict[str, float]:
    means = torch.zeros(K, len(SCALES))
    signs = 2.0 * torch.randint(0, 2, (K + 1,), generator=generator) - 1
    for k in range(K):  # one feature for each class, and one for all
        means[k, k], means[k, K] = 3 * signs[k], 3 * (k - 1) * signs[K]
    f, y = _pixels(LABELLED, means, generator)
    f_new, true = _pixels(NEW, means, generator)
    called = to_tensor(label(f.clone(), y.clone(), f_new.clone()))
    if called.shape != (NEW,):
        raise WrongForm(f"The shape is {tuple(called.shape)}, expected {(NEW,)}.")
    whole = called.nan_to_num(-1).long()
    if bool((whole != called).any()) or int(whole.min()) < 0 or int(whole.max()) >= K:
        raise WrongForm(f"Return the class of each new pixel, a whole number in 0..{K - 1}.")
    return {
        "classes that are called": float(len(whole.unique())),
        "mIoU": float(mean_iou(confusion(whole, true, classes=K))),
    }


def _few(f: Tensor, y: Tensor, f_new: Tensor) -> Tensor:
    mean, std = f.mean(0), f.std(0)
    f, f_new = (f - mean) / std, (f_new - mean) / std
    centres = torch.stack([f[y == k].mean(0) for k in range(3)])
    return torch.cdist(f_new, centres).argmin(1)


def _most_common(f: Tensor, y: Tensor, f_new: Tensor) -> Tensor:
    return torch.bincount(y).argmax().expand(len(f_new))


def _as_they_are(f: Tensor, y: Tensor, f_new: Tensor) -> Tensor:
    centres = torch.stack([f[y == k].mean(0) for k in range(K)])
    return torch.cdist(f_new, centres).argmin(1)


FEW = Open(
    id="ex-pixels-8",
    level="build",
    title="A classifier from few labels (open-ended)",
    minutes=20,
    call="label(f, y, f_new)",
    measure=_measure,
    reference=_few,
    mistakes=(
        Requirement(
            "a class is never called",
            "classes that are called",
            K,
            float(K),
            _most_common,
            "The most common class is right for most pixels, and useless. What tells the others "
            "apart?",
        ),
        Requirement(
            "the overlap is too small",
            "mIoU",
            0.85,
            1.0,
            _as_they_are,
            "One feature is some hundred times as loud as the others. Does it decide for all? "
            "Bring them to one scale, that of the labelled pixels.",
        ),
    ),
)
