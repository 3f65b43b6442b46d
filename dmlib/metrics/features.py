"""How good are samples? A Fréchet distance in a stated feature space, and a test for copying.

The features are the 64 numbers before the last layer of a small classifier that the repository
trains on Fashion-MNIST (tools/make/train_features.py) and ships. A distance in this space compares
with others in this space only: it is not the FID of the literature (that is in fid.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmlib._validate import check_float, check_int
from dmlib.assets import ASSETS
from dmlib.checkpoint import read
from dmlib.data import check_signed

FEATURES = ASSETS / "fashion_features.safetensors"


class Features(nn.Module):
    """A small classifier of 28x28 images; its 64 penultimate features are the feature space.

    Call it for the features, `classify` for the ten classes' logits. `Features.trained()` gives
    the shipped weights, whose card says how they were made and how well they classify.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 24, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 48, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(48)
        self.conv3 = nn.Conv2d(48, 96, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(96)
        self.narrow = nn.Linear(96 * 3 * 3, 64)
        self.head = nn.Linear(64, 10)

    @classmethod
    def trained(cls) -> Features:
        """The shipped network, in evaluation mode, without gradients.

        Raises:
            CheckpointError: the shipped file is missing or damaged.
        """
        net = cls()
        net.load_state_dict(read(FEATURES).tensors)
        return net.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [-1, 1] -> features (N, 64)."""
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x must have shape (N, 1, 28, 28), got {tuple(x.shape)}")
        h = F.pixel_unshuffle(x, 2)  # (N, 4, 14, 14): 2x2 pixels become channels
        h = F.relu(self.norm1(self.conv1(h)))  # (N, 24, 14, 14)
        h = F.max_pool2d(F.relu(self.norm2(self.conv2(h))), 2)  # (N, 48, 7, 7)
        h = F.max_pool2d(F.relu(self.norm3(self.conv3(h))), 2)  # (N, 96, 3, 3)
        return self.narrow(h.flatten(1))

    def classify(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [-1, 1] -> logits of the ten classes, (N, 10)."""
        return self.head(F.relu(self(x)))


def exact(x: Tensor) -> Tensor:
    """x in float64, on its own device, or on the CPU where the device (mps) has none."""
    return x.detach().to("cpu" if x.device.type == "mps" else x.device).double()


def device_of(net: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU where it has none."""
    return next((x.device for x in net.parameters()), torch.device("cpu"))


@torch.no_grad()
def features_of(x: Tensor, net: nn.Module, *, batch_size: int = 500) -> Tensor:
    """Features of many images, a batch at a time.

    Args:
        x: (N, 1, 28, 28), images in [-1, 1], N >= 1, on any device.
        net: Features.trained(), or any module from images to (B, D); for the call it is put into
            evaluation mode, where features do not depend on the batch and nothing is learned.
        batch_size: images at a time, >= 1.

    Returns:
        (N, D), float64, on the network's device (on the CPU if that is mps).

    Raises:
        ValueError: x holds no images in [-1, 1], net is no module or batch_size < 1.
    """
    check_float("x", x)
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"x must be (N, ...) with N >= 1, got {tuple(x.shape)}")
    check_signed("x", x)
    batch_size = check_int("batch_size", batch_size, low=1)
    if not isinstance(net, nn.Module):
        raise ValueError(f"net must be a torch.nn.Module, got {type(net).__name__}")
    in_training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        parts = (part.to(device_of(net)) for part in x.split(batch_size))
        return torch.cat([exact(net(part)) for part in parts])
    finally:
        for module in in_training:  # not net.train(): some parts may have been frozen
            module.training = True


@torch.no_grad()
def nearest_neighbours(
    samples: Tensor, data: Tensor, *, chunk: int = 4096
) -> tuple[Tensor, Tensor]:
    """The nearest point of the data to each sample: has the model learned, or copied?

    Compare the distances with those of images it has never seen, nearest_neighbours(test, data):
    samples that lie much nearer than test images are copies.

    Args:
        samples: (B, ...), what is judged; it is computed on their device.
        data: (N, ...), the training data, N >= 1, of the same shape per point, on any device.
        chunk: points of the data at a time, >= 1.

    Returns:
        distance (B,), float64, the root of the mean squared difference per pixel, and
        index (B,), int64, the nearest point's place in data.

    Raises:
        ValueError: a tensor is not finite floating point or shapes do not fit.
    """
    check_float("samples", samples)
    check_float("data", data)
    if samples.ndim < 2 or samples.shape[1:] != data.shape[1:] or data.numel() == 0:
        raise ValueError(
            f"samples must be (B, ...) of data's shape per point {tuple(data.shape[1:])}, "
            f"got {tuple(samples.shape)}"
        )
    chunk = check_int("chunk", chunk, low=1)
    x = exact(samples).flatten(1)
    best = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
    index = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for start in range(0, len(data), chunk):
        points = exact(data[start : start + chunk]).flatten(1).to(x.device)
        # The direct difference, not ||x||^2 - 2xy + ||y||^2: a copy must have distance 0.
        distance, row = torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        index = torch.where(nearer, row + start, index)
    return best / math.sqrt(x.shape[1]), index


@torch.no_grad()
def nearest_shifted(
    samples: Tensor, data: Tensor, *, shift: int = 1, flip: bool = True, chunk: int = 4096
) -> Tensor:
    """The least distance to the data over small shifts and mirror images of each sample.

    A copy that is moved by one pixel is far away pixel by pixel, as far as an image that was never
    seen, and passes `nearest_neighbours`. Here it does not. Turned, scaled or recoloured copies
    still do: no distance proves that nothing was copied.

    Args:
        samples: (B, C, H, W), what is judged; it is computed on their device.
        data: (N, C, H, W), the training data, N >= 1, on any device.
        shift: up to so many pixels up, down, left and right, >= 0; at the edge pixels repeat.
        flip: whether mirror images count, too.
        chunk: points of the data at a time, >= 1.

    Returns:
        (B,), float64, the root of the mean squared difference per pixel.

    Raises:
        ValueError: an argument does not fit.
    """
    check_float("samples", samples)
    if samples.ndim != 4:
        raise ValueError(f"samples must be (B, C, H, W), got {tuple(samples.shape)}")
    shift, (H, W) = check_int("shift", shift, low=0), samples.shape[2:]
    found = []
    for image in (samples, samples.flip(-1))[: 1 + flip]:
        wide = F.pad(image, (shift,) * 4, mode="replicate")
        for row in range(2 * shift + 1):
            for column in range(2 * shift + 1):
                moved = wide[:, :, row : row + H, column : column + W]
                found.append(nearest_neighbours(moved, data, chunk=chunk)[0])
    return torch.stack(found).amin(0)
