"""Laws of the files: what was written comes back, what is spoilt is refused with its reason."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlib import checkpoint
from dmlib.assets import ASSETS
from dmlib.book.recordings import RecordedRun
from dmlib.checkpoint import CheckpointError, networks
from dmlib.checkpoint.cards import schedule_fields
from dmlib.models import MLP, UNet, UNetConfig, predicts_v
from dmlib.schedules import cosine_schedule

CONFIG = UNetConfig(image_size=8, widths=(16,), blocks=1, attention=(), emb_dim=16, num_classes=2)


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn((3, 4), generator=g),
        "half": torch.randn(5, generator=g).half(),
        "state": torch.arange(7, dtype=torch.uint8),
        "last": torch.randn((2, 3, 4, 4), generator=g).contiguous(
            memory_format=torch.channels_last
        ),
    }


def test_what_was_written_comes_back_bit_for_bit(tmp_path):
    checkpoint.write(tmp_path / "x.safetensors", tensors(), {"kind": "test", "step": 3})
    got = checkpoint.read(tmp_path / "x.safetensors")
    assert got.card["kind"] == "test"
    assert got.card["step"] == 3
    assert got.tensors.keys() == tensors().keys()
    for name, x in tensors().items():
        assert got.tensors[name].dtype == x.dtype
        assert torch.equal(got.tensors[name], x)


def test_nothing_else_is_left_in_the_folder(tmp_path):
    checkpoint.write(tmp_path / "x.safetensors", tensors(), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.safetensors"]


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def spoil_one_bit(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


def spoil_foreign(path):
    path.write_bytes(b"PK\x03\x04" + b"\0" * (path.stat().st_size - 4))


def spoil_no_card(path):
    path.with_suffix(".json").unlink()


def spoil_half_card(path):
    card = path.with_suffix(".json")
    card.write_text(card.read_text()[:20])


def spoil_other_card(path):
    path.with_suffix(".json").write_text('["not", "ours"]')


def spoil_empty(path):
    path.write_bytes(b"")


def spoil_vouched_nonsense(path):
    """A card that agrees with a file that is no safetensors."""
    import hashlib

    data = b"nonsense" * 10
    path.write_bytes(data)
    card = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    path.with_suffix(".json").write_text(json.dumps(card))


SPOILS = [
    (spoil_truncate, "truncated or changed"),
    (spoil_one_bit, "SHA-256"),
    (spoil_foreign, "SHA-256"),
    (spoil_no_card, "card cannot be read"),
    (spoil_half_card, "card is not JSON"),
    (spoil_other_card, "not a card of dmlib"),
    (spoil_empty, "truncated or changed: 0 bytes"),
    (spoil_vouched_nonsense, "not a safetensors file"),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILS, ids=[s.__name__ for s, _ in SPOILS])
def test_spoilt_file_is_refused_with_its_reason_and_the_older_one_loads(tmp_path, spoil, reason):
    checkpoint.save(tmp_path, tensors(1), {"n": 1}, step=1)
    newer = checkpoint.save(tmp_path, tensors(2), {"n": 2}, step=2)
    spoil(newer.path)
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.read(newer.path)
    found, refused = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.card["n"] == 1
    assert torch.equal(found.tensors["a"], tensors(1)["a"])
    assert len(refused) == 1
    assert reason in refused[0]


def test_no_good_checkpoint_is_none(tmp_path):
    assert checkpoint.latest(tmp_path / "not there") == (None, [])
    bad = checkpoint.save(tmp_path, tensors(), {}, step=1)
    spoil_truncate(bad.path)
    found, refused = checkpoint.latest(tmp_path)
    assert found is None
    assert len(refused) == 1


def step_files(folder) -> list[int]:
    """The steps whose tensors and card are there."""
    cards = {p.stem for p in folder.glob("step_*.json")}
    stems = {p.stem for p in folder.glob("step_*.safetensors")}
    assert cards == stems
    return sorted(int(stem.removeprefix("step_")) for stem in stems)


def test_newest_two_are_kept(tmp_path):
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, tensors(), {}, step=step, keep=2)
    assert step_files(tmp_path) == [2, 30]
    checkpoint.save(tmp_path, tensors(), {}, step=31, keep=1)
    assert step_files(tmp_path) == [31]


@pytest.mark.parametrize("keep", [1, 2])
def test_what_was_just_written_is_there_whatever_stands_beside_it(tmp_path, keep):
    """Later files, damaged or of a run that went further, are nobody's to delete."""
    for step in (50, 60, 70):
        spoil_truncate(checkpoint.save(tmp_path, tensors(), {}, step=step, keep=9).path)
    for step in (3, 4, 5):
        written = checkpoint.save(tmp_path, tensors(), {"n": step}, step=step, keep=keep)
        assert checkpoint.read(written.path).card["n"] == step
    assert step_files(tmp_path) == [*(3, 4, 5)[-keep:], 50, 60, 70]
    found, refused = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.card["n"], len(refused)) == (5, 3)


