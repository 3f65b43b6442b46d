"""The Python side of the figure of pairs and the flow: state, forms, numbers."""

import base64
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from torch.testing import assert_close

from dmlib.book.widgets import Paths
from dmlib.book.widgets.rng import normal
from dmlib.continuous import DiffusionPath, GrowingNoise, StraightPath, euler, velocity_from_guess
from dmlib.oracle import MixtureOracle
from dmlib.sampling import sample
from dmlib.steps import ddim, heun

PATHS = {"diffusion": DiffusionPath(), "straight": StraightPath(), "growing": GrowingNoise(40.0)}
every_path = pytest.mark.parametrize("path", PATHS)


def test_forms_are_there_and_say_one_sentence():
    widget = Paths(solver="heun", spacing=1.5)
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert len(json.dumps(widget._data)) < 10_000


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(Paths._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


@every_path
@pytest.mark.parametrize(("solver", "rule"), [("euler", euler), ("ddim", ddim), ("heun", heun)])
def test_particles_walk_as_sample_walks_and_the_evaluations_are_counted(path, solver, rule):
    widget, looks = Paths(path=path, solver=solver, evaluations=8, spacing=2.0), []
    walk, oracle = widget.walk(), MixtureOracle(widget.law(), schedule=PATHS[path])

    def counted(x, t):
        looks.append(t)
        return oracle(x, t)

    counted.path = PATHS[path]
    shots = list(sample(counted, walk[0][:, None], step=rule(), times=widget.times()))
    assert_close(walk, torch.stack([shot.xt[:, 0] for shot in shots]), rtol=1e-12, atol=1e-12)
    assert len(looks) == widget.asked <= 8
    assert len(walk) == widget.steps + 1


@every_path
def test_curves_are_trajectories_and_lines_are_held_pairs(path):
    """A curve moves with the mean velocity where it is; a line with that of its own two ends."""
    widget, way = Paths(path=path), PATHS[path]
    oracle, moments = MixtureOracle(widget.law(), schedule=way), widget.moments()
    for k in (12, 30, 47):
        s, h = moments[k], 1e-4 * moments[k]
        wanted = velocity_from_guess(oracle(widget.curves()[k][:, None], s), s, path=way)
        ranks = widget.law().mixed(*way.level(s)).cdf(widget.curves()[k][:, None])
        low, high = (widget.law().mixed(*way.level(at)).quantile(ranks) for at in (s - h, s + h))
        assert_close((high - low) / (2 * h), wanted, rtol=1e-4, atol=1e-5)
    lines, (a, b) = widget.lines(), torch.tensor([way.level(s) for s in moments]).double().T
    ends = torch.linalg.lstsq(torch.stack((a, b), 1), lines).solution  # x_0 and eps of each pair
    assert_close(torch.stack((a, b), 1) @ ends, lines)
    assert_close(ends[0], lines[0])
    assert_close(ends[1], torch.from_numpy(normal(2, np.arange(30))))


@every_path
def test_lines_cross_and_curves_do_not(path):
    widget = Paths(path=path)
    assert bool((widget.curves().diff(dim=1) > 0).all())
    assert bool((widget.lines().diff(dim=1) < 0).any())


def test_the_task_can_be_done_but_not_by_more_order_alone():
    """What the task in the figure is about, and that its two ways lead there."""
    off = {
        (path, solver, spacing): Paths(path=path, solver=solver, spacing=spacing).distance()
        for path in PATHS
        for solver in ("euler", "ddim", "heun")
        for spacing in (1.0, 1.5)
    }
    done = {key for key, value in off.items() if value < 0.05}
    assert done == {("straight", "heun", 1.5), ("diffusion", "euler", 1.5)}
    assert off["straight", "heun", 1.0] > off["straight", "euler", 1.0]


@pytest.mark.parametrize("path", ["straight", "growing"])
def test_where_the_path_is_a_straight_line_ddim_is_euler(path):
    """What the question in the book asks; on the variance-preserving path they differ."""
    walks = [Paths(path=path, solver=solver, spacing=3.0).walk() for solver in ("euler", "ddim")]
    assert_close(*walks, rtol=1e-10, atol=1e-10)
    other = [Paths(path="diffusion", solver=solver).walk()[-1] for solver in ("euler", "ddim")]
    assert float((other[0] - other[1]).abs().max()) > 0.05


@every_path
def test_more_evaluations_lead_to_the_exact_map(path):
    few, many = (Paths(path=path, solver="heun", evaluations=n, spacing=3.0) for n in (13, 39))
    assert many.off() < few.off() / 2
    assert many.distance() < 0.05


def test_distance_is_zero_for_the_exact_map_and_one_fortieth_for_an_empty_bin():
    widget = Paths()
    known, walk = widget._known[0], widget.walk().clone()
    walk[-1] = widget.exact()
    widget._known = (widget._known[0], walk)
    assert known != widget._known[0]
    assert widget.distance() == pytest.approx(0, abs=1e-12)
    assert widget.off() == 0
    walk[-1, :25] = walk[-1, 30]  # the lowest fortieth moves into the next
    assert widget.distance() == pytest.approx(1 / 40)


def test_state_out_of_range_is_refused():
    wrong = {"path": "curved", "solver": "rk4", "evaluations": 41, "spacing": 0.5, "width": 3.0}
    for name, value in {**wrong, "light": 2.5, "heavy": -2.5}.items():
        with pytest.raises(traitlets.TraitError):
            setattr(Paths(), name, value)
