"""The Python side of the posterior in the plane: state, forms, and what the page says of it."""

import base64
import json
import re

import pytest
import torch
import traitlets

from dmlib.book.widgets import Posterior
from dmlib.book.widgets.posterior import METHODS, NOISES


def test_forms_are_there_and_say_one_sentence():
    widget = Posterior()
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert re.fullmatch(r"\w+: [^\n]+\.", forms["text/plain"])
    assert f"{widget.distance():.3f}" in forms["text/plain"]
    assert len(json.dumps(widget._data)) < 10_000


def test_module_cannot_end_its_script_element_and_asks_nothing_of_others():
    source = str(Posterior._esm)
    for forbidden in ("</script", "<!--", "import ", "https://", "http://", "url("):
        assert forbidden not in source.lower()


def test_state_out_of_range_is_refused():
    widget = Posterior()
    wrong = {"y": (-201, 201), "noise": (-1, len(NOISES)), "method": ("repaint",), "seed": (0,)}
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(traitlets.TraitError):
                setattr(widget, name, value)


def test_exact_samples_have_the_shares_and_places_of_the_posterior():
    """Measured where two heaps fit alike; and the line goes through the samples."""
    widget = Posterior(y=0, noise=4)
    law, x = widget.truth().posterior, widget.exact_samples()
    assert (x.mean(0) - law.mean()[0]).abs().max() < 4 * float(x.std(0).max()) / len(x) ** 0.5
    heap = torch.cdist(x, widget._ring.means).argmin(1)
    share = heap.bincount(minlength=8).double() / len(x)
    assert (share - law.weights[0]).abs().sum() / 2 < 3 * widget.floor()
    narrow = Posterior(y=28, noise=0)
    off = narrow.exact_samples()[:, 0] - narrow.truth().posterior.mean()[0, 0]
    assert float(off.std()) == pytest.approx(
        (0.05**2 * 0.02**2 / (0.05**2 + 0.02**2)) ** 0.5, rel=0.1
    )


def test_exact_oracle_is_near_the_floor_and_every_method_is_not():
    for noise in (1, 4):
        for method in METHODS:
            widget = Posterior(noise=noise, method=method)
            near = widget.distance() < 2 * widget.floor() + 0.01
            assert near == (method == "exact"), (noise, method)
