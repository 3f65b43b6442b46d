"""The Python side of the label budget: state, forms, and numbers that are the recording's."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import torch
import traitlets

from dmlib.applications.segmentation import CLASSES, class_map
from dmlib.assets import ASSETS
from dmlib.book.labelled import BLOCKS, COLOURS, coloured, recorded
from dmlib.book.widgets import LabelBudget
from dmlib.data import draw_scenes, to_uint8


def test_forms_are_there_and_say_one_sentence():
    widget = LabelBudget(budget=1)
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert len(json.dumps(widget._data)) < 300_000


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(LabelBudget._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_state_out_of_range_is_refused():
    widget = LabelBudget()
    for name, most in (("budget", len(widget.labels)), ("time", len(widget.times))):
        for value in (-1, most):
            with pytest.raises(traitlets.TraitError):
                setattr(widget, name, value)


def test_card_vouches_for_the_recording():
    arrays, card = recorded()
    raw = (ASSETS / "segmentation.npz").read_bytes()
    assert (card["bytes"], card["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert (tuple(card["classes"]), tuple(card["blocks"])) == (CLASSES, BLOCKS)
    assert card["seeds"] >= 5
    for of, scores in zip(card["methods"].values(), arrays["methods"], strict=True):
        np.testing.assert_allclose(of["mean"], scores.mean(1), atol=1e-4)
        np.testing.assert_allclose(of["std"], scores.std(1, ddof=1), atol=1e-4)
    chosen = arrays["t"].tolist().index(card["chosen"]["t"])
    rows = [(b,) for b in BLOCKS] + [BLOCKS]
    table = np.concatenate([arrays["blocks"], arrays["together"][:, None]], 1).mean(2)
    best = np.unravel_index(table.argmax(), table.shape)
    assert (chosen, rows[best[1]]) == (best[0], tuple(card["chosen"]["blocks"]))
    np.testing.assert_array_equal(arrays["over_t"][chosen], arrays["methods"][0])
    for i, (name, gap) in enumerate(card["gaps"].items()):
        assert name == list(card["methods"])[i + 1]
        lead = arrays["methods"][0] - arrays["methods"][i + 1]
        np.testing.assert_allclose(gap["mean"], lead.mean(1), atol=1e-4)


def test_shown_scenes_are_drawn_again_from_their_seed():
    arrays, _ = recorded()
    scenes = draw_scenes(150, generator=torch.Generator().manual_seed(1000))
    count = len(arrays["images"])
    off = to_uint8(scenes.images[:count]).int() - torch.from_numpy(arrays["images"]).int()
    assert off.abs().max() <= 1  # another machine may round the last bit otherwise
    assert (class_map(scenes)[:count] != torch.from_numpy(arrays["true"])).sum() <= 2


def test_numbers_are_those_of_the_recording():
    arrays, card = recorded()
    widget = LabelBudget(budget=4, time=1)
    np.testing.assert_array_equal(widget.called(), arrays["shown"][1, 4])
    assert widget.wrong() == [
        int((a != b).sum()) for a, b in zip(arrays["shown"][1, 4], arrays["true"], strict=True)
    ]
    mean, std = widget.score()
    assert mean == pytest.approx(arrays["over_t"][1, 4].mean(), abs=1e-6)
    assert std == pytest.approx(arrays["over_t"][1, 4].std(ddof=1), abs=1e-6)
    assert LabelBudget().times[LabelBudget().time] == card["chosen"]["t"]


def test_colours_are_one_for_each_class_and_keep_their_place():
    picture = coloured(torch.arange(5).view(1, 1, 5))
    levels = ((picture[0, :, 0] + 1) * 127.5).round().int().T.tolist()
    assert ["#" + "".join(f"{v:02x}" for v in rgb) for rgb in levels] == list(COLOURS)
