"""The Python side of the divider: state, forms, what is refused, and PSNR of the grey levels."""

import base64
import json
import math
import re

import numpy as np
import pytest
import torch
import traitlets

from dmlib.book.widgets import Divider
from dmlib.data import to_uint8, to_unit


def drawn(n=3, height=12, width=8):
    """Discs as the truth, and versions of them: with a hole, dimmer, with noise."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = torch.hypot(y - height / 2, x - width / 2)
    truth = torch.stack([(disc < 2 + i).float() * 1.6 - 0.9 for i in range(n)])[:, None]
    given = truth.clone()
    given[..., 4:8, 2:6] = -0.3
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return {
        "what is given": given,
        "regression": 0.7 * truth,
        "a sample": truth + 0.3 * noise,
        "the truth": truth,
    }


def test_forms_are_there_and_say_one_sentence():
    widget = Divider(drawn(), "the truth", left=1, right=2)
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    for value in widget.psnr():
        assert f"{value:.2f} dB" in forms["text/plain"]
    assert "PSNR" not in repr(Divider(drawn()))


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(Divider._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_first_version_is_left_and_last_is_right_at_first():
    widget = Divider(drawn())
    assert (widget.names[widget.left], widget.names[widget.right]) == (
        "what is given",
        "the truth",
    )
    assert (widget.image, widget.position, widget.psnr()) == (0, 50, None)


def test_pictures_travel_as_their_grey_levels_with_or_without_the_channel():
    versions = drawn()
    flat = {name: x[:, 0].double() for name, x in versions.items()}
    for given in (versions, flat):
        packed = Divider(given)._data["levels"]
        bytes_ = np.frombuffer(base64.b64decode(packed["b64"]), np.uint8).reshape(packed["shape"])
        for levels, x in zip(bytes_, versions.values(), strict=True):
            np.testing.assert_array_equal(levels, to_uint8(x))
    garments = {"a": torch.rand(8, 1, 28, 28) - 0.5}
    five = garments | dict.fromkeys("bcde", garments["a"])
    assert len(json.dumps(Divider(five)._data)) < 50_000


def test_psnr_is_ten_log_of_four_over_the_mean_square_error_of_the_grey_levels():
    versions = drawn()
    widget = Divider(versions, "the truth", image=2, left=1, right=2)
    truth = to_unit(to_uint8(versions["the truth"])).double()[2]
    for name, found in zip(("regression", "a sample"), widget.psnr(), strict=True):
        x = to_unit(to_uint8(versions[name])).double()[2]
        assert found == pytest.approx(10 * math.log10(4 / (x - truth).square().mean()), abs=1e-5)
    widget.right = 3
    assert widget.psnr()[1] == math.inf
    assert "“the truth” right of it" in repr(widget)


def test_state_out_of_range_is_refused():
    widget = Divider(drawn())
    for name, most in (("image", 2), ("left", 3), ("right", 3), ("position", 100)):
        setattr(widget, name, most)
        for value in (-1, most + 1):
            with pytest.raises(traitlets.TraitError):
                setattr(widget, name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"one": v["the truth"]}, "at least two"),
        (lambda v: list(v.values()), "must be a dict"),
        (lambda v: v | {"bad": v["the truth"][:2]}, r"versions\['bad'\] must have N, H, W"),
        (lambda v: v | {"bad": v["the truth"].expand(-1, 3, -1, -1)}, r"\(N, 1, H, W\)"),
        (lambda v: v | {"bad": v["the truth"][0, 0]}, r"\(N, 1, H, W\)"),
        (lambda v: v | {"bad": v["the truth"] * math.nan}, r"versions\['bad'\] must be finite"),
        (lambda v: v | {"bad": v["the truth"] / 2 + 0.5}, r"must lie in \[-1, 1\]"),
        (lambda v: v | {"bad": to_uint8(v["the truth"])}, "to_unit"),
    ],
)
def test_what_is_no_set_of_versions_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Divider(change(drawn()))


def test_a_truth_or_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="truth must be one of"):
        Divider(drawn(), "truth")
    with pytest.raises(ValueError, match="pictures must be 3 names"):
        Divider(drawn(), pictures=["disc"])
    with pytest.raises(ValueError, match="at most 300000 bytes"):
        Divider({name: torch.zeros(200, 28, 28) for name in "ab"})
