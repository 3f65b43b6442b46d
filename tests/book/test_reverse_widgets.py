"""The Python side of the reverse process' widgets: state, forms, numbers."""

import base64
import itertools
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from scipy import integrate, stats

from dmlib.book.widgets import Particles, ReversePlayer, ReversePosterior
from dmlib.book.widgets.particles import SETS, data_points, fresh_distance
from dmlib.book.widgets.reverse_player import record
from dmlib.book.widgets.reverse_posterior import moments, total_variation
from dmlib.data import ground_truth_mixture_2d
from dmlib.mixture import GaussianMixture, reverse_posterior
from dmlib.oracle import FiniteOracle
from dmlib.sampling import clipped, generate, sample, spaced_times
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr
from dmlib.steps import Move, ddpm


def recorded(sampler="ddim", steps=6, **options):
    """A recording of an exact denoiser of four pictures."""
    schedule = cosine_schedule(1000)
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28))
    net = FiniteOracle(torch.from_numpy(images / 127.5 - 1), schedule=schedule)
    return record(net, ["a", "b"], steps=steps, sampler=sampler, **options)


@pytest.fixture(scope="module", params=["ReversePosterior", "Particles", "ReversePlayer"])
def widget(request):
    if request.param == "ReversePlayer":
        return ReversePlayer(recorded())
    return {"ReversePosterior": ReversePosterior, "Particles": Particles}[request.param]()


def test_forms_are_there_and_say_one_sentence(widget):
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert len(json.dumps(widget._data)) < 300_000


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others(widget):
    source = str(widget._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


# --- ReversePosterior ----------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 2, 50, 700, 1000])
def test_law_with_the_schedules_own_beta_is_reverse_posterior(t):
    schedule = linear_schedule(1000)
    widget = ReversePosterior(t=t, beta=max(1e-4, float(schedule.beta[t])), xt=0.4)
    xt = torch.tensor([0.4], dtype=torch.float64)
    expected = reverse_posterior(widget._mixture, xt, t, schedule=schedule)
    law = widget.law()
    for name in ("weights", "means", "stds"):
        torch.testing.assert_close(getattr(law, name), getattr(expected, name), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("t", "beta", "xt"), [(2, 0.1, 0), (50, 0.3, 0), (200, 0.03, -1), (1, 0.9, 3)]
)
def test_total_variation_is_the_integral(t, beta, xt):
    law = ReversePosterior(t=t, beta=beta, xt=xt).law()
    mean, std = moments(law)

    def gap(x):
        parts = zip(law.weights.tolist(), law.means[:, 0].tolist(), law.stds.tolist(), strict=True)
        exact = sum(w * stats.norm.pdf(x, m, s) for w, m, s in parts)
        return abs(exact - stats.norm.pdf(x, mean, std)) / 2

    nodes = np.linspace(mean - 12 * std, mean + 12 * std, 61)
    expected = sum(integrate.quad(gap, a, b)[0] for a, b in itertools.pairwise(nodes))
    assert total_variation(law) == pytest.approx(expected, abs=5e-5)


def test_total_variation_of_a_gaussian_is_zero_and_of_two_far_points_almost_one():
    one = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
    assert total_variation(one) < 1e-15
    far = torch.tensor([[-1.0], [1.0]])
    two = GaussianMixture(torch.tensor([0.5, 0.5]), far, torch.tensor([0.02, 0.02]))
    assert total_variation(two) > 0.9


def test_distance_falls_with_beta_by_the_power_three_halves():
    widget = ReversePosterior(t=200, xt=0)
    large, small = (total_variation(widget.law(beta)) for beta in (1e-3, 1e-4))
    # The leading term is the third derivative of log q times beta^(3/2).
    assert np.log10(large / small) == pytest.approx(1.5, abs=0.02)
    assert total_variation(widget.law(0.3)) > 0.05


def test_total_variation_is_for_one_dimension():
    flat = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    with pytest.raises(ValueError, match="law must have D = 1, got 2"):
        total_variation(flat)


def test_posterior_state_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"t must be in 1\.\.1000, got 0"):
        ReversePosterior(t=0)
    widget = ReversePosterior(linear_schedule(100), t=3)
    for name, value in (("t", 101), ("t", 0), ("beta", 1.0), ("xt", 3.5)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


# --- Particles -----------------------------------------------------------------------------


@pytest.mark.parametrize("points", SETS)
def test_ddim_paths_are_those_of_sample(points):
    widget = Particles(points=points)
    paths = widget.paths()
    walk = list(sample(widget.denoiser(), paths[100], times=100))
    for snapshot in walk:
        torch.testing.assert_close(paths[snapshot.t], snapshot.xt, rtol=1e-9, atol=1e-9)


def test_ddpm_paths_take_fresh_noise_with_the_variance_beta_tilde():
    widget = Particles(points="mixture", sampler="ddpm")
    paths, schedule = widget.paths(), widget._schedule
    rest = []
    for t in (100, 40, 2):
        guess, nothing = widget.denoiser()(paths[t], t), torch.zeros_like(paths[t])
        mean = ddpm()(paths[t], guess, nothing, Move(schedule, t, t - 1))
        bar, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
        rest.append((paths[t - 1] - mean) / ((1 - before) / (1 - bar) * schedule.beta[t]).sqrt())
    noise = torch.stack(rest).flatten().numpy()
    # n = 1800 normal numbers of one seed: 1.63 / sqrt(n) in 99 of 100 draws.
    assert stats.kstest(noise, "norm").statistic < 1.63 / len(noise) ** 0.5


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_finite_data_are_learned_by_heart_and_the_mixture_is_not(sampler):
    for points in ("swiss roll", "two moons"):
        widget = Particles(points=points, sampler=sampler)
        # A new point of the law is ten times as far from the data as where the particles end.
        assert widget.nearest(widget.paths()[0]) < fresh_distance(points) / 10
    widget = Particles(points="mixture", sampler=sampler)
    end = widget.paths()[0]
    assert widget.nearest(end) == pytest.approx(fresh_distance("mixture"), rel=0.15)
    law = ground_truth_mixture_2d()
    # 300 particles: four standard errors, and a twentieth for the 100 steps.
    error = 4 * (law.cov().diagonal() / 300).sqrt() + 0.05
    assert bool(((end.mean(0) - law.mean()).abs() < error).all())


def test_data_points_are_always_the_same_and_start_from_noise_is_normal():
    assert torch.equal(data_points("two moons"), data_points("two moons"))
    start = Particles().paths()[100].flatten().numpy()
    assert stats.kstest(start, "norm").statistic < 1.63 / len(start) ** 0.5


def test_particles_state_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"t must be in 0\.\.100, got 101"):
        Particles(t=101)
    with pytest.raises(ValueError, match=r"schedule must have T <= 200 .* got T = 1000"):
        Particles(linear_schedule(1000))
    with pytest.raises(ValueError, match=r"alpha_bar_T > 0, got T = 100, alpha_bar_T = 0"):
        Particles(zero_terminal_snr(linear_schedule(100)))
    for name, value in (("t", 101), ("points", "circle"), ("sampler", "euler"), ("seed", 0)):
        with pytest.raises(traitlets.TraitError):
            setattr(Particles(), name, value)


