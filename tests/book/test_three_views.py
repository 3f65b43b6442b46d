"""The Python side of the figure of SDE, ODE and what lies between: state, forms, numbers."""

import base64
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from scipy import stats

from dmlib.book.widgets import ThreeViews
from dmlib.book.widgets.three_views import STEPS
from dmlib.continuous import euler
from dmlib.oracle import MixtureOracle
from dmlib.sampling import sample


def test_forms_are_there_and_say_one_sentence():
    widget = ThreeViews(churn=1.0, time=30)
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert len(json.dumps(widget._data)) < 300_000


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(ThreeViews._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_without_churn_the_paths_are_those_of_sample():
    widget = ThreeViews(steps=25)
    paths = widget.paths()
    oracle = MixtureOracle(widget._mixture, schedule=widget._path)
    walk = sample(oracle, paths[0], step=euler(), times=widget._path.times(25))
    for mine, snapshot in zip(paths, walk, strict=True):
        torch.testing.assert_close(mine, snapshot.xt, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("churn", [0.5, 1.0, 1.5])
def test_churn_adds_fresh_noise_of_its_variance(churn):
    widget = ThreeViews(steps=50, churn=churn)
    paths, path = widget.paths(), widget._path
    oracle, rest = MixtureOracle(widget._mixture, schedule=path), []
    for k in (0, 20, 48):
        s = path.times(50)[k]
        a, b = path.level(s)
        x0_hat, eps_hat = oracle(paths[k], s)
        # The reverse SDE by hand: drift f x - (1 + churn^2)/2 g^2 score, g^2 = beta(s).
        drift = -path.beta(s) / 2 * (paths[k] - (1 + churn**2) * eps_hat / b)
        rest.append((paths[k + 1] - paths[k] + drift / 50) / (churn * (path.beta(s) / 50) ** 0.5))
        torch.testing.assert_close(a * x0_hat + b * eps_hat, paths[k])
    noise = torch.stack(rest).flatten().numpy()
    # n = 6000 normal numbers of one seed: 1.63 / sqrt(n) in 99 of 100 draws.
    assert stats.kstest(noise, "norm").statistic < 1.63 / len(noise) ** 0.5


def test_more_churn_needs_more_steps():
    """What the question in the book is about: distances at the end, beside those of chance."""
    ends = {(c, n): ThreeViews(churn=c, steps=n) for c in (0.0, 1.0, 1.5) for n in (10, 25, 200)}
    off = {key: widget.distance() / widget.floor() for key, widget in ends.items()}
    assert off[0.0, 10] < off[1.5, 10] / 2
    assert off[0.0, 10] < off[1.0, 10] / 2
    assert off[0.0, 25] < 1.5 < 2.5 < off[1.5, 25]
    assert max(off[c, 200] for c in (0.0, 1.0, 1.5)) < 1.5


def test_floor_is_what_exact_samples_are_off():
    widget, found = ThreeViews(time=20, steps=50), []
    exact = widget._mixture.mixed(*widget._path.level(widget.s))
    for seed in range(40):
        points = exact.sample(1000, torch.Generator().manual_seed(seed))
        walked = widget.paths().clone()
        walked[widget.step] = points
        widget._known = (widget._known[0], walked)
        found.append(widget.distance())
    # The mean of 40 has a standard error of about 0.001; the formula is good to a twentieth.
    assert np.mean(found) == pytest.approx(widget.floor(), rel=0.05)


@pytest.mark.parametrize("steps", STEPS)
def test_time_shown_is_the_walks_nearest(steps):
    for time in (0, 1, 37, 50, 100):
        widget = ThreeViews(steps=steps, time=time)
        assert abs(widget.s - time / 100) <= 0.5 / steps + 1e-12
    assert ThreeViews(time=0).s == 0
    assert ThreeViews(time=100).s == 1


def test_shares_add_up_and_outliers_are_counted():
    widget = ThreeViews(churn=1.5, steps=10, time=40)
    for axis in (0, 1):
        found, exact = widget.shares(axis)
        assert float(found.sum()) == pytest.approx(1)
        assert float(exact.sum()) == pytest.approx(1)
        outside = (widget.paths()[widget.step, :, axis].abs() > 3.5).double().mean()
        assert float(found[0] + found[-1]) == pytest.approx(float(outside))


def test_state_out_of_range_is_refused():
    for name, value in (("churn", 1.6), ("churn", -0.1), ("steps", 11), ("time", 101), ("seed", 0)):
        with pytest.raises(traitlets.TraitError):
            setattr(ThreeViews(), name, value)
    with pytest.raises(traitlets.TraitError):
        ThreeViews(steps=11)
