"""Laws of a folder of pictures: any size and kind, broken ones named, classes from subfolders."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dmlib.data import DataError, folder, save_png

BLUE = (20, 40, 200)
MODULE = sys.modules["dmlib.data.folder"]  # the name in dmlib.data is the function


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "cache_folder", lambda name: tmp_path / "cache" / name)


def put(path, mode="RGB", size=(40, 30), color=BLUE, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


def mixed(root) -> None:
    """Two classes, every kind of picture, a broken one, and what is none."""
    put(root / "a" / "plain.png")
    put(root / "a" / "wide.jpg", size=(90, 20))
    put(root / "a" / "clear.png", "RGBA", color=(*BLUE, 0))
    put(root / "b" / "grey.png", "L", color=77)
    put(root / "b" / "deep" / "cmyk.jpg", "CMYK", color=(200, 150, 0, 20))
    palette = Image.new("RGB", (20, 20), BLUE).quantize(4)
    palette.save(root / "b" / "palette.gif")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(root / "b" / "sixteen.png")
    (root / "b" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (root / "b" / ".hidden.png").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("no picture")
    put(root / "stray.png")


def test_pictures_of_every_kind_become_alike_and_broken_ones_are_named(tmp_path):
    mixed(tmp_path / "mine")
    found = folder(tmp_path / "mine", size=16, progress=False)
    assert found.images.shape == (7, 3, 16, 16)
    assert found.images.dtype == torch.uint8
    assert found.names == ("a", "b")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    broken, stray = sorted(found.skipped)
    assert "b/broken.png: cannot identify" in broken
    assert "stray.png: lies beside the classes' folders" in stray
    means = found.images.double().mean((2, 3)).round()
    assert means[0].tolist() == [255, 255, 255]  # clear.png: the ground alone
    assert means[1].tolist() == list(BLUE)
    assert (means[2] - torch.tensor(BLUE)).abs().max() <= 3  # JPEG
    assert means[5].tolist() == pytest.approx(list(BLUE), abs=8)  # of four colours
    assert means[6].tolist() == [round(40_000 / 65_535 * 255 - 0.5)] * 3
    assert repr(found) == "Pictures(7 of (3, 16, 16), 2 classes, 2 skipped)"


def test_grey_pictures_have_one_channel_and_a_plain_folder_no_classes(tmp_path):
    put(tmp_path / "mine" / "a.png", "L", color=77)
    put(tmp_path / "mine" / "b.png", color=(9, 9, 9))
    found = folder(tmp_path / "mine", size=(8, 12), progress=False)
    assert found.images.shape == (2, 1, 8, 12)
    assert found.images.flatten(1).float().mean(1).tolist() == [77, 9]
    assert (found.labels, found.names) == (None, ())


def test_what_is_cut_off_is_the_border(tmp_path):
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    (tmp_path / "mine").mkdir()
    Image.fromarray(pixels).save(tmp_path / "mine" / "a.png")
    assert (folder(tmp_path / "mine", size=10, progress=False).images == 255).all()


def test_a_photograph_is_turned_as_its_camera_was(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 255  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    (tmp_path / "mine").mkdir()
    Image.fromarray(pixels).save(tmp_path / "mine" / "a.png", exif=exif)
    image = folder(tmp_path / "mine", size=8, progress=False).images[0, 0]
    assert (image[:4] == 0).all()
    assert (image[4:] == 255).all()


def test_the_ground_lies_under_what_is_transparent(tmp_path):
    put(tmp_path / "mine" / "a.png", "RGBA", color=(255, 0, 0, 128))
    image = folder(tmp_path / "mine", size=4, ground=0, progress=False).images[0, :, 0, 0]
    assert image.tolist() == [128, 0, 0]


def test_the_second_time_comes_from_the_cache_until_a_picture_changes(tmp_path, monkeypatch):
    put(tmp_path / "mine" / "a.png")
    first = folder(tmp_path / "mine", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "_read_all", lambda *a, **k: pytest.fail("read again"))
        again = folder(tmp_path / "mine", progress=False)
    assert torch.equal(first.images, again.images)
    put(tmp_path / "mine" / "a.png", color=(1, 2, 3))
    assert folder(tmp_path / "mine", progress=False).images[0, :, 0, 0].tolist() == [1, 2, 3]
    kept = next((tmp_path / "cache").rglob("*.npz"))
    for kept in (tmp_path / "cache").rglob("*.npz"):
        kept.write_bytes(b"half")
    assert folder(tmp_path / "mine", progress=False).images[0, 0, 0, 0] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": 0}, r"size\[0\] must be an integer >= 1, got 0"),
        ({"size": (1, 2, 3)}, r"size must be one number or \(H, W\), got \(1, 2, 3\)"),
        ({"ground": 256}, "ground must be an integer in 0..255, got 256"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, change, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        folder(tmp_path, **change)


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"^path must be a folder, got"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no picture that can be read .*try: the folder"):
        folder(tmp_path, progress=False)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"the first of 1: .*a\.png: cannot identify"):
        folder(tmp_path, progress=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_written_is_the_picture_read(tmp_path, channels):
    g = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (channels, 5, 9), generator=g, dtype=torch.uint8)
    save_png(tmp_path / "deep" / "a.png", image)
    read = np.asarray(Image.open(tmp_path / "deep" / "a.png"))
    expected = image[0] if channels == 1 else image.permute(1, 2, 0)
    np.testing.assert_array_equal(read, expected.numpy())
    with pytest.raises(ValueError, match=r"^image must be uint8 of shape \(1 or 3, H, W\)"):
        save_png(tmp_path / "a.png", image.float())
