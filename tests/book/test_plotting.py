"""What the plotting helpers draw is what they were given."""

from __future__ import annotations

import re
from itertools import combinations

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from dmlib.book import plotting
from dmlib.schedules import linear_schedule


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_image_grid_shows_every_image_unchanged_and_in_reading_order(axes):
    images = torch.rand(6, 1, 4, 5) * 2 - 1
    assert plotting.image_grid(axes, images, columns=3) is axes
    sheet = np.asarray(axes.images[0].get_array())
    for i, image in enumerate(images[:, 0].numpy()):
        top, left = i // 3 * 6, i % 3 * 7
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 5], image)


def test_image_grid_shows_colour_as_it_is(axes):
    images = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plotting.image_grid(axes, images, columns=2)
    sheet = axes.images[0].get_array()
    assert sheet.shape == (12, 14, 3)
    expected = (images[3].permute(1, 2, 0).numpy() + 1) / 2
    np.testing.assert_allclose(sheet[7:12, 8:14], expected, atol=1e-6)


def test_image_grid_keeps_black_at_minus_one_and_white_at_one_whatever_is_shown(axes):
    plotting.image_grid(axes, torch.full((1, 2, 2), 0.3))
    assert axes.images[0].get_clim() == (-1, 1)


def test_image_grid_labels_stand_over_the_middle_of_their_column(axes):
    plotting.image_grid(axes, torch.zeros(4, 8, 8), columns=2, labels=["a", "b"], row_labels="xy")
    assert axes.get_xticks().tolist() == [3.5, 13.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert axes.get_yticks().tolist() == [3.5, 13.5]


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 4, 4), (0, 4, 4)])
def test_image_grid_says_what_shape_it_expects(axes, shape):
    with pytest.raises(ValueError, match=re.escape(f"got {shape}")):
        plotting.image_grid(axes, torch.zeros(shape))


def test_image_grid_wants_a_label_for_every_column(axes):
    with pytest.raises(ValueError, match="labels must be 3, got 2"):
        plotting.image_grid(axes, torch.zeros(3, 4, 4), labels=["a", "b"])


def test_over_time_puts_slot_t_at_t(axes):
    table = linear_schedule(10).beta
    plotting.over_time(axes, table, first=1)
    t, values = axes.lines[0].get_data()
    np.testing.assert_array_equal(t, np.arange(1, 11))
    np.testing.assert_array_equal(values, table[1:].numpy())


def test_neighbouring_curves_differ_in_colour_and_dash(axes):
    for i in range(4):
        plotting.over_time(axes, torch.rand(5), i=i)
    assert len({line.get_color() for line in axes.lines}) == 4
    assert len({line.get_linestyle() for line in axes.lines}) == 4


def test_histogram_has_area_one_within_its_edges(axes):
    edges = torch.linspace(-5, 5, 51)
    plotting.histogram(axes, torch.randn(1000, 1), edges=edges)
    area = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    assert area == pytest.approx(1)


def test_density_draws_what_it_is_given_from_zero_up(axes):
    x = torch.linspace(0, 1, 5, requires_grad=True)
    plotting.density(axes, x, x**2)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.linspace(0, 1, 5) ** 2, rtol=1e-6)
    assert axes.get_ylim()[0] == 0


def test_paths_draws_one_line_a_particle(axes):
    x = torch.randn(11, 7)
    plotting.paths(axes, x)
    drawn = np.stack([line.get_ydata() for line in axes.lines], axis=1)
    np.testing.assert_allclose(drawn, x.numpy())


def test_points_are_where_they_are_and_the_axes_have_one_unit(axes):
    x = torch.randn(20, 2)
    plotting.points(axes, x)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), x.numpy())
    assert axes.get_aspect() == 1
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        plotting.points(axes, torch.randn(20, 3))


def test_two_processes_point_opposite_ways_and_name_every_image(axes):
    plotting.two_processes(axes, torch.zeros(3, 8, 8), labels=["first", "second", "third"])
    texts = [text.get_text() for text in axes.texts]
    assert {"first", "second", "third"} <= set(texts)
    forward, reverse = (text for text in axes.texts if hasattr(text, "arrow_patch") and text.xyann)
    assert forward.xy[0] > forward.xyann[0]
    assert reverse.xy[0] < reverse.xyann[0]


def test_drawing_leaves_matplotlibs_settings_alone(axes):
    before = dict(matplotlib.rcParams)
    plotting.image_grid(axes, torch.zeros(2, 4, 4))
    plotting.over_time(axes, torch.zeros(5))
    assert dict(matplotlib.rcParams) == before


def test_style_is_known_to_matplotlib():
    with matplotlib.rc_context(plotting.STYLE):
        assert matplotlib.rcParams["axes.facecolor"] == "white"


def luminance(rgb) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


# Machado et al. 2009, severity 1: how a protanope and a deuteranope see a colour (linear RGB).
BLIND = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


@pytest.mark.parametrize("kind", BLIND)
def test_data_noise_and_model_stay_apart_for_colour_blind_readers(kind):
    def seen(color):
        return np.asarray(BLIND[kind]) @ (np.asarray(to_rgb(color)) ** 2.2)

    for one, other in combinations([plotting.DATA, plotting.NOISE, plotting.MODEL], 2):
        assert np.linalg.norm(seen(one) - seen(other)) > 0.15, (one, other)


@pytest.mark.parametrize("color", [*plotting.CYCLE, plotting.FAINT])
def test_every_line_has_a_contrast_of_three_on_white(color):
    assert 1.05 / (luminance(to_rgb(color)) + 0.05) >= 3
