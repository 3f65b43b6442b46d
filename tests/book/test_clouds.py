"""Clouds turned and drawn, and the Python side of their two figures."""

import base64
import json
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import traitlets
from torch.testing import assert_close

from dmlib.book.clouds import draw_cloud, turned
from dmlib.book.widgets import CloudCompletion, CloudPlayer
from dmlib.book.widgets.cloud_player import EDGE, recorded

BOTH = (CloudPlayer, CloudCompletion)


def test_turning_keeps_lengths_and_shows_the_right_side():
    """A point ahead on the x axis; from above; a quarter turn; and any turn is a rotation."""
    x, y, z = torch.eye(3, dtype=torch.float64)
    assert_close(turned(x, 0, 0), x)
    assert_close(turned(z, 77, 0), y)  # up
    assert_close(turned(y, 0, 0), -z)  # away from the eye
    assert_close(turned(x, 90, 0), -z)
    assert_close(turned(z, 0, 90), z)  # seen from above, up comes towards the eye
    cloud = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = turned(cloud, 33, 21)
    assert_close(torch.cdist(seen, seen), torch.cdist(cloud, cloud))
    turn = torch.linalg.lstsq(cloud, seen).solution
    assert math.isclose(float(torch.det(turn)), 1, abs_tol=1e-9)


def test_a_drawn_cloud_holds_its_points_the_nearest_last():
    figure, axes = plt.subplots()
    cloud = torch.tensor([[0.0, -2, 0], [1, 0, 0.5], [0, 2, 1]])
    draw_cloud(axes, cloud, view=(0, 0))
    drawn = axes.collections[0].get_offsets()
    np.testing.assert_allclose(drawn, [[0, 1], [1, 0.5], [0, 0]])
    plt.close(figure)


@pytest.mark.parametrize("kind", BOTH)
def test_forms_are_there_and_say_one_sentence(kind):
    widget = kind()
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert len(json.dumps(widget._data)) < 300_000


@pytest.mark.parametrize("kind", BOTH)
def test_module_cannot_end_its_script_element_and_asks_nothing_of_others(kind):
    source = str(kind._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_the_recorded_walk_begins_with_noise_and_ends_with_shapes():
    widget = CloudPlayer(frame=0)
    assert widget.t == 1000
    noise = torch.stack([CloudPlayer(kind=k, frame=0).cloud() for k in range(4)])
    assert abs(float(noise.std()) - 1) < 0.05
    assert CloudPlayer().t == 0
    table = CloudPlayer(kind=1).cloud()
    assert table[:, 0].std() > 1.5 * table[:, 2].std()


def test_given_points_are_the_same_in_every_completion():
    run = recorded()
    for kind in range(3):
        for cut in range(len(run["cut"])):
            widget = CloudCompletion(kind=kind, cut=cut)
            clouds, known = widget.clouds(), widget.known()
            assert known.sum() <= 64
            assert torch.equal(clouds[1:, known], clouds[:1, known].expand(4, -1, -1))
            # A byte is a step of 8 / 255.
            if known.any():  # a table has nothing above the highest plane
                assert clouds[0, known, 2].min() > run["cut"][cut] - 2 * EDGE / 255


def test_states_have_their_ranges():
    widget = CloudCompletion()
    for key, value in (("azimuth", 181.0), ("elevation", -91.0), ("cut", -1)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, key, value)
