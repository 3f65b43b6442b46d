"""The drawings show the network that they are given."""

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from dmlib.book.diagrams import COLORS, residual_block_diagram, unet_diagram
from dmlib.models import UNet, UNetConfig
from dmlib.models.inspect import parts


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def drawn(axes, kind):
    return [patch for patch in axes.patches if isinstance(patch, kind)]


@pytest.mark.parametrize("blocks", [1, 2])
def test_one_box_a_part_in_its_kinds_colour_and_one_dashed_way_a_skip(axes, blocks):
    config = UNetConfig(image_size=16, widths=(8, 16, 16), blocks=blocks, attention=(8,))
    with torch.device("meta"):
        listed = parts(UNet(config))[1:]  # without the conditioning
    unet_diagram(axes, [*listed], before=torch.zeros(16, 16), after=torch.ones(16, 16))
    boxes = drawn(axes, FancyBboxPatch)
    assert len(boxes) == len(listed)
    for box, part in zip(boxes, listed, strict=True):
        if part.kind in COLORS:
            assert to_hex(box.get_facecolor()) == COLORS[part.kind].lower()
    skips = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(skips) == 3 * blocks
    for line in skips:  # from a part on the way down to its partner on the same level
        (x_from, *_, x_to), (y_from, *_) = line.get_data()
        ends = [k for x in (x_from, x_to) for k, b in enumerate(boxes) if middle(b, x, y_from)]
        start, end = (listed[k] for k in ends)
        assert (start.place, end.place, end.kind) == ("down", "up", "residual block")
        assert start.shape_out[1] == end.shape_out[1]
    assert len(axes.images) == 2
    assert len(drawn(axes, FancyArrowPatch)) == len(listed) - 1 + 3 * blocks + 2


def middle(box, x, y):
    """Whether (x, y) is the middle of the box's upper edge."""
    left, width = box.get_x() - 0.04, box.get_width() + 0.08
    top = box.get_y() + box.get_height() + 0.04
    return abs(left + width / 2 - x) < 1e-6 and abs(top - y) < 1e-6


def test_block_diagram_names_all_steps_in_order(axes):
    residual_block_diagram(axes)
    words = [text.get_text().replace("-\n", "").replace("\n", " ") for text in axes.texts]
    wanted = ["GroupNorm", "SiLU", "Conv 3 × 3", "GroupNorm", "scale, shift", "SiLU", "Conv 3 × 3"]
    assert words[:7] == wanted
    assert "+" in words
