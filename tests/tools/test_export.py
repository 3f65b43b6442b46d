"""The network as the reader's browser gets it: the same answers, the same pictures."""

import gzip
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dmlib import checkpoint
from dmlib.book.rounding import rounded, to_eight_bits
from dmlib.book.widgets.rng import normal
from dmlib.checkpoint import load_shipped
from dmlib.checkpoint.cards import schedule_fields
from dmlib.models import UNet, UNetConfig
from dmlib.schedules import cosine_schedule

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))
sys.path.insert(0, str(ROOT / "tools" / "make"))

import export_onnx  # noqa: E402
from judge_export import Exported, exported, judge  # noqa: E402


@pytest.fixture(scope="module")
def shipped():
    return load_shipped()[0].requires_grad_(False)


@pytest.fixture(scope="module")
def graph(shipped):
    """The shipped network's graph; to make it takes seconds."""
    return export_onnx.to_onnx(export_onnx.inner(shipped)[0])


@pytest.fixture(scope="module")
def small(shipped, graph):
    """The shipped network as the page gets it."""
    return exported(shipped, graph, bits=export_onnx.BITS)


@pytest.fixture(scope="module")
def random_graph():
    """A network of another shape, and its graph."""
    net = random_net()
    return net, export_onnx.to_onnx(net)


def random_net():
    """A U-Net of another shape, with every weight at random (as built, its head is zero)."""
    config = UNetConfig(widths=(32, 64), blocks=1, emb_dim=32, num_classes=3, patch=2, heads=2)
    torch.manual_seed(0)
    net = UNet(config)
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.1)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_exported_network_answers_as_the_rounded_one_for_any_batch(random_graph, bits):
    net, graph = random_graph
    twin = Exported(export_onnx.narrowed(graph, net, bits=bits), net)
    same = rounded(net, bits=bits)
    for B in (1, 2, 5):
        generator = torch.Generator().manual_seed(B)
        xt = torch.randn(B, 1, 28, 28, generator=generator)
        t, y = torch.tensor([1, 500, 1000, 37, 2])[:B], torch.tensor([3, 0, 2, 1, 3])[:B]
        assert_close(twin(xt, t, y), same(xt, t, y), rtol=1e-4, atol=1e-4)


def test_shipped_network_keeps_its_answers(shipped, graph, small):
    """Unrounded to 1e-4 in eps_hat; with the page's bits to 3% of it (root mean square)."""
    generator = torch.Generator().manual_seed(0)
    xt, y = torch.randn(8, 1, 28, 28, generator=generator), torch.arange(8)
    t = torch.linspace(1, 1000, 8).long()
    expected = shipped(xt, t, y).eps_hat
    unrounded = exported(shipped, graph, bits=32)(xt, t, y).eps_hat
    assert_close(unrounded, expected, rtol=0, atol=1e-4)
    off = (small(xt, t, y).eps_hat - expected).pow(2).mean().sqrt()
    assert 0 < off < 0.03 * expected.pow(2).mean().sqrt()


def test_eight_bits_are_off_by_half_a_code_at_most():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 5, 3, 3, generator=generator) * torch.logspace(-6, 3, 6).view(
        6, 1, 1, 1
    )
    weight[2] = 0
    codes, scale = to_eight_bits(weight)
    assert codes.dtype == torch.int8
    assert codes.abs().amax((1, 2, 3)).tolist() == [127, 127, 0, 127, 127, 127]
    assert ((codes * scale - weight).abs() <= scale / 2 * (1 + 1e-5)).all()
    assert torch.equal(codes[2], torch.zeros(5, 3, 3, dtype=torch.int8))


