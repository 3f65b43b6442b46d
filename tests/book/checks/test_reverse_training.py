"""The exercises of chapters 3 and 5 against the library, and what their hidden networks forgive."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from dmlib.book.chapters.reverse.open import _squeezed
from dmlib.book.chapters.training.nets import HiddenNet
from dmlib.book.chapters.training.open import TRAIN
from dmlib.book.chapters.unet.open import CONFIG
from dmlib.book.checks import check
from dmlib.bound import bound_Lt
from dmlib.data import to_uint8
from dmlib.forward import q_posterior
from dmlib.guidance import guided
from dmlib.metrics import FeatureStats, frechet_distance
from dmlib.models import predicts_eps
from dmlib.parameterization import guess_from_eps, score_from_v, x0_from_eps, x0_from_v
from dmlib.sampling import generate, spaced_times
from dmlib.schedules import linear_schedule
from dmlib.steps import Move, ddim, ddpm, heun
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.ema import EMA


def checked(exercise, answer):
    return check(exercise, answer, seed=1, record=False)


def _both_from_v(v, xt, t, schedule):
    forms = (x0_from_v, score_from_v)
    return tuple(form(v, xt, t, schedule=schedule) for form in forms)


def _step(rule, xt, eps_hat, noise, t, t_prev, schedule):
    guess = guess_from_eps(eps_hat, xt, t, schedule=schedule)
    return rule(xt, guess, noise, Move(schedule, t, t_prev))


def _average(weights, decay):
    """What dmlib's EMA makes of a network whose only parameter takes these values."""
    net = torch.nn.Module()
    net.row = torch.nn.Parameter(weights[0].clone())
    average = EMA(net, decay=decay)
    for row in weights[1:]:
        net.row.data.copy_(row)
        average.update(net)
    return average.net.row


def _weight(t, schedule):
    """From the bound itself, with an error of 1 in the noise of one pixel."""
    zero = torch.zeros(len(t), 1, dtype=torch.float64)
    x0_hat = x0_from_eps(zero + 1.0, zero, t, schedule=schedule)
    bits = bound_Lt(zero, zero, t, x0_hat, schedule=schedule)
    return bits * np.log(2)


LIBRARY = {
    "ex-reverse-3": lambda xt, e, t, schedule: x0_from_eps(e, xt, t, schedule=schedule),
    "ex-reverse-7": lambda x0, xt, t, schedule: q_posterior(x0, xt, t, schedule=schedule)[0],
    "ex-reverse-8": lambda xt, e, noise, t, schedule: _step(
        ddpm("beta"), xt, e, noise, t, t - 1, schedule
    ),
    "ex-reverse-9": _weight,
    "ex-reverse-10": _both_from_v,
    "ex-reverse-11": lambda xt, e, t, t_prev, schedule: _step(
        ddim(), xt, e, None, t, t_prev, schedule
    ),
    "ex-training-2": lambda x: to_uint8(x)[:, None],
    "ex-training-5": _average,
    "ex-training-7": lambda step, steps, warmup, top: learning_rate(
        step, TrainConfig(steps=steps, warmup=warmup, learning_rate=top)
    ),
    "ex-training-9": lambda net, xt, t, y, w: (
        guided(predicts_eps(net, linear_schedule()), y, guidance_scale=w)(xt, t).eps_hat
    ),
    "ex-training-10": spaced_times,
    "ex-training-13": lambda a, A, b, B: frechet_distance(
        FeatureStats(a, A, 99), FeatureStats(b, B, 99)
    ),
}


@pytest.mark.parametrize("exercise", LIBRARY)
def test_the_library_itself_is_a_right_answer(exercise):
    verdict = checked(exercise, LIBRARY[exercise])
    # Where the statement rules the helper out, its values are right all the same.
    assert verdict.passed or verdict.mistake == "q_posterior does the work", str(verdict)


def test_equal_strides_are_not_enough_and_numpy_times_are_accepted():
    def equal(net, xT, schedule, generator):
        return generate(predicts_eps(net, schedule), xT, step=ddim(), times=12)

    def numpy_times(net, xT, schedule, generator):
        return _squeezed(lambda x, t: net(x, np.int64(t)), xT, schedule, generator)

    assert "too narrow" in checked("ex-reverse-12", equal).mistake
    assert checked("ex-reverse-12", numpy_times).passed


def _heun(net, xT, schedule, generator):
    """A second look at each stride, the first one included."""
    return generate(predicts_eps(net, schedule), xT, step=heun("sigma"), times=6)


def test_second_look_at_the_first_stride_gets_the_hint_on_huge_values():
    assert "first stride plainly" in checked("ex-reverse-12", _heun).hint


FIRST = {
    "ex-training-14": "torch.optim.AdamW([torch.zeros(1, requires_grad=True)])",
    "ex-unet-12": "torch.nn.Conv2d(2, 2, 3, device='meta')",
}


@pytest.mark.parametrize("name", FIRST)
def test_what_torch_imports_the_first_time_is_not_on_the_clock(name):
    """It takes seconds, and far more than these on a busy machine."""
    code = (
        f"import sys, torch; from dmlib.book.chapters.catalog import EXERCISES; "
        f"EXERCISES[{name!r}].prepare(); loaded = set(sys.modules); {FIRST[name]}; "
        f"print(len(set(sys.modules) - loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0


@pytest.mark.parametrize(("exercise", "word"), [(TRAIN, "fewer steps"), (CONFIG, "few of them")])
def test_out_of_time_says_what_takes_the_time(exercise, word):
    verdict = check(exercise.id, lambda *args: time.sleep(9), seconds=0.2, record=False)
    assert verdict.status == "too slow"
    assert word in verdict.hint


def test_hidden_network_without_a_label_answers_as_for_the_null_class():
    net = HiddenNet(generator=torch.Generator().manual_seed(0))
    xt, t = torch.ones(2, 1, 2, 2, dtype=torch.float64), torch.tensor([1, 2])
    null = torch.full((2,), net.num_classes)
    assert torch.equal(net(xt, t), net(xt, t, null))
    assert not torch.equal(net(xt, t), net(xt, t, 0 * null))


def test_a_network_without_t_is_told_so():
    verdict = checked("ex-training-14", lambda x0, schedule, generator: torch.nn.Linear(2, 2))
    assert "net(xt, t)" in verdict.message
    assert verdict.status == "wrong"
