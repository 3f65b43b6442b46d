"""The U-Net explorer's Python side: what it hands over is what the network computes."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import traitlets

from dmlib.book.widgets.unet_explorer import TIMES, UNetExplorer
from dmlib.forward import q_sample
from dmlib.models import UNet, UNetConfig
from dmlib.models.inspect import activations, parts
from dmlib.schedules import linear_schedule

CONFIG = UNetConfig(image_size=8, widths=(16, 24), blocks=2, attention=(4,), emb_dim=16)


def images(n=2, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def make(config=CONFIG, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(config)
        for p in net.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.1)
    return net, UNetExplorer(net, images=images(side=config.image_size), **options)


def unpacked(data, key):
    packed = data[key]
    raw = base64.b64decode(packed["b64"])
    return np.frombuffer(raw, packed["dtype"]).reshape(packed["shape"])


def test_maps_are_the_networks_activations():
    net, explorer = make(schedule=linear_schedule(1000))
    data = explorer.state()["_data"]
    maps, scales = unpacked(data, "maps"), unpacked(data, "scales")
    image, step = 1, 3
    x0 = torch.from_numpy(images()[1:] / 127.5 - 1)[None]
    eps = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1)).half().double()
    xt = q_sample(x0, TIMES[step], eps[None], schedule=linear_schedule(1000)).float()
    kept = activations(net, xt, TIMES[step])
    case = image * len(TIMES) + step
    for p in data["parts"]:
        many, (h, w) = len(p["channels"]), p["map"]
        bytes_ = maps[case, p["map_start"] :][: many * h * w].reshape(many, h * w)
        scale = scales[case, p["scale_start"] :][:many]
        expected = kept[p["name"]][0]
        expected = expected[None] if expected.ndim == 1 else expected[p["channels"]].flatten(1)
        got = (bytes_ / 127.5 - 1) * scale[:, None]
        np.testing.assert_allclose(got, expected, atol=scale.max() / 250)
        np.testing.assert_allclose(abs(expected.numpy()).max(1), scale, rtol=1e-4)


def test_every_part_has_a_place_of_its_own_and_skips_are_level():
    for config in (CONFIG, replace(CONFIG, widths=(16, 16, 16), attention=(2, 8))):
        net, explorer = make(config)
        listed = explorer.state()["_data"]["parts"]
        assert [p["name"] for p in listed] == [p.name for p in parts(net)]
        places = {(p["row"], p["column"]) for p in listed}
        assert len(places) == len(listed)
        down = [p for p in listed if p["place"] == "down" and p["kind"] != "downsample"]
        last = {p["name"].rpartition(".")[0]: p["row"] for p in down}  # of each stage
        up = [p for p in listed if p["skip"]]
        assert [p["row"] for p in up] == list(last.values())[::-1]
        rows = [p["row"] for p in listed if p["place"] == "up"]
        assert rows == sorted(rows, reverse=True)


def test_shipped_network_fits_into_the_limit_with_all_forms():
    explorer = UNetExplorer()
    assert len(json.dumps(explorer._data)) < 300_000
    forms, _ = explorer._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert forms["text/plain"].endswith(".")
    total = sum(p["parameters"] for p in explorer._data["parts"])
    from dmlib.checkpoint import load_shipped

    assert total == sum(x.numel() for x in load_shipped()[0].parameters())


def test_state_out_of_range_is_refused():
    _, explorer = make()
    many = len(explorer._parts)
    for name, value in (("part", many), ("image", 2), ("step", len(TIMES)), ("bars", "x")):
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, name, value)
    explorer.part = many - 1
    assert explorer.shown()[0].name == "head"


def test_images_of_another_size_are_refused():
    net, _ = make()
    with pytest.raises(ValueError, match=r"xt must have shape \(B, 1, 8, 8\)"):
        UNetExplorer(net, images=images(side=7))
