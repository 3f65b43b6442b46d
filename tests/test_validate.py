"""Laws of the checks at public entries: what is meant goes through, the rest is told its fix."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from dmlib._validate import (
    as_index,
    check_float,
    check_generator,
    check_int,
    check_ints,
    check_real,
)
from dmlib.forward import noise_like, q_sample
from dmlib.losses import min_snr_weight
from dmlib.schedules import cosine_schedule

SCHEDULE = cosine_schedule(100)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(2, dtype=torch.uint8), r"torch.uint8; try: dmlib.data.to_unit\(x\)$"),
        (torch.zeros(2, dtype=torch.int64), r"torch.int64; try: x.float\(\)$"),
        (torch.zeros(2, dtype=torch.bool), "torch.bool$"),
        (torch.zeros(2, dtype=torch.complex64), "torch.complex64$"),
    ],
)
def test_what_is_not_floating_point_is_told_a_fix_that_is_right(x, says):
    """x.float() of grey levels would be 0..255 and pass; of complex numbers half would be lost."""
    with pytest.raises(ValueError, match=f"^x must be floating point, got {says}"):
        check_float("x", x)


@pytest.mark.parametrize("x", [[0.0, 1.0], np.zeros(2)])
def test_lists_and_arrays_are_told_how_to_become_tensors(x):
    with pytest.raises(ValueError, match=r"^x must be .* try: torch.tensor\(x\)$"):
        check_float("x", x)


@pytest.mark.parametrize("t", [3, np.int64(3), np.uint8(3), torch.tensor(3), torch.tensor([3, 3])])
def test_every_kind_of_whole_number_is_a_step(t):
    got = as_index("t", t, batch=2)
    assert got.tolist() == [3, 3]
    assert got.dtype == torch.int64
    x = torch.randn(2, 3)
    assert torch.equal(q_sample(x, t, x, schedule=SCHEDULE), q_sample(x, 3, x, schedule=SCHEDULE))


@pytest.mark.parametrize(
    ("t", "says"),
    [
        ([3, 3], r"got \[3, 3\]; try: torch.tensor\(t\)$"),
        (np.array([3, 3]), r"try: torch.tensor\(t\)$"),
        (3.0, "got 3.0$"),
        ("3", "got '3'$"),
        (True, "got True$"),
        (np.True_, "got "),
        (None, "got None$"),
    ],
)
def test_what_is_no_step_is_told_its_fix(t, says):
    with pytest.raises(ValueError, match=rf"^t must be an int or an int64 tensor .*{says}"):
        as_index("t", t, batch=2)


@pytest.mark.parametrize(("dtype", "fix"), [("float32", True), ("bool", False), ("cfloat", False)])
def test_only_floats_are_told_to_become_long(dtype, fix):
    with pytest.raises(ValueError, match=r"^t must hold integers") as error:
        as_index("t", torch.ones(2).to(getattr(torch, dtype)), batch=2)
    assert str(error.value).endswith("try: t.long()") == fix


def test_numbers_of_numpy_and_fractions_are_real_numbers():
    for value in (0.5, np.float32(0.5), np.float64(0.5), Fraction(1, 2)):
        got = check_real("eta", value, low=0, high=1)
        assert (got, type(got)) == (0.5, float)


@pytest.mark.parametrize(
    ("ends", "span", "right", "wrong"),
    [
        ({"low": 0, "high": 1}, r"\[0, 1\]", (0, 1), (-1e-9, 1.1, math.nan, math.inf)),
        ({"low": 0, "high": 1, "open_high": True}, r"\[0, 1\)", (0, 0.999), (-1e-9, 1, math.nan)),
        ({"low": 0, "open_low": True}, r"\(0, inf\]", (1e-9, 1e9), (0, -1, math.nan, math.inf)),
    ],
)
def test_a_range_holds_the_ends_that_it_says(ends, span, right, wrong):
    for value in right:
        assert check_real("x", value, **ends) == value
    for value in wrong:
        with pytest.raises(ValueError, match=rf"^x must be in {span}, got"):
            check_real("x", value, **ends)


@pytest.mark.parametrize("value", [True, None, "a", [0.5], torch.tensor([0.5, 0.5]), 1j])
def test_what_is_no_real_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^x must be a number, finite, got"):
        check_real("x", value)
    with pytest.raises(ValueError, match=r"^x must be a number, in \[0, 1\], got"):
        check_real("x", value, low=0, high=1)


def test_a_tensor_of_one_number_is_told_item():
    with pytest.raises(ValueError, match=r"^x must be a number, .* try: x.item\(\)$"):
        check_real("x", torch.tensor(0.5), low=0, high=1)
    with pytest.raises(ValueError, match=r"^x must be finite, got inf$"):
        check_real("x", math.inf)


def test_whole_numbers_keep_to_their_range():
    assert (check_int("n", np.int32(3), low=3, high=3), check_int("n", -3)) == (3, -3)
    assert check_ints("n", [np.int64(1), 2], low=1) == (1, 2)
    for value in (2, 4, 3.0, True, torch.tensor(3), None):
        with pytest.raises(ValueError, match=r"^n must be an integer in 3..3, got"):
            check_int("n", value, low=3, high=3)
    with pytest.raises(ValueError, match=r"^n\[1\] must be an integer >= 1, got 0"):
        check_ints("n", (1, 0), low=1)


def test_an_infinite_cap_caps_nothing():
    t = torch.tensor([1, 50, 100])
    snr = SCHEDULE.snr[t]
    weights = {p: min_snr_weight(t, schedule=SCHEDULE, gamma=math.inf, prediction=p)
               for p in ("eps", "x0", "v")}  # fmt: skip
    torch.testing.assert_close(weights["x0"], snr)
    torch.testing.assert_close(weights["eps"], torch.ones_like(snr))
    torch.testing.assert_close(weights["v"], snr / (snr + 1))
    for gamma in (0, -1.0, math.nan, "5", None):
        with pytest.raises(ValueError, match=r"^gamma must"):
            min_snr_weight(t, schedule=SCHEDULE, gamma=gamma)


def test_noise_is_that_of_its_generator():
    x = torch.empty(3, 2, dtype=torch.float64)
    seeded = [torch.Generator().manual_seed(5) for _ in range(2)]
    expected = torch.randn(3, 2, dtype=torch.float64, generator=seeded[0])
    assert torch.equal(noise_like(x, seeded[1]), expected)
    for generator in (5, "cpu", np.random.default_rng(0)):
        with pytest.raises(ValueError, match=r"^generator must be a torch.Generator or None"):
            check_generator(generator)
        with pytest.raises(ValueError, match=r"^generator must"):
            noise_like(x, generator)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_goes_to_the_device_of_x_from_a_generator_on_another():
    for device, source in (("cuda", "cpu"), ("cpu", "cuda")):
        x = torch.empty(3, 2, device=device)
        draw = [noise_like(x, torch.Generator(source).manual_seed(5)) for _ in range(2)]
        assert draw[0].device.type == device
        assert torch.equal(*draw)
