"""The gallery's exhibits show what the page says of them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlib.book.gallery import GALLERY, Exhibit, load_gallery, told_and_read
from dmlib.checkpoint import load_shipped
from dmlib.models.inspect import inner_unet
from dmlib.schedules import cosine_schedule, linear_schedule

PAGE = Path(__file__).parents[2] / "book" / "06_when_it_goes_wrong.md"


@pytest.fixture(scope="module")
def gallery() -> dict[str, Exhibit]:
    return load_gallery()


def variety(run: Exhibit) -> float:
    """Mean spread of the four samples of one class, in grey levels."""
    return run.samples.reshape(4, 4, 28, 28).astype(float).std(0).mean()


def test_asset_is_the_one_of_its_card():
    card = json.loads(GALLERY.with_suffix(".json").read_text("utf-8"))
    assert hashlib.sha256(GALLERY.read_bytes()).hexdigest() == card["sha256"]
    assert GALLERY.stat().st_size == card["bytes"] < 300_000


def test_page_shows_every_exhibit_or_compares_it(gallery):
    page = PAGE.read_text("utf-8")
    lost = {name for name in gallery if f'"{name.removesuffix("_before")}"' not in page}
    assert lost == set()
    assert '"_before"' in page
    assert set(re.findall(r'show\("(\w+)"\)', page)) <= gallery.keys()


def test_good_run_is_recognised(gallery):
    good = gallery["good"]
    assert good.facts["recognised"] > 0.8
    assert good.facts["darkest"] < -0.95
    assert good.loss[-5:].mean() < good.loss[:5].mean() / 2


def test_faults_of_sampling_share_a_sound_training(gallery):
    for name in ("no_average", "wrong_schedule", "by_one_step", "by_one_place", "beta_for_root",
                 "noise_at_the_end", "ddim_20", "ddpm_20", "ddpm_250", "good_before"):  # fmt: skip
        assert gallery[name].training == "good"
    assert gallery["unclipped"].training == gallery["clipped"].training == "eps"


def last_losses(gallery: dict[str, Exhibit], name: str, n: int) -> tuple[float, float]:
    """Mean of the last n points of a run's curve, and of the good one's at the same steps."""
    run, good = gallery[name], gallery["good"]
    end = len(run.loss)
    assert (run.step == good.step[:end]).all()
    return run.loss[end - n :].mean(), good.loss[end - n : end].mean()


def test_too_high_a_rate_leaves_the_loss_high(gallery):
    run, good = last_losses(gallery, "high_rate", 5)
    assert run > 1.5 * good
    assert gallery["high_rate"].facts["recognised"] < 0.5


def test_unscaled_data_make_the_background_grey_and_leave_the_loss_alone(gallery):
    assert -0.3 < gallery["unscaled"].facts["darkest"] < 0.3
    run, good = last_losses(gallery, "unscaled", 10)
    assert run < 1.5 * good


def test_a_dead_skip_costs_loss(gallery):
    run, good = last_losses(gallery, "dead_skip", 10)
    assert run > 1.1 * good


def test_without_clipping_numbers_explode_and_with_it_they_do_not(gallery):
    assert gallery["unclipped"].facts["outside"] > 0.5
    assert gallery["clipped"].facts["outside"] < 0.01


def test_variance_for_its_root_makes_smooth_samples_that_are_alike(gallery):
    right, smooth = gallery["ddpm_250"], gallery["beta_for_root"]
    assert smooth.facts["grain"] < 0.9 * right.facts["grain"]
    assert variety(smooth) < 0.5 * variety(right)


def test_noise_in_the_last_step_leaves_the_range_and_puts_grain_on_black(gallery):
    run, right = gallery["noise_at_the_end"], gallery["ddpm_20"]
    assert run.facts["outside"] > 0.1 > 0.001 > right.facts["outside"]
    corner = [g.samples[:, :3, :3].astype(float).mean() for g in (run, right)]
    assert corner[0] > 2 * corner[1]


def test_off_by_one_is_hardly_seen(gallery):
    right = gallery["ddim_20"].samples.astype(float)
    step, place, schedule = (
        np.abs(gallery[name].samples - right).mean()
        for name in ("by_one_step", "by_one_place", "wrong_schedule")
    )
    assert step < place < schedule


def test_off_by_one_is_the_conversion_in_the_first_step_and_not_the_network():
    schedule = cosine_schedule(1000)
    unet = inner_unet(load_shipped()[0])
    xT = torch.randn(10, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    def late(t):
        return t - 1

    def first(t):
        return t - (t == 1000)

    def others(t):
        return t - (t < 1000)

    def off(**how):
        change = told_and_read(unet, xT, schedule, **how) - told_and_read(unet, xT, schedule)
        return 127.5 * float(change.abs().mean())

    everywhere = off(told=late, read=late)
    assert everywhere > 5
    assert off(told=first, read=first) > 0.9 * everywhere
    assert off(told=others, read=others) < 0.1 * everywhere
    assert off(told=late) < 0.05 * everywhere
    assert off(read=late) > 0.9 * everywhere
    # The reason: the root of alpha_bar is some thirty times larger one step before the last.
    assert 25 < float((schedule.alpha_bar[999] / schedule.alpha_bar[1000]).sqrt()) < 35


def test_wrong_schedule_holds_less_picture_at_every_t_but_the_largest_few():
    linear, cosine = linear_schedule(1000).alpha_bar, cosine_schedule(1000).alpha_bar
    times = (linear[1:] >= cosine[1:]).nonzero()[:, 0] + 1
    assert times.tolist() == list(range(996, 1001))


def test_raw_weights_flicker_and_the_average_does_not(gallery):
    raw, average = (
        np.abs(gallery[f"{name}_before"].samples - gallery[name].samples.astype(float)).mean()
        for name in ("no_average", "good")
    )
    assert raw > 5 * average
