"""Laws of judging a generator, and of the protocol that is run by one command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlib.checkpoint import load_shipped
from dmlib.data import fashion_sample, to_unit
from dmlib.metrics import protocol
from dmlib.metrics.judge import Judge, class_samples
from dmlib.models import UNetConfig, predicts_eps, predicts_x0
from dmlib.schedules import cosine_schedule
from dmlib.steps import ddim, ddpm
from dmlib.training.batches import sample
from dmlib.training.config import TrainConfig
from dmlib.training.model_card import add_metrics
from dmlib.training.recipes import Recipe
from dmlib.training.session import Session

SCHEDULE = cosine_schedule(1000)
TINY = Recipe(
    name="tiny",
    purpose="for tests",
    net=UNetConfig(
        widths=(8,), blocks=1, attention=(), heads=2, emb_dim=8, num_classes=10, patch=4
    ),
    train=TrainConfig(steps=6, warmup=2, ema_decay=0.9),
    batch_size=8,
    data=sample,
    preview_every=4,
    save_every=3,
    log_every=2,
)


def _faint(xt, t, y=None):
    """A network for the tests: a tenth of what it sees, and a shade of the class."""
    shade = 0 if y is None else y.float().view(-1, 1, 1, 1) / 100
    return xt / 10 + shade


FAINT = predicts_eps(_faint, SCHEDULE)


@pytest.fixture(scope="module")
def real() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = fashion_sample()
    return to_unit(images), labels


@pytest.fixture(scope="module")
def judge(real) -> Judge:
    return Judge(real[0][:1000])


def test_real_images_are_recognised_and_near_the_floor(judge, real):
    x, labels = real[0][1000:], real[1][1000:]
    score = judge.score(x[:200], labels[:200])
    assert score.recognised > 0.85
    assert score.n == 200
    floor = judge.floor(x, n=200)
    assert abs(score.distance - floor.mean()) < 5 * floor.std()
    assert judge.score(x[:200], (labels[:200] + 1) % 10).recognised < 0.1


def test_noise_blur_and_a_single_class_are_far_above_the_floor(judge, real):
    x, labels = real[0][1000:1200], real[1][1000:1200]
    floor = judge.floor(real[0][1000:], n=200).mean()
    generator = torch.Generator().manual_seed(0)
    noisy = x + 0.5 * torch.randn(x.shape, generator=generator)
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    shirts = x[labels == 0].repeat(10, 1, 1, 1)
    for bad in (noisy, blurred, shirts):
        assert judge.score(bad, labels).distance > 3 * floor


def test_more_images_have_a_lower_floor_and_a_smaller_spread(judge, real):
    few, many = (judge.floor(real[0][1000:], n=n) for n in (100, 500))
    assert many.mean() < few.mean()
    assert many.std() < few.std()


def test_samples_are_balanced_and_repeatable():
    x, y = class_samples(FAINT, 130, step=ddpm(), times=2)
    again, _ = class_samples(FAINT, 130, step=ddpm(), times=2)
    assert torch.equal(x, again)
    assert torch.bincount(y).tolist() == [13] * 10
    assert x.shape == (130, 1, 28, 28)
    other, _ = class_samples(FAINT, 130, step=ddim(), times=2)
    assert not torch.equal(x, other)


def test_guidance_reaches_the_network():
    settings = {"times": 2}
    plain, _ = class_samples(FAINT, 10, **settings)
    pushed, _ = class_samples(FAINT, 10, guidance_scale=3.0, **settings)
    assert torch.equal(plain[:1], pushed[:1])  # class 0 has no shade
    assert not torch.equal(plain[1:], pushed[1:])


def test_samples_come_from_the_generator_that_is_given():
    settings = {"step": ddpm(), "times": 2}

    def seeded(seed: int) -> torch.Tensor:
        return class_samples(FAINT, 10, generator=torch.Generator().manual_seed(seed), **settings)[
            0
        ]

    assert torch.equal(seeded(1), class_samples(FAINT, 10, **settings)[0])
    assert not torch.equal(seeded(1), seeded(2))
    with pytest.raises(ValueError, match=r"^generator must"):
        class_samples(FAINT, 10, generator=1, **settings)


@pytest.mark.parametrize("n", [0, 5, 15])
def test_unbalanced_numbers_are_refused(n):
    with pytest.raises(ValueError, match=r"n must be (a positive multiple of 10|an integer >= 10)"):
        class_samples(FAINT, n)


# The protocol


@pytest.fixture
def small(monkeypatch):
    """The protocol with the shipped sample for data, and one sampler of two steps."""
    images, labels = fashion_sample()
    halves = {"train": (images[:1000], labels[:1000]), "test": (images[1000:], labels[1000:])}
    monkeypatch.setattr(protocol, "fashion_mnist", lambda split: halves[split])
    monkeypatch.setattr(protocol, "PLAN", {"ddim": (1, 2)})
    monkeypatch.setattr(protocol, "GUIDANCE", (1.0, 2.0))
    monkeypatch.setattr(protocol, "SHORT", ("ddim", 2))


def test_protocol_judges_a_run_and_writes_its_card(tmp_path, small):
    assert Session(TINY, folder=tmp_path, device="cpu").train().status == "done"
    assert protocol.main(["--run", str(tmp_path), "--n", "70"]) == 0
    result, pairs = protocol.read_protocol(tmp_path / "protocol.json")
    assert [(r["sampler"], r["steps"]) for r in result["steps"]] == [("ddim", 1), ("ddim", 2)]
    assert [r["guidance_scale"] for r in result["guidance"]] == [1.0, 2.0]
    assert result["guidance"][0] == result["steps"][1]
    assert [r["weights"] for r in result["average"]] == ["average", "raw"]
    assert result["average"][0]["distance"] != result["average"][1]["distance"]
    assert [r["step"] for r in result["minutes"]] == [4, 6]
    assert pairs.shape == (20, 28, 28)
    assert pairs.dtype == np.uint8
    assert all(r["distance"] > result["floor"]["mean"] for r in result["steps"])
    card = json.loads((tmp_path / "weights.json").read_text())
    assert len(card["metrics"]) == 2
    assert any("its floor, 70 training images" in name for name in card["metrics"])
    add_metrics(tmp_path / "weights.safetensors", {"x": 1})  # the weights are still whole


def test_copies_of_training_images_are_found(small, real):
    """A network that copies: all its samples are one training image."""
    train, test = real[0][:100], real[0][1000:1100]

    copying = predicts_x0(lambda xt, t, y=None: train[7].expand_as(xt), SCHEDULE)
    row, pairs = protocol._copies(copying, train, test, n=20)
    assert max(row["samples"]) < 1e-3 < min(row["test"])
    assert (pairs[:10] == pairs[10:]).all()


def test_shipped_figures_belong_to_the_shipped_weights():
    _, card = load_shipped()
    result, pairs = protocol.read_protocol()
    assert result["network"]["sha256"] == card["sha256"]
    assert pairs.shape == (20, 28, 28)
    assert all(row["distance"] > 0 for row in result["steps"])


def test_the_chapter_states_the_fixed_parts_of_the_protocol():
    page = (Path(__file__).parents[2] / "book" / "05_training.md").read_text("utf-8")
    result, _ = protocol.read_protocol()
    (named,) = re.findall(r"for name in \(([^)]*)\):\n    print\(f\"\{name:10s\}", page)
    for name in re.findall(r'"(\w+)"', named):
        assert result["protocol"][name]
