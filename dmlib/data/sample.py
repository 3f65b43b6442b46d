"""The sample of real images that comes with dmlib: no download."""

from __future__ import annotations

import hashlib
import io
import json
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from dmlib.data.download import DataError


def fashion_sample() -> tuple[Tensor, Tensor]:
    """2,000 images from the training split of Fashion-MNIST, 200 of each class.

    The classes take turns: image i is of class i % 10, so any ten in a row show one of each.
    Source: Xiao et al. 2017 (MIT licence, copyright Zalando SE); the card
    dmlib/assets/fashion_sample.json says how the images were drawn.

    Returns:
        images (2000, 28, 28) uint8 and labels (2000,) int64; names in `CLASS_NAMES`.

    Raises:
        DataError: the file in the installed package is missing or not the one that was shipped.
    """
    stored = _stored()
    return torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"].astype(np.int64))


def fashion_sample_indices() -> Tensor:
    """Where the sample's images stand in the training split, (2000,) int64, 0..59999."""
    return torch.from_numpy(_stored()["indices"].astype(np.int64))


def _stored() -> dict[str, np.ndarray]:
    assets = files("dmlib") / "assets"
    path = assets / "fashion_sample.npz"
    try:
        card = json.loads((assets / "fashion_sample.json").read_text(encoding="utf-8"))
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path} and its card: {error}; try: reinstall dmlib"
        ) from error
    got = hashlib.sha256(data).hexdigest()
    if got != card["sha256"]:
        raise DataError(
            f"{path} is damaged: SHA-256 {got}, its card says {card['sha256']}; "
            "try: reinstall dmlib"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