# --- ReversePlayer -------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_recording_walks_by_dmlibs_steps_from_the_recorded_bytes(sampler):
    r = recorded(sampler)
    assert r.times == spaced_times(1000, 6)
    for k, (t, t_prev) in enumerate(itertools.pairwise(r.times)):
        x0_hat = torch.from_numpy(r.x0_hat[k] / 127.5 - 1)
        bar, before = r.schedule.alpha_bar[t], r.schedule.alpha_bar[t_prev]
        rest = r.xt[k] - bar.sqrt() * x0_hat
        if sampler == "ddim":
            expected = before.sqrt() * x0_hat + (1 - before).sqrt() * rest / (1 - bar).sqrt()
        else:  # the mean of q(x_prev | x_t, x_0), and normal noise of its variance
            alpha = bar / before
            expected = before.sqrt() * (1 - alpha) / (1 - bar) * x0_hat
            expected += alpha.sqrt() * (1 - before) / (1 - bar) * r.xt[k]
        off = r.xt[k + 1] - expected
        if sampler == "ddim" or t_prev == 0:
            torch.testing.assert_close(off, torch.zeros_like(off), rtol=0, atol=1e-9)
        else:
            noise = off / ((1 - before) / (1 - bar) * (1 - bar / before)).sqrt()
            # n = 1568 normal numbers of one seed: 1.63 / sqrt(n) in 99 of 100 draws.
            assert stats.kstest(noise.flatten().numpy(), "norm").statistic < 1.63 / 1568**0.5


def test_rounding_moves_a_walk_by_less_than_a_grey_level():
    r = recorded(steps=6)
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28))
    net = FiniteOracle(torch.from_numpy(images / 127.5 - 1), schedule=r.schedule)
    exact = generate(clipped(net), r.xt[0][:, None], times=6)
    assert float((exact[:, 0] - r.xt[-1]).abs().max()) < 1 / 127.5


def test_shown_is_x_t_and_its_two_parts():
    widget = ReversePlayer(recorded(), step=2, sample=1)
    xt, x0_hat, eps_hat = widget.shown()
    a = widget.recording.schedule.alpha_bar[widget.t]
    torch.testing.assert_close(a.sqrt() * x0_hat + (1 - a).sqrt() * eps_hat, xt)
    widget.step = 6
    assert widget.t == 0
    assert widget.shown()[2] is None
    assert widget.to_png().startswith(b"\x89PNG")


def test_shipped_network_is_recorded_and_its_data_fit():
    widget = ReversePlayer()
    assert len(json.dumps(widget._data)) < 300_000
    assert widget.recording.x0_hat.shape == (25, 10, 28, 28)
    assert "images in its training" in widget._data["about"]
    # What it ends with are pictures: half of a garment's pixels are black.
    end = widget.recording.xt[-1]
    assert 0.2 < float((end < -0.95).double().mean()) < 0.8


def test_player_state_out_of_range_is_refused():
    with pytest.raises(traitlets.TraitError, match=r"step must be in 0\.\.6"):
        ReversePlayer(recorded(), step=7)
    with pytest.raises(traitlets.TraitError, match=r"sample must be in 0\.\.1"):
        ReversePlayer(recorded()).sample = 2
    with pytest.raises(ValueError, match="sampler must be 'ddim' or 'ddpm', got 'heun'"):
        recorded("heun")
