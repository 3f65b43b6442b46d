"""The network of shapes in space as it is shipped, and what its cards say."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from dmlib.applications.point_clouds import completing, some_of, visible
from dmlib.assets import ASSETS
from dmlib.checkpoint import load_points
from dmlib.data.shapes3d import leg_length, shapes
from dmlib.guidance import conditioned
from dmlib.metrics.clouds import chamfer_matrix
from dmlib.sampling import generate
from dmlib.steps import heun

UP = torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def model():
    return load_points()[0]


@pytest.fixture(scope="module")
def card():
    return json.loads((ASSETS / "shapes_run.json").read_text())


def made(denoiser, n, seed):
    g = torch.Generator().manual_seed(seed)
    return generate(denoiser, torch.randn(n, 256, 3, generator=g), step=heun(), times=15)


def test_shipped_answers_change_places_with_the_points(model):
    g = torch.Generator().manual_seed(0)
    xt, order = torch.randn(2, 256, 3, generator=g).double(), torch.randperm(256, generator=g)
    net = load_points()[0].net.double()
    off = (
        net(xt[:, order], 400, torch.tensor([0, 2])) - net(xt, 400, torch.tensor([0, 2]))[:, order]
    )
    assert off.abs().max() < 1e-6


def test_it_makes_the_kind_that_is_asked_for(model):
    """The nearest of real clouds of all kinds is one of the kind."""
    clouds = made(conditioned(model, torch.arange(4).repeat(3)), 12, 1)
    real = shapes(80, generator=torch.Generator().manual_seed(2))
    nearest = chamfer_matrix(clouds, real.points).argmin(1)
    assert real.label[nearest].tolist() == list(range(4)) * 3


def test_it_completes_a_chair_with_legs_and_keeps_what_is_given(model):
    chair = shapes(1, kind="chair", generator=torch.Generator().manual_seed(3)).points
    g = torch.Generator().manual_seed(4)
    known = some_of(visible(chair, UP, -0.02), 64, generator=g)
    x, known = chair.expand(6, -1, -1), known.expand(6, -1)
    done = made(completing(model, x, known, y=torch.zeros(6, dtype=torch.int64)), 6, 5)
    assert torch.equal(done[known], x[known])
    legs = leg_length(done)
    assert (legs > 0.7).all()
    assert (legs < 3.1).all()
    assert legs.std() > 0.05  # samples, not a mean


def test_the_card_vouches_for_the_recording(card):
    data = (ASSETS / "shapes_run.npz").read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (card["bytes"], card["sha256"])


def test_the_cards_legs_are_those_of_the_recording(card):
    run = np.load(ASSETS / "shapes_run.npz")
    for way in ("told", "kept"):
        legs = run[f"leg_{way}"].astype(float)
        between = float(((legs > 1.7) & (legs < 2.0)).mean())
        assert abs(between - card["legs"][way]["share_between_low_and_high"]) < 5e-3
        assert legs.shape == (card["legs"]["chairs"], card["legs"]["n"])


def test_the_scores_reach_what_the_book_says(card):
    """512 clouds a set; 0.5 is perfect."""
    trained, floor = card["scores"]["trained"], card["scores"]["floor"]
    assert trained["clouds_a_set"] == 512
    assert trained["one_nna"]["mean"] <= 0.65
    assert abs(floor["one_nna"]["mean"] - 0.5) < 0.03
