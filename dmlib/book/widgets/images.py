"""The images that the widgets show unless they are given others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmlib.data import CLASS_NAMES, fashion_sample

# Classes whose shapes stay apart at 44 pixels: ankle boot, bag, T-shirt, trouser, dress, sneaker,
# coat, sandal.
_CLASSES = (9, 8, 0, 1, 3, 7, 4, 5)


def default_images() -> tuple[NDArray[np.uint8], list[str]]:
    """Eight images of Fashion-MNIST, one a class, and their names."""
    images, labels = (np.asarray(part) for part in fashion_sample())
    chosen = [int(np.flatnonzero(labels == label)[0]) for label in _CLASSES]
    return images[chosen].reshape(-1, 28, 28), [CLASS_NAMES[label] for label in _CLASSES]