def test_a_file_of_another_name_is_no_checkpoint(tmp_path):
    for name in ("step_best", "step_5", "step_0000000007"):
        checkpoint.write(tmp_path / f"{name}.safetensors", tensors(), {"n": name})
    assert checkpoint.latest(tmp_path) == (None, [])
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, tensors(), {"n": step}, step=step)
    found, refused = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.card["n"], refused) == (3, [])
    assert len(list(tmp_path.glob("*.safetensors"))) == 5


def test_tensors_that_share_memory_come_back_each_with_its_values(tmp_path):
    layer = torch.nn.Linear(3, 3)
    tied = torch.nn.ModuleList([layer, layer])
    whole = torch.arange(6.0)
    together = {**tied.state_dict(), "whole": whole, "part": whole[2:4]}
    checkpoint.write(tmp_path / "x.safetensors", together, {})
    got = checkpoint.read(tmp_path / "x.safetensors").tensors
    assert got.keys() == together.keys()
    for name, x in together.items():
        assert torch.equal(got[name], x)


def test_power_cut_while_writing_leaves_the_older_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, tensors(1), {"n": 1}, step=1)

    def cut(*_):
        raise OSError("no power")

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(OSError, match="no power"):
        checkpoint.save(tmp_path, tensors(2), {"n": 2}, step=2)
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.card["n"] == 1
    assert not list(tmp_path.glob(".*"))


def test_power_cut_before_the_card_leaves_the_older_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, tensors(1), {"n": 1}, step=1)
    whole = networks.replace_whole

    def cut(path, data):
        if path.suffix == ".json":
            raise OSError("no power")
        whole(path, data)

    monkeypatch.setattr(networks, "replace_whole", cut)
    with pytest.raises(OSError, match="no power"):
        checkpoint.save(tmp_path, tensors(2), {"n": 2}, step=2)
    found, refused = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.card["n"] == 1
    assert len(refused) == 1


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10**6), flip=st.integers(0, 10**6))
def test_no_damage_goes_unnoticed(cut, flip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    path = checkpoint.write(folder / "x.safetensors", tensors(), {}).path
    data = bytearray(path.read_bytes())
    if cut % 2:
        data = data[: cut % len(data)]
    else:
        data[flip % len(data)] ^= 1 << (flip % 8)
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError):
        checkpoint.read(path)


@pytest.mark.parametrize(
    ("card", "match"),
    [({"x": float("nan")}, r"^card must hold JSON"), ({"x": torch.ones(1)}, r"^card must hold")],
)
def test_card_that_is_no_json_is_refused_before_anything_is_written(tmp_path, card, match):
    with pytest.raises(ValueError, match=match):
        checkpoint.write(tmp_path / "x.safetensors", tensors(), card)
    assert not list(tmp_path.iterdir())


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^path must end in \.safetensors"):
        checkpoint.write(tmp_path / "x.pt", {}, {})
    for step in (-1, 10**9, 1.5):
        with pytest.raises(ValueError, match=rf"^step must be .* got {step}"):
            checkpoint.save(tmp_path, {}, {}, step=step)
    with pytest.raises(ValueError, match=r"^keep must be .* got 0"):
        checkpoint.save(tmp_path, {}, {}, step=1, keep=0)


def test_nets_come_back_from_their_cards(tmp_path):
    torch.manual_seed(0)
    unet, mlp = UNet(CONFIG), MLP(2, width=16, depth=2)
    torch.nn.init.normal_(unet.head.weight)
    checkpoint.write(
        tmp_path / "unet.safetensors",
        {k: x.half() for k, x in unet.state_dict().items()},
        {"config": asdict(CONFIG), "schedule": "cosine", "T": 100},
    )
    checkpoint.write(
        tmp_path / "mlp.safetensors",
        mlp.state_dict(),
        {"config": {"dim": 2, "width": 16, "depth": 2}},
    )
    again, _ = checkpoint.load_unet(tmp_path / "unet.safetensors")
    xt, y = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    torch.testing.assert_close(again(xt, 5, y).eps_hat, unet(xt, 5, y), rtol=2e-2, atol=2e-2)
    assert again.config == CONFIG
    flat, _ = checkpoint.load_mlp(tmp_path / "mlp.safetensors")
    for name, p in mlp.state_dict().items():
        assert torch.equal(flat.state_dict()[name], p)


