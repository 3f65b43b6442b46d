"""Laws of the shipped sample, of the pinned hashes and of the scaling."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from dmlib.data import (
    CLASS_NAMES,
    DataError,
    fashion,
    fashion_mnist,
    fashion_sample,
    fashion_sample_indices,
    stored,
    to_uint8,
    to_unit,
)

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "dmlib" / "assets"
PATH = ASSETS / "fashion_sample.npz"
CARD = json.loads(PATH.with_suffix(".json").read_text())

debian = pytest.mark.skipif(
    not fashion.DEBIAN.exists(),
    reason="Debian's dataset-fashion-mnist is not installed: nothing to compare with",
)


# The sample


def test_sample_holds_200_of_each_class_and_the_classes_take_turns():
    images, labels = fashion_sample()
    assert (images.shape, images.dtype) == ((2000, 28, 28), torch.uint8)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [i % 10 for i in range(2000)]
    assert len(CLASS_NAMES) == 10


def test_sample_has_no_image_twice():
    images, _ = fashion_sample()
    assert len(fashion_sample_indices().unique()) == 2000
    assert len(images.flatten(1).unique(dim=0)) == 2000


def test_sample_is_what_its_card_says():
    data = PATH.read_bytes()
    assert hashlib.sha256(data).hexdigest() == CARD["sha256"]
    assert len(data) == CARD["bytes"] <= 1_000_000
    images, _ = fashion_sample()
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == CARD["content_sha256"]
    assert CARD["licence"].startswith("MIT")
    assert "Permission is hereby granted" in CARD["licence_text"]
    assert (ROOT / CARD["command"].split()[1]).exists()


def test_two_calls_give_tensors_of_their_own():
    first, _ = fashion_sample()
    first.zero_()
    assert int(fashion_sample()[0].max()) == 255


def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(
        ASSETS,
        tmp_path / "assets",
        ignore=lambda _, names: {name for name in names if not name.startswith("fashion_sample")},
    )
    monkeypatch.setattr(stored, "files", lambda _: tmp_path)
    return tmp_path / "assets" / PATH.name


def test_a_damaged_sample_is_refused(tmp_path, monkeypatch):
    path = damaged(tmp_path, monkeypatch)
    fashion_sample()
    data = bytearray(path.read_bytes())
    data[400_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"fashion_sample\.npz is damaged.*reinstall dmlib"):
        fashion_sample()


@pytest.mark.parametrize("lost", ["fashion_sample.npz", "fashion_sample.json"])
def test_a_sample_that_is_missing_is_named(tmp_path, monkeypatch, lost):
    (damaged(tmp_path, monkeypatch).parent / lost).unlink()
    with pytest.raises(DataError, match=rf"(?s)fashion_sample.*{lost}.*reinstall dmlib"):
        fashion_sample()


@debian
def test_sample_equals_the_originals_at_its_indices():
    images, labels = fashion_mnist("train", mirrors=())
    where = fashion_sample_indices()
    assert torch.equal(fashion_sample()[0], images[where])
    assert torch.equal(fashion_sample()[1], labels[where])


@debian
def test_the_tool_makes_the_same_sample_again(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "tools" / "make" / "make_sample.py"),
        "--out",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    again = json.loads((tmp_path / "fashion_sample.json").read_text())
    # Another version of zlib may pack the same content otherwise.
    packing = ("torch", "numpy", "bytes", "sha256")
    for card in (again, expected := dict(CARD)):
        for key in packing:
            del card[key]
    assert again == expected


# The full set


@debian
@pytest.mark.parametrize(("split", "per_class"), [("train", 6000), ("test", 1000)])
def test_full_set_is_read_from_debians_files_without_a_download(split, per_class, tmp_path):
    images, labels = fashion_mnist(split, cache=tmp_path, mirrors=())
    assert (images.shape, images.dtype) == ((10 * per_class, 28, 28), torch.uint8)
    assert labels.bincount().tolist() == [per_class] * 10
    assert list(tmp_path.iterdir()) == []


# The MD5s that the authors publish in their README, and when each file was packed (the time in
# its gzip header).
PUBLISHED = {
    "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
    "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
    "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 1504176627),
    "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
}


@debian
@pytest.mark.parametrize(
    "file", [f for files in fashion.FILES.values() for f in files], ids=lambda f: f.name
)
def test_pinned_sha256_is_of_the_very_file_whose_md5_the_authors_publish(file):
    # Debian removed name and time from the gzip header and left the rest. Put back, they give
    # the authors' file byte for byte, as its MD5 proves; and so its SHA-256 is known.
    md5, packed_at = PUBLISHED[file.name]
    debians = (fashion.DEBIAN / file.name).read_bytes()
    name = file.name.removesuffix(".gz").encode() + b"\0"
    authors = (
        b"\x1f\x8b\x08\x08" + packed_at.to_bytes(4, "little") + b"\0\x03" + name + debians[10:]
    )
    assert hashlib.md5(authors, usedforsecurity=False).hexdigest() == md5
    assert hashlib.sha256(authors).hexdigest() == file.sha256
    assert hashlib.sha256(gzip.decompress(authors)).hexdigest() == file.content


@debian
def test_class_names_are_the_authors():
    readme = gzip.decompress(Path("/usr/share/doc/dataset-fashion-mnist/README.md.gz").read_bytes())
    table = re.findall(r"^\| (\d) \| (.+?) \|", readme.decode(), flags=re.MULTILINE)
    assert table == [(str(i), name) for i, name in enumerate(CLASS_NAMES)]


# The scaling


def test_black_is_minus_one_and_white_is_one_exactly():
    x0 = to_unit(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert_close(x0, torch.tensor([[[[-1.0, 1.0]]]]), rtol=0, atol=0)
    assert x0.dtype == torch.float32


def test_grey_levels_are_equally_far_apart():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    steps = to_unit(levels).flatten().double().diff()
    assert_close(steps, torch.full((255,), 2 / 255, dtype=torch.float64), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_to_uint8_inverts_to_unit_for_every_level(dtype):
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    colour = grey.view(1, 1, 16, 16).expand(2, 3, 16, 16)
    for images in (grey, colour):
        assert torch.equal(to_uint8(to_unit(images).to(dtype)), images)


def test_an_axis_for_the_channel_changes_no_value():
    images, _ = fashion_sample()
    assert torch.equal(to_unit(images[:, None]), to_unit(images))


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 3, width=32))
def test_to_uint8_is_the_nearest_level(value):
    level = int(to_uint8(torch.tensor(value).view(1, 1, 1, 1)))
    exact = min(max((value + 1) * 127.5, 0), 255)
    assert abs(level - exact) <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(2, 28, 28), r"images must be a uint8 .* got torch\.float32"),
        (torch.zeros(2, 28, 28, dtype=torch.int64), r"got torch\.int64"),
        ([[0]], "got list"),
        (torch.zeros(28, 28, dtype=torch.uint8), r"got \(28, 28\)"),
    ],
)
def test_to_unit_refuses_what_is_no_batch_of_grey_levels(images, says):
    with pytest.raises(ValueError, match=says):
        to_unit(images)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), r"floating point, got torch\.uint8"),
        (torch.full((1, 1, 2, 2), float("nan")), "4 NaN"),
        (torch.zeros(1, 2, 2), r"got \(1, 2, 2\)"),
    ],
)
def test_to_uint8_refuses_what_is_no_batch_of_values(x, says):
    with pytest.raises(ValueError, match=says):
        to_uint8(x)


def test_importing_data_brings_no_plotting_and_no_downloader():
    heavy = ("matplotlib", "scipy", "pooch", "requests", "PIL", "IPython", "ipywidgets")
    code = f"import sys, dmlib.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
