"""Arrays that come with dmlib: read whole, with the hash that their card names."""

from __future__ import annotations

import hashlib
import io
import json
from importlib.resources import files

import numpy as np

from dmlib.data.download import DataError


def shipped_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of dmlib/assets/<name>.npz by name.

    Raises:
        DataError: the file in the installed package is missing or not the one that was shipped.
    """
    assets = files("dmlib") / "assets"
    path = assets / f"{name}.npz"
    try:
        card = json.loads((assets / f"{name}.json").read_text(encoding="utf-8"))
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
