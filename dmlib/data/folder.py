"""A folder of pictures of your own as training data, and pictures back into a folder."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlib._validate import check_int, check_ints
from dmlib.data.download import DataError, cache_folder

KINDS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
Pixels = np.ndarray  # (H, W, 3) uint8


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a folder holds.

    Args:
        images: (N, C, H, W) uint8, C = 1 if all of them are grey, else 3.
        labels: (N,) int64, the number of the subfolder in `names`; None without subfolders.
        names: of the classes, the subfolders in alphabetical order.
        skipped: a sentence for each file that could not be read.
    """

    images: Tensor
    labels: Tensor | None
    names: tuple[str, ...]
    skipped: tuple[str, ...]

    def __repr__(self) -> str:
        classes = f", {len(self.names)} classes" if self.names else ""
        n, *shape = self.images.shape
        return f"Pictures({n} of {tuple(shape)}{classes}, {len(self.skipped)} skipped)"


def folder(
    path: str | Path,
    *,
    size: int | tuple[int, int] = 32,
    ground: int = 255,
    keep: bool = True,
    progress: bool = True,
) -> Pictures:
    """All pictures of a folder, of any size and kind, made alike.

    They are turned as their EXIF says, laid on a grey `ground` where they are transparent, made as
    small as will just cover `size`, and cut to it in the middle. Where pictures lie in subfolders,
    each subfolder is a class. What cannot be read is skipped and named.

    Args:
        path: the folder.
        size: of the result, one number or (H, W), >= 1.
        ground: grey level behind transparent pictures, 0..255.
        keep: the result in the system's cache folder, so that the next time takes no time.
        progress: draw a bar on stderr.

    Raises:
        ValueError: path is no folder, or size or ground is out of its range.
        DataError: the folder holds no picture that can be read.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise ValueError(f"path must be a folder, got {path}")
    sides = check_ints("size", size if isinstance(size, (tuple, list)) else (size, size), low=1)
    if len(sides) != 2:
        raise ValueError(f"size must be one number or (H, W), got {size!r}")
    ground = check_int("ground", ground, low=0, high=255)
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in KINDS and p.is_file())
    files = [p for p in files if not any(x.startswith(".") for x in p.relative_to(path).parts)]
    kept = _kept_at(path, files, sides, ground) if keep else None
    if kept is not None and kept.exists():
        found = _reread(kept)
        if found is not None:
            return found
    found = _read_all(path, files, _reader(sides, ground), progress=progress)
    if kept is not None:
        _keep(kept, found)
    return found


def _read_all(
    path: Path, files: list[Path], read: Callable[[Path], Pixels], *, progress: bool
) -> Pictures:
    from tqdm import tqdm

    inside = [p.relative_to(path).parts[:-1] for p in files]
    names = tuple(sorted({parts[0] for parts in inside if parts}))
    images, labels, skipped = [], [], []
    bar = tqdm(files, desc=path.name, disable=not progress, leave=False)
    for file, parts in zip(bar, inside, strict=True):
        if names and not parts:
            skipped.append(f"{file}: lies beside the classes' folders, so it has no class")
            continue
        try:
            images.append(read(file))
        except Exception as error:  # whatever a broken file makes Pillow raise
            reason = str(error).splitlines() or [type(error).__name__]
            skipped.append(f"{file}: {reason[0]}")
            continue
        labels.append(names.index(parts[0]) if names else 0)
    if not images:
        why = f"; the first of {len(skipped)}: {skipped[0]}" if skipped else ""
        raise DataError(
            f"{path}: no picture that can be read ({', '.join(sorted(KINDS))}){why}; try: the "
            "folder that the pictures lie in"
        )
    pixels = np.stack(images)  # (N, H, W, 3)
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return Pictures(tensor, torch.tensor(labels) if names else None, names, tuple(skipped))


def _reader(sides: tuple[int, ...], ground: int) -> Callable[[Path], Pixels]:
    """One file -> (H, W, 3) uint8."""
    from PIL import Image, ImageOps

    def read(file: Path) -> Pixels:
        with Image.open(file) as picture:
            picture.load()
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith(("I", "F")):  # 16 bits and more: to 8
                values = np.asarray(picture, dtype=np.float64)
                top = 65535 if picture.mode.startswith("I") else max(values.max(), 1e-9)
                picture = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                under = Image.new("RGBA", picture.size, (ground, ground, ground, 255))
                picture = Image.alpha_composite(under, picture)
            picture = picture.convert("RGB")
            fitted = ImageOps.fit(picture, (sides[1], sides[0]), Image.Resampling.LANCZOS)
            return np.asarray(fitted, dtype=np.uint8)

    return read


def _kept_at(path: Path, files: list[Path], sides: tuple[int, ...], ground: int) -> Path:
    """Where the result is kept: another file for other pictures, or other settings."""
    known = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    said = repr((str(path.resolve()), known, sides, ground)).encode()
    return cache_folder("folders") / f"{hashlib.sha256(said).hexdigest()[:32]}.npz"


def _keep(kept: Path, found: Pictures) -> None:
    """Write the result; a cache that cannot be written is none."""
    arrays: dict[str, Any] = {"images": found.images.numpy(), "names": np.array(found.names, str)}
    arrays["skipped"] = np.array(found.skipped, str)
    if found.labels is not None:
        arrays["labels"] = found.labels.numpy()
    half = kept.with_suffix(f".{os.getpid()}.tmp")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            np.savez(file, **arrays)
        half.replace(kept)
    except OSError:
        half.unlink(missing_ok=True)


def _reread(kept: Path) -> Pictures | None:
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            labels = torch.from_numpy(arrays["labels"]) if "labels" in arrays.files else None
            names, skipped = (tuple(map(str, arrays[k])) for k in ("names", "skipped"))
            return Pictures(torch.from_numpy(arrays["images"]), labels, names, skipped)
    except (OSError, ValueError, KeyError):
        return None


def save_png(path: str | Path, image: Tensor) -> None:
    """Write one picture as PNG.

    Args:
        path: ends in .png; its folder is made if it is not there.
        image: (1, H, W) grey or (3, H, W) colour, uint8.

    Raises:
        ValueError: image is no such tensor.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(
            f"image must be uint8 of shape (1 or 3, H, W), got {image.dtype} of "
            f"{tuple(image.shape)}; try: dmlib.data.to_uint8(x)"
        )
    channels, height, width = image.shape
    lines = image.permute(1, 2, 0).reshape(height, -1).cpu()
    raw = torch.cat([torch.zeros(height, 1, dtype=torch.uint8), lines], 1)  # each line unfiltered
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(raw.numpy().tobytes(), 9)), (b"IEND", b"")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
