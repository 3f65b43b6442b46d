"""The sampler's Python side: what Generate does is dmlib's own sample, and the kernel answers."""

import base64
import json
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
import traitlets
from torch import nn
from torch.testing import assert_close

from dmlib.book.widgets import Sampler
from dmlib.book.widgets.rng import normal
from dmlib.guidance import guided
from dmlib.models import UNet, UNetConfig, predicts_eps
from dmlib.parameterization import Guess
from dmlib.sampling import clipped, generate
from dmlib.schedules import cosine_schedule, linear_schedule
from dmlib.steps import Move, ddim

SCHEDULE = cosine_schedule(100)


def small_net(num_classes=3, image_size=8, channels=1, schedule=SCHEDULE):
    """A tiny U-Net with random weights: its answers depend on all that it is given."""
    config = UNetConfig(
        image_size=image_size, channels=channels, widths=(8, 8), blocks=1, attention=(), emb_dim=16,
        num_classes=num_classes,
    )  # fmt: skip
    torch.manual_seed(0)
    net = UNet(config)
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.1)
    return predicts_eps(net, schedule).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture
def sampler(net):
    return Sampler(net)


def test_walk_is_sample_with_the_state_of_the_figure(sampler, net):
    sampler.set_trait("steps", 6)
    sampler.label, sampler.guidance_scale, sampler.seed = 2, 3.0, 8
    xT = torch.from_numpy(normal(8, np.arange(16 * 64))).float().view(16, 1, 8, 8)
    denoiser = clipped(guided(net, 2, guidance_scale=3.0))
    expected = generate(denoiser, xT, step=ddim(), times=6)
    *_, last = sampler.walk()
    assert_close(last.xt, expected)


def test_walk_draws_the_noise_that_javascript_draws(sampler):
    sampler.steps, sampler.eta, sampler.seed, sampler.clip = 5, 0.8, 3, False
    for k, (one, following) in enumerate(pairwise(sampler.walk()), start=1):
        noise = torch.from_numpy(normal(3, k * 1024 + np.arange(1024))).float()
        guess, move = Guess(one.x0_hat, one.eps_hat), Move(SCHEDULE, one.t, following.t)
        expected = ddim(0.8)(one.xt, guess, noise.view(16, 1, 8, 8), move)
        assert_close(following.xt, expected)


def test_a_mix_asks_for_the_classes_in_turn(sampler):
    sampler.label, sampler.steps = -1, 2
    mixed = list(sampler.walk())[-1].xt
    for label in range(3):
        sampler.label = label
        assert_close(list(sampler.walk())[-1].xt[label::3], mixed[label::3])


def test_a_drawing_is_noised_by_the_kernel_and_walked_back(sampler):
    drawn = np.arange(64, dtype=np.uint8) * 4
    sampler.start, sampler.t_start, sampler.steps = "drawing", 40, 10
    sampler.drawing = base64.b64encode(drawn.tobytes()).decode()
    snapshots = list(sampler.walk())
    assert [s.t for s in snapshots] == [40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0]
    a = SCHEDULE.alpha_bar[40].float()
    x0 = torch.from_numpy(drawn / 127.5 - 1).float().view(1, 8, 8)
    assert_close(snapshots[0].xt, a.sqrt() * x0 + (1 - a).sqrt() * sampler.noise(0))
    sampler.steps = 250  # no more steps than there are
    assert len(list(sampler.walk())) == 41


def test_recorded_run_goes_over_in_bytes_and_within_the_limit():
    for side, steps in ((8, 12), (28, 12), (40, 5)):
        figure = Sampler(small_net(image_size=side, schedule=linear_schedule(50)))
        record = figure._data["record"]
        assert record["steps"] == steps
        assert record["x0_hat"]["shape"] == [steps, 16, 1, side, side]
        assert len(json.dumps(figure._data)) < 300_000


def test_kernel_answers_with_eps_hat(sampler, net, monkeypatch):
    sent = []
    monkeypatch.setattr(
        sampler, "send", lambda content, buffers=None: sent.append((content, buffers))
    )
    xt = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    buffers = [memoryview(xt.numpy().tobytes())]
    for y in (None, [2] * 16):
        sampler._answer(sampler, {"kind": "denoise", "id": "a-1", "t": 7, "y": y}, buffers)
        content, (raw,) = sent.pop()
        assert content == {"kind": "eps_hat", "id": "a-1"}
        expected = net(xt, 7, None if y is None else torch.tensor(y)).eps_hat
        assert_close(torch.frombuffer(bytearray(raw), dtype=torch.float32), expected.flatten())
    sampler._answer(sampler, {"kind": "denoise", "id": "a-2", "t": 7, "y": [9] * 16}, buffers)
    ((content, _),) = sent
    assert (content["kind"], content["id"]) == ("error", "a-2")
    assert "y must be in 0..3" in content["text"]
    sampler._answer(sampler, {"kind": "hello"}, [])
    assert len(sent) == 1


def test_a_network_without_classes_has_no_class_to_choose():
    figure = Sampler(small_net(num_classes=None))
    assert (figure._data["names"], figure._data["nullClass"]) == ([], None)
    assert len(list(figure.walk())) == 21


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label", 3), ("label", -2), ("t_start", 101), ("t_start", 0), ("steps", 0),
        ("guidance_scale", -1), ("eta", 1.5), ("seed", 0), ("drawing", "!!"), ("drawing", "AAAA"),
    ],
)  # fmt: skip
def test_state_out_of_range_is_refused(sampler, name, value):
    with pytest.raises(traitlets.TraitError):
        setattr(sampler, name, value)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="names must be one a class, 3, got 1"):
        Sampler(small_net(), names=["x"])
    with pytest.raises(ValueError, match="channels = 1"):
        Sampler(small_net(channels=3))


def test_forms_say_what_is_shown(sampler):
    forms, _ = sampler._repr_mimebundle_()
    assert forms["text/plain"].startswith(
        "Sampler: Sixteen pictures that a network denoises, at t ="
    )
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    # No statement of its own; the listing of Python holds the word.
    assert not re.search(r"^\s*import\s", str(sampler._esm), re.M)
    assert "</script" not in str(sampler._esm).lower()