def test_rounding_spares_the_original_and_its_biases():
    net = random_net()
    before = {name: x.clone() for name, x in net.named_parameters()}
    for bits in (8, 16):
        after = dict(rounded(net, bits=bits).named_parameters())
        for name, x in before.items():
            assert torch.equal(dict(net.named_parameters())[name], x)
            assert torch.equal(after[name], x) == (x.ndim < 2), name
    assert all(
        torch.equal(a, b)
        for a, b in zip(rounded(net, bits=32).parameters(), net.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match="bits must be 8, 16 or 32, got 4"):
        rounded(net, bits=4)
    with pytest.raises(ValueError, match="bits must be 8, 16 or 32, got 4"):
        export_onnx.narrowed(onnx.ModelProto(), net, bits=4)
    with pytest.raises(ValueError, match="weight must be floating point"):
        to_eight_bits(torch.zeros(3))


def test_build_writes_the_model_once_and_says_what_it_weighs(tmp_path, graph, monkeypatch):
    """With either runtime, of which a page loads one, less than 6 MB."""
    monkeypatch.setattr(export_onnx, "to_onnx", lambda net: graph)
    manifest = export_onnx.write(tmp_path)
    data = (tmp_path / "unet.onnx.gz").read_bytes()
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["model_sha256"] == hashlib.sha256(data).hexdigest()
    onnx.checker.check_model(onnx.load_from_string(gzip.decompress(data)))
    static = ROOT / "book" / "_static"
    assert sorted(manifest["runtimes"]) == ["wasm", "webgpu"]
    for name, files in manifest["runtimes"].items():
        script = len(gzip.compress((static / files["script"]).read_bytes(), 9, mtime=0))
        parts = {"model": len(data), "runtime": (static / files["wasm"]).stat().st_size + script}
        if name == "webgpu":
            parts["proof"] = (tmp_path / "proof.f32").stat().st_size
        assert files["bytes"] == parts | {"all": sum(parts.values())}
        assert files["bytes"]["all"] < 6_000_000
    stamp = (tmp_path / "unet.onnx.gz").stat().st_mtime_ns
    assert export_onnx.write(tmp_path) == manifest
    assert (tmp_path / "unet.onnx.gz").stat().st_mtime_ns == stamp


def test_proof_is_the_exported_networks_answer(tmp_path, graph, shipped, monkeypatch):
    monkeypatch.setattr(export_onnx, "to_onnx", lambda net: graph)
    asked = export_onnx.write(tmp_path)["proof"]
    known = np.frombuffer((tmp_path / "proof.f32").read_bytes(), "<f4")
    xt = torch.from_numpy(normal(asked["seed"], np.arange(2 * 784))).float().view(2, 1, 28, 28)
    twin = Exported(export_onnx.narrowed(graph, export_onnx.inner(shipped)[0], bits=8), shipped)
    answer = twin(xt, torch.full((2,), asked["t"]), torch.tensor(asked["y"]))
    assert_close(torch.from_numpy(known.copy()), answer.flatten(), rtol=0, atol=1e-4)


ORT = ROOT / "book" / "_static" / "ort"
CARD = json.loads((ORT / "CARD.json").read_text())


def test_a_run_of_ones_own_is_exported(tmp_path, random_graph, monkeypatch):
    net, graph = random_graph
    monkeypatch.setattr(export_onnx, "to_onnx", lambda net: graph)
    schedule = schedule_fields(cosine_schedule(1000))
    card = {"kind": "UNet", "config": asdict(net.config), "predicts": "v", **schedule}
    checkpoint.write(tmp_path / "run" / "weights.safetensors", net.state_dict(), card)
    manifest = export_onnx.write(tmp_path / "out", run=tmp_path / "run")
    assert manifest["predicts"] == "v"
    card = json.loads((tmp_path / "run" / "weights.json").read_text())
    assert manifest["weights_sha256"] == card["sha256"] != load_shipped()[1]["sha256"]
    assert (tmp_path / "out" / "proof.f32").stat().st_size == 4 * 2 * net.config.image_size**2


def test_page_says_what_the_runtimes_weigh():
    text = " ".join((ROOT / "book" / "07_generate.md").read_text("utf-8").split())
    for name in ("wasm", "webgpu"):
        files = export_onnx._runtime(name)
        assert f"{files['bytes']['runtime'] / 1e6:.1f} MB" in text


@pytest.mark.parametrize("name", ["wasm", "webgpu"])
def test_vendored_runtime_is_the_packages_and_unpacks_to_it(name):
    for part in ("script", "wasm"):
        data = (ORT / CARD[name][part]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == CARD["sha256"][CARD[name][part]]
    raw = gzip.decompress(data)
    assert len(raw) == CARD[name]["unpacked_bytes"]
    assert hashlib.sha256(raw).hexdigest() == CARD[name]["unpacked_sha256"]


def test_samples_do_not_suffer_from_the_export(shipped, small):
    """200 images in 5 steps here; tools/make/judge_export.py does it with 2,000 in 20."""
    found = judge({"torch": shipped, "export": small}, n=200, steps=5)
    worse = found["export"]["distance"] - found["torch"]["distance"]
    assert worse < found["torch"]["spread"]
    assert 0 < found["export"]["grey_levels_mean"] < 8
