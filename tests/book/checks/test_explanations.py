"""What the checks say of wrong answers that no table knows; none of them passes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from wrong_answers import chosen, kind_of, verdict_on

from dmlib.book.chapters.kernel.open import _means
from dmlib.book.chapters.unet.open import _shape
from dmlib.book.checks import check
from dmlib.forward import q_posterior, q_sample, q_step
from dmlib.models.embedding import sinusoidal_embedding
from dmlib.models.unet import UNetConfig

STEP = "ex-forward-3"
# Slips that change nothing: the mirrored, the transposed or the mean of what is one number or row.
HARMLESS = ("transposed", "mean of the result", "an axis more", "reversed", "arguments exchanged")


def checked(exercise, answer, seed=1):
    return check(exercise, answer, seed=seed, seconds=60, record=False)


def test_wrong_answers_made_by_rule_are_explained_and_do_not_pass():
    counts, passed = Counter(), []
    for exercise, name, answer in chosen(5):
        kind = kind_of(verdict_on(exercise, answer, 1))
        counts[kind] += 1
        if kind == "passed" and not name.startswith(HARMLESS):
            passed.append((exercise.id, name))
    # at(table, t, x) takes only the dtype of x; q, k and v have the same length.
    harmless = {("ex-reverse-7", "at("), ("ex-unet-8", "v.shape[-1]")}
    harmless |= {("ex-words-4", "math.sqrt(k.shape[-1])")}
    assert not [p for p in passed if not any(p[0] == e and w in p[1] for e, w in harmless)]
    judged = sum(counts.values()) - counts["passed"] - counts["error"]
    assert judged >= 150
    assert counts["not yet"] == counts["too slow"] == 0
    assert counts["named"] + counts["explained"] >= 0.85 * judged, counts


# --- frequent slips are told apart ----------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x, b, e: (1 - b) ** 1 / 2 * x + b**1 / 2 * e, "write `x ** 0.5`"),
        (lambda x, b, e: math.sqrt(1 - b) * x - math.sqrt(b) * e, "`eps` were negated"),
        (lambda x, b, e: (1 - math.sqrt(b)) * x + math.sqrt(b) * e, "mind the bracket"),
        (lambda x, b, e: math.sqrt(1 - b) * e + math.sqrt(b) * x, "factors are exchanged"),
        (lambda x, b, e: math.sqrt(1 - b) * x, "`eps` were left out"),
        (lambda x, b, e: 2 * (math.sqrt(1 - b) * x + math.sqrt(b) * e), "twice the right"),
        (lambda x, b, e: (math.sqrt(1 - b) * x + math.sqrt(b) * e).T, "transposed"),
        (lambda x, b, e: math.sqrt(1 - b) * x + math.sqrt(b) * e + 1, "1 more than"),
        (lambda x, b, e: (math.sqrt(1 - b) * x + math.sqrt(b) * e).mean(), "mean"),
        (lambda x, b, e: (math.sqrt(1 - b) * x + math.sqrt(b) * e).half(), "half precision"),
        (lambda x, b, e: 0.7 * x + math.sqrt(b) * e, "the factor of x_prev is off"),
    ],
)
def test_one_line_says_how_it_differs(answer, says):
    for seed in range(5):
        assert says.lower() in " ".join(str(checked(STEP, answer, seed)).lower().split())


def test_small_input_that_failed_is_shown():
    verdict = checked("ex-intro-5", lambda v, n: v + n)
    assert verdict.failed_on.startswith("variance = ")
    assert "noise_variance = " in verdict.failed_on
    assert verdict.failed_on in verdict._repr_html_()


def test_mean_for_sum_and_exchanged_noises():
    def mean(xt, x_prev, beta_t):
        gap = xt - math.sqrt(1 - beta_t) * x_prev
        constant = -0.5 * xt.shape[1] * math.log(2 * math.pi * beta_t)
        return {"distance": -(gap**2).mean(1) / (2 * beta_t), "constant": constant}

    assert "1 / xt.shape[1]" in checked("ex-forward-8", mean).how

    def exchanged(xt, eps_hat, noise, t, schedule):
        beta, bar = schedule.beta[t], schedule.alpha_bar[t]
        mean = (xt - beta / (1 - bar).sqrt() * noise) / schedule.alpha[t].sqrt()
        return mean if t == 1 else mean + beta.sqrt() * eps_hat

    assert "`eps_hat` and `noise` were exchanged" in checked("ex-reverse-8", exchanged).how


def test_argument_that_plays_no_part_is_told():
    verdict = checked("ex-kernel-9", lambda bar, factor: bar**1.37)
    assert "`factor`" in verdict.how or "factor" in verdict.how


# --- what was named wrongly -----------------------------------------------------------------


def test_torchs_own_not_implemented_is_no_stub():
    power = checked(STEP, lambda x, b, e: (x ^ 2) * b)
    assert power.status == "error"
    assert "x ** 2" in power.hint

    def half_eigh(mean_a, cov_a, mean_b, cov_b):
        return torch.linalg.eigh(cov_a.half()).eigenvalues.sum()

    coarse = checked("ex-training-13", half_eigh)
    assert coarse.status == "error"
    assert "float32 or float64" in coarse.hint


def test_a_stub_that_is_called_is_still_a_stub():
    def helper():
        raise NotImplementedError("later")

    assert checked(STEP, lambda x, b, e: helper()).status == "not yet"


def test_backward_inside_and_losses_that_teach_nothing_are_named():
    def inside(net, x0, t, eps, schedule):
        loss = (net(q_sample(x0, t, eps, schedule=schedule), t) - eps).square().mean()
        loss.backward()

    assert "None" in checked("ex-training-4", inside).message

    def inside_and_back(net, x0, t, eps, schedule):
        loss = (net(q_sample(x0, t, eps, schedule=schedule), t) - eps).square().mean()
        loss.backward()
        return loss

    assert "backward() is called inside" in checked("ex-training-4", inside_and_back).mistake

    def item(net, x0, t, eps, schedule):
        return (net(q_sample(x0, t, eps, schedule=schedule), t) - eps).square().mean().item()

    @torch.no_grad()
    def graphless(net, x0, t, eps, schedule):
        return (net(q_sample(x0, t, eps, schedule=schedule), t) - eps).square().mean()

    for answer in (item, graphless):
        verdict = checked("ex-training-4", answer)
        assert not verdict.passed
        assert "nothing can be learned" in verdict.mistake


def test_difference_alone_is_not_called_zero():
    def only(net, xt, t, y, w):
        return w * (net(xt, t, y) - net(xt, t, None))

    assert "without label is missing" in checked("ex-training-9", only).mistake


def test_no_call_is_not_too_many_calls():
    verdict = checked("ex-reverse-12", lambda net, xT, schedule, generator: xT * 0.3)
    assert verdict.mistake == "the network is never asked"


def test_none_and_texts_and_dots_inside_are_told():
    right = {"picture": lambda v, b: (1 - b) * v, "noise": lambda v, b: b}
    half = checked("ex-forward-4", lambda v, b: {"picture": right["picture"](v, b), "noise": ...})
    assert half.status == "not yet"
    assert "noise" in half.message
    assert "stub" not in half.message
    none = checked("ex-forward-4", lambda v, b: {"picture": None, "noise": b})
    assert "picture" in none.message
    listed = checked("ex-forward-5", lambda T, a, b: [None] + [0.1] * T)
    assert "Entry 0" in listed.message
    texts = checked("ex-forward-5", lambda T, a, b: ["0.1"] * (T + 1))
    assert "text" in texts.message


def test_counts_are_not_called_per_cent():
    def counts(x0, labels, t, schedule, generator):
        eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        xt = q_sample(x0, t, eps, schedule=schedule)
        return (torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1) == labels).sum()

    assert checked("ex-kernel-10", counts).mistake == "a count instead of a share"


# --- wrong answers that passed --------------------------------------------------------------


def nearest_picture(x0, labels, t, schedule, generator):
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    xt = q_sample(x0, t, eps, schedule=schedule)
    nearest = torch.cdist(xt.flatten(1), x0.flatten(1)).argmin(1)
    return (labels[nearest] == labels).double().mean()


def own_noise(x0, labels, t, schedule, generator):
    xt = q_sample(x0, t, torch.randn_like(x0), schedule=schedule)
    return (torch.cdist(xt.flatten(1), _means(x0, labels)).argmin(1) == labels).double().mean()


def spoils_x0(x0, labels, t, schedule, generator):
    means = _means(x0, labels)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    x0 *= schedule.alpha_bar[t].sqrt()
    x0 += (1 - schedule.alpha_bar[t]).sqrt() * eps
    return (torch.cdist(x0.flatten(1), means).argmin(1) == labels).double().mean()


def own_holes(x0, strength, generator):
    return x0 * (torch.rand(x0.shape) >= strength)


def bent_for_300(T):
    return [0.0] + [1e-4 + 0.06 * (t / 300) ** 2 for t in range(1, T + 1)]


PASSED_ONCE = [
    ("ex-intro-4", lambda x: 2 * (x.double() - x.min()) / (x.max() - x.min()).double() - 1),
    ("ex-intro-7", lambda a, b: correlation(a, b).abs()),
    ("ex-unet-12", lambda budget: _shape(56)),
    ("ex-unet-12", lambda budget: UNetConfig(widths=(48, 96, 96), num_classes=10, groups=4)),
    ("ex-forward-9", bent_for_300),
    ("ex-kernel-10", nearest_picture),
    ("ex-kernel-10", own_noise),
    ("ex-kernel-10", spoils_x0),
    ("ex-intro-8", own_holes),
]


def correlation(a, b):
    a, b = a.flatten(1), b.flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


@pytest.mark.parametrize(("exercise", "answer"), PASSED_ONCE)
def test_wrong_answers_that_once_passed_never_do(exercise, answer):
    for seed in range(20):
        verdict = checked(exercise, answer, seed)
        assert not verdict.passed
        assert verdict.mistake


HELPERS = {
    "ex-forward-3": lambda x, b, e: q_step(x, 1, e, schedule=_one_step(b)),
    "ex-forward-7": q_step,
    "ex-kernel-3": q_sample,
    "ex-reverse-7": lambda x0, xt, t, s: q_posterior(x0, xt, t, schedule=s)[0],
    "ex-unet-4": lambda t, dim: sinusoidal_embedding(t, dim).double(),
    "ex-unet-6": lambda x, groups: torch.nn.functional.group_norm(x, groups),
    "ex-unet-8": torch.nn.functional.scaled_dot_product_attention,
}


def _one_step(beta):
    from dmlib.schedules import NoiseSchedule

    return NoiseSchedule(torch.tensor([0.0, beta], dtype=torch.float64))


@pytest.mark.parametrize("exercise", HELPERS)
def test_forbidden_helpers_are_named(exercise):
    verdict = checked(exercise, HELPERS[exercise])
    assert not verdict.passed
    assert "does the work" in verdict.mistake, str(verdict)


def test_softmax_by_any_name_is_named():
    ways = [lambda s: s.softmax(-1), torch.nn.Softmax(-1), lambda s: s.log_softmax(-1).exp(),
            lambda s: (s - s.logsumexp(-1, keepdim=True)).exp()]  # fmt: skip
    for soft in ways:
        answer = lambda q, k, v, soft=soft: soft(q @ k.mT / q.shape[-1] ** 0.5) @ v  # noqa: E731
        assert "does the work" in checked("ex-unet-8", answer).mistake


def test_own_function_with_the_helpers_name_is_no_helper():
    def q_step(x, b, e):
        return (1 - b) ** 0.5 * x + b**0.5 * e

    assert checked(STEP, lambda x, b, e: q_step(x, b, e)).passed


# --- right, but unusual ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("ex-intro-5", lambda v, n: torch.tensor([0.5 * math.log1p(n / v)])),
        ("ex-intro-5", lambda v, n: np.array([[0.5 * math.log1p(n / v)]])),
        ("ex-forward-4", lambda v, b: torch.tensor([(1 - b) * v, b])),
        ("ex-forward-4", lambda v, b: np.array([(1 - b) * v, b])),
        ("ex-forward-4", lambda v, b: {"noise": [b], "picture": (1 - b) * v, "more": None}),
        ("ex-intro-1", "option b"),
        ("ex-intro-1", "B)"),
    ],
)
def test_right_but_unusual_forms_are_taken(exercise, answer):
    verdict = checked(exercise, answer)
    assert verdict.passed, str(verdict)


def test_numbers_are_told_how_far_off_they_are_and_not_the_right_one():
    for value, words in ((25_000_000, "by far"), (26.5, "less than a tenth"), (-3, "sign")):
        verdict = checked("ex-intro-3", value)
        assert words in verdict.message
        assert "25" not in verdict.message.replace(str(value), "").replace("2.5e+07", "")
