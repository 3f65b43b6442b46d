"""Laws of pictures of one's own: from a folder to samples, in colour, by command."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from dmlib import checkpoint
from dmlib.data import folder
from dmlib.training.__main__ import main
from dmlib.training.batches import shuffled
from dmlib.training.log import read_grids, read_log
from dmlib.training.recipes import SMOKE, fitted
from dmlib.training.sample import main as sample


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """24 pictures, 16 x 24 (H x W) when read: red ones and blue ones."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(sys.modules["dmlib.data.folder"], "cache_folder", lambda name: cache / name)
    dice = np.random.default_rng(0)
    for i in range(24):
        name, color = (("blue", (0, 0, 1)), ("red", (1, 0, 0)))[i % 2]
        pixels = dice.integers(150, 250, (40, 60, 1)) * np.array(color)
        place = tmp_path / "mine" / name
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return tmp_path / "mine"


@pytest.mark.slow
def test_a_folder_is_trained_on_gone_on_with_and_sampled_by_command(tmp_path, mine, capsys):
    (mine / "blue" / "broken.png").write_bytes(b"x")
    run = tmp_path / "run"
    command = ["--images", str(mine), "--size", "16x24", "--folder", str(run), "--device", "cpu"]
    command += ["--recipe", "smoke", "--batch-size", "8", "--flips", "--learning-rate", "0.001"]
    assert main([*command, "--steps", "2"]) == 0
    assert main([*command, "--steps", "4"]) == 0
    said = capsys.readouterr().out
    assert "skipped" in said
    assert "broken.png" in said
    assert "going on after step 2" in said
    net, card = checkpoint.load_unet(run / "weights.safetensors")
    assert net.config.shape == (3, 16, 24)
    assert card["class_names"] == ["blue", "red"]
    assert card["data"] == "24 images of one's own"
    assert card["recipe"]["flips"]
    assert read_grids(run)[4].shape == (8, 3, 16, 24)

    assert sample([str(run), "--class", "red", "--guidance", "2", "--n", "3", "--steps", "2",
                   "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0  # fmt: skip
    pictures = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in pictures] == ["0000.png", "0001.png", "0002.png"]
    with Image.open(pictures[0]) as picture:
        assert (picture.size, picture.mode) == ((24, 16), "RGB")
    with pytest.raises(SystemExit):
        sample([str(run), "--class", "green"])
    assert "class must be in 0..1 or one of ['blue', 'red'], got 'green'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_begins_with_given_weights_and_logs_for_tensorboard(tmp_path, mine, monkeypatch):
    scalars, board = {}, ModuleType("torch.utils.tensorboard")

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == str(tmp_path / "second")

        def add_scalar(self, name, value, step):
            scalars[name, step] = value

        def flush(self):
            pass

    board.SummaryWriter = SummaryWriter
    command = ["--images", str(mine), "--size", "16x24", "--device", "cpu", "--recipe", "smoke"]
    command += ["--batch-size", "8", "--learning-rate", "1e-9", "--steps", "5"]
    assert main([*command, "--folder", str(tmp_path / "first")]) == 0
    weights = tmp_path / "first" / "weights.safetensors"
    command += ["--folder", str(tmp_path / "second"), "--start", str(weights), "--tensorboard"]
    monkeypatch.setitem(sys.modules, board.__name__, None)
    with pytest.raises(SystemExit):
        main([*command, "--seed", "1"])  # another seed, so other weights but for --start
    monkeypatch.setitem(sys.modules, board.__name__, board)
    assert main([*command, "--seed", "1"]) == 0
    first, second = (checkpoint.read(tmp_path / run / weights.name) for run in ("first", "second"))
    for name, x in first.tensors.items():
        torch.testing.assert_close(second.tensors[name], x, rtol=0, atol=1e-6)
    (line,) = read_log(tmp_path / "second")
    assert scalars["loss", 5] == line["loss"]
    assert scalars["learning_rate", 5] == line["learning_rate"]
    assert {f"loss_by_t/{k}" for k in range(10)} >= {n for n, _ in scalars if n[:6] == "loss_b"}


def test_a_recipe_is_fitted_to_the_pictures(mine):
    found = folder(mine, size=(16, 24), progress=False)
    recipe = fitted(SMOKE, found)
    assert recipe.net.shape == (3, 16, 24)
    assert (recipe.net.num_classes, recipe.batch_size) == (2, 24)
    assert recipe.net.attention == (8, 4)
    assert replace(recipe, net=SMOKE.net, batch_size=SMOKE.batch_size) == SMOKE
    grey = fitted(SMOKE, torch.zeros(50, 1, 8, 8))
    assert (grey.net.shape, grey.net.num_classes) == ((1, 8, 8), None)
    with pytest.raises(ValueError, match=r"^image_size must be a multiple of 4 .*got 30; try"):
        fitted(SMOKE, torch.zeros(50, 1, 30, 30))
    with pytest.raises(ValueError, match=r"^images must be .*\(N, C, H, W\).*got \(3, 8, 8\)"):
        fitted(SMOKE, torch.zeros(3, 8, 8))


def test_flips_show_half_of_the_pictures_turned_round_and_can_be_entered_anywhere():
    images = torch.arange(64 * 6).view(64, 1, 1, 6) / 400
    batches = [x for x, _ in islice(shuffled(images, None, batch_size=16, flips=True), 8)]
    turned = torch.cat(batches)[..., 0] > torch.cat(batches)[..., -1]
    assert 40 < turned.sum() < 88  # 128 coins: five standard deviations are 28
    again, _ = next(shuffled(images, None, batch_size=16, flips=True, start=5))
    assert torch.equal(again, batches[5])
