"""Fashion-MNIST, all of it: 60,000 images to train with and 10,000 to test with."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dmlib.data.download import DataError, cache_folder, fetch

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Where Debian's package dataset-fashion-mnist puts the files.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)


@dataclass(frozen=True)
class IdxFile:
    """One file of the data set: what it is called, how it must look, two hashes.

    `sha256` is of the .gz as its authors publish it. `content` is of what is inside: Debian
    packs the same content with another gzip header.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    content: str


FILES = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte.gz",
            (60000, 28, 28),
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        IdxFile(
            "train-labels-idx1-ubyte.gz",
            (60000,),
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte.gz",
            (10000, 28, 28),
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte.gz",
            (10000,),
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}


def fashion_mnist(
    split: str = "train",
    *,
    cache: str | Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 30.0,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    """Images and labels of one split, from the disk if they are there, else downloaded.

    Looks in `cache`, then where Debian's package puts the files, then asks the mirrors in turn;
    a download is kept in `cache`. Whatever is read must have the pinned SHA-256.
    Source: Xiao et al. 2017 (MIT licence, copyright Zalando SE).

    Args:
        split: "train" (60,000 images) or "test" (10,000).
        cache: folder of the four files; the system's cache folder if None.
        mirrors: base addresses; () forbids downloading.
        timeout: seconds that a mirror may stay silent, > 0.
        progress: draw a bar on stderr while downloading.

    Returns:
        images (N, 28, 28) uint8 and labels (N,) int64; names in `CLASS_NAMES`.

    Raises:
        ValueError: split is neither of the two.
        DataError: a file can be neither found nor downloaded; the message says what to do.
    """
    if split not in FILES:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    folder = cache_folder("fashion-mnist") if cache is None else Path(cache).expanduser()
    parts = []
    for file in FILES[split]:
        raw = _found(file, (folder, DEBIAN))
        if raw is None:
            path = _downloaded(file, folder, mirrors, timeout=timeout, progress=progress)
            raw = unpack(path, file)
        parts.append(parse_idx(raw, file))
    images, labels = parts
    return images, labels.long()


def unpack(path: Path, file: IdxFile) -> bytes:
    """What is inside a .gz, if it is all there and has the pinned hash; else DataError."""
    most = 4 + 4 * len(file.shape) + torch.Size(file.shape).numel()
    try:
        with gzip.open(path) as packed:
            raw = packed.read(most + 1)  # a broken file must not fill the memory
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is broken: {error}; try: delete it and run again") from error
    got = hashlib.sha256(raw).hexdigest()
    if got != file.content:
        raise DataError(
            f"{path} does not hold what it should: SHA-256 of the content {got}, expected "
            f"{file.content}; try: delete it and run again"
        )
    return raw


def parse_idx(raw: bytes, file: IdxFile) -> Tensor:
    """Read LeCun's IDX format: 0, 0, 8 (= uint8), number of axes, each length (big-endian), data.

    Raises:
        DataError: the header is not the one that `file` must have or the data's length differs.
    """
    axes = len(file.shape)
    header = bytes((0, 0, 8, axes)) + b"".join(n.to_bytes(4, "big") for n in file.shape)
    if raw[: len(header)] != header:
        raise DataError(
            f"{file.name}: the IDX header is {raw[: len(header)].hex()}, "
            f"expected {header.hex()} for uint8 {file.shape}"
        )
    size = torch.Size(file.shape).numel()
    if len(raw) != len(header) + size:
        raise DataError(
            f"{file.name}: {len(raw) - len(header)} bytes of data, expected {size} for {file.shape}"
        )
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=len(header)).view(file.shape)


def _found(file: IdxFile, folders: Sequence[Path]) -> bytes | None:
    """The content from the first folder where the file is whole, or None."""
    for folder in folders:
        try:
            return unpack(folder / file.name, file)
        except DataError:
            continue
    return None


def _downloaded(
    file: IdxFile, folder: Path, mirrors: Sequence[str], *, timeout: float, progress: bool
) -> Path:
    try:
        return fetch(
            file.name,
            sha256=file.sha256,
            mirrors=mirrors,
            cache=folder,
            timeout=timeout,
            progress=progress,
        )
    except DataError as error:
        raise DataError(
            f"{error}\nOn Debian or Ubuntu this helps, too: apt-get install dataset-fashion-mnist"
        ) from error