def test_net_that_predicts_v_comes_as_a_denoiser_on_its_cards_path(tmp_path):
    net = UNet(CONFIG)
    torch.nn.init.normal_(net.head.weight)
    card = {"config": asdict(CONFIG), "predicts": "v", "schedule": "cosine", "T": 100}
    path = tmp_path / "x.safetensors"
    checkpoint.write(path, net.state_dict(), card)
    again, _ = checkpoint.load_unet(path)
    xt, y = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    expected = predicts_v(net, cosine_schedule(100))(xt, 60, y)
    torch.testing.assert_close(again(xt, 60, y), expected)
    assert again.predicts == "v"
    assert torch.equal(again.path.beta, cosine_schedule(100).beta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicts": "x0"}, "card's predicts must be .* got 'x0'"),
        ({"schedule": "custom"}, r"to be made from its name, got 'custom'; try: .*predicts_v\("),
        ({"schedule": ["cosine"]}, r"to be made from its name, got \['cosine'\]"),
        ({"schedule": ...}, "to be made from its name, got None"),
        ({"T": ...}, "card's T must be a whole number >= 1, got None"),
        ({"T": "100"}, "card's T must be a whole number >= 1, got '100'"),
        ({"T": 0}, "card's T must be a whole number >= 1, got 0"),
        (
            schedule_fields(cosine_schedule(100, s=0.1)),
            r"another schedule of the name 'cosine': alpha_bar is 0.9\d+ at t = 6, here it is 0.9",
        ),
        ({"alpha_bar": [1.0]}, r"alpha_bar must be 17 numbers, got \[1.0\]"),
        ({"alpha_bar": "many"}, r"alpha_bar must be 17 numbers, got 'many'"),
    ],
)
def test_a_schedule_that_its_name_does_not_give_is_refused(tmp_path, change, message):
    net = UNet(CONFIG)
    card = {"config": asdict(CONFIG), "predicts": "v", **schedule_fields(cosine_schedule(100))}
    path = tmp_path / "x.safetensors"
    checkpoint.write(path, net.state_dict(), card)
    checkpoint.load_unet(path)
    card = {k: v for k, v in {**card, **change}.items() if v is not ...}
    checkpoint.write(path, net.state_dict(), card)
    with pytest.raises(CheckpointError, match=rf"x\.safetensors: .*{message}"):
        checkpoint.load_unet(path)


@pytest.mark.parametrize(
    "config", [{}, {"widths": [4]}, {"depth": 7}, {**asdict(CONFIG), "blocks": 2}]
)
def test_card_of_another_net_is_refused(tmp_path, config):
    path = tmp_path / "unet.safetensors"
    checkpoint.write(path, UNet(CONFIG).state_dict(), {"config": config})
    with pytest.raises(CheckpointError, match=r"describes no U-Net|do not fit"):
        checkpoint.load_unet(path)


def test_unknown_shipped_weights_are_refused():
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load_shipped("nobody")


def test_shipped_weights_are_those_of_their_card():
    net, card = checkpoint.load_shipped()
    assert card["bytes"] < 10_000_000
    assert {"data", "licence", "command", "revision", "device", "seconds", "seed"} <= card.keys()
    xt = torch.randn((2, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trousers, boots = (net(xt, 700, torch.tensor([k, k])).x0_hat for k in (1, 9))
    assert (trousers - boots).abs().max() > 0.01  # it has learned to tell trousers from boots


@pytest.mark.parametrize("name", ["fashion", "cpu"])
def test_shipped_run_is_that_of_its_card_and_needs_no_pickle(name):
    import hashlib

    path = ASSETS / f"{name}_run.npz"
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size == card["bytes"] <= 300_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    run = np.load(path, allow_pickle=False)
    assert run["grid"].shape[1:] == (20, 28, 28)
    assert (np.diff(run["step"]) > 0).all()
    assert run["loss"][-1] < 0.2 < run["loss"][0]
    shown = RecordedRun.shipped(name)  # one sample of each class, in the order of the classes
    assert shown.grid.shape == (len(run["grid_step"]), 10, 28, 28)
    np.testing.assert_array_equal(run["grid_label"][::2], np.arange(10))
    np.testing.assert_array_equal(shown.grid, run["grid"][:, ::2])


def test_a_run_that_is_not_shipped_is_refused_by_name():
    with pytest.raises(ValueError, match=r"name must be .*'t4'"):
        RecordedRun.shipped("t4")
