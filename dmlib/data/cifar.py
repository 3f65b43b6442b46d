"""CIFAR-10: 50,000 colour images to train with and 10,000 to test with."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dmlib.data.download import DataError, cache_folder, fetch

CIFAR10_CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# The binary version: the other one is made of pickles, and to read a pickle is to run it.
ARCHIVE = "cifar-10-binary.tar.gz"
# As in TensorFlow Datasets' url_checksums; the authors' page gives the MD5
# c32a1d4ab5d03f1284b67883e8d87530 of the same file.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz",
    "https://cave.cs.toronto.edu/kriz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10",
)
PARTS = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
PER_PART = 10000
RECORD = 1 + 3 * 32 * 32  # label, then red, green and blue, row by row


def cifar10(
    split: str = "train",
    *,
    cache: str | Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 30.0,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    """Images and labels of one split, from the cache or else downloaded (170 MB).

    The archive is read where it lies: nothing is unpacked to the disk.
    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images". The authors
    state no licence; therefore no image of it comes with dmlib.

    Args:
        split: "train" (50,000 images) or "test" (10,000).
        cache: folder of the archive; the system's cache folder if None.
        mirrors: base addresses; () forbids downloading.
        timeout: seconds that a mirror may stay silent, > 0.
        progress: draw a bar on stderr while downloading.

    Returns:
        images (N, 3, 32, 32) uint8 and labels (N,) int64; names in `CIFAR10_CLASS_NAMES`.

    Raises:
        ValueError: split is neither of the two.
        DataError: the archive can be neither found nor downloaded, or is not what it should be.
    """
    if split not in PARTS:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    folder = cache_folder("cifar-10") if cache is None else Path(cache).expanduser()
    path = fetch(
        ARCHIVE, sha256=SHA256, mirrors=mirrors, cache=folder, timeout=timeout, progress=progress
    )
    return read_archive(path, PARTS[split])


def read_archive(path: Path, parts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Read the named members of the archive into images (N, 3, 32, 32) and labels (N,)."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            records = torch.cat([_records(archive, part, path) for part in parts])
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is broken: {error}; try: delete it and run again") from error
    labels = records[:, 0].long()
    if int(labels.max()) >= len(CIFAR10_CLASS_NAMES):
        raise DataError(f"{path}: labels must be 0..9, got {int(labels.max())}")
    return records[:, 1:].reshape(-1, 3, 32, 32).contiguous(), labels


def _records(archive: tarfile.TarFile, part: str, path: Path) -> Tensor:
    """One member's records, (PER_PART, RECORD), uint8."""
    try:
        member = archive.getmember(part)
    except KeyError:
        raise DataError(f"{path}: {part} is missing; try: delete it and run again") from None
    size = PER_PART * RECORD
    file = archive.extractfile(member) if member.isfile() else None
    if file is None or member.size != size:
        raise DataError(f"{path}: {part} must be a file of {size} bytes, got {member.size}")
    return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(PER_PART, RECORD)
