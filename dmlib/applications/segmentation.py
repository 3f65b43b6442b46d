"""Which pixel is what: a frozen denoiser's inner maps as features, and a small classifier on them.

A denoiser has never seen a class map. Noise an image, let the network look at it, and take what its
blocks put out on the way: numbers for every pixel, from which a few labelled images teach a small
classifier what each pixel belongs to.
Source: Baranchuk et al. 2022, "Label-efficient semantic segmentation with diffusion models".
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dmlib._validate import check_floating, check_int
from dmlib.data.scenes import SHAPES, Scenes
from dmlib.forward import q_sample
from dmlib.models import NetDenoiser, UNet, UNetConfig
from dmlib.models.blocks import zeroed

CLASSES = ("ground", *SHAPES)


def class_map(scenes: Scenes) -> Tensor:
    """The class of each pixel by shape: that of the object which covers at least half of it.

    Args:
        scenes: N scenes.

    Returns:
        (N, H, W) int64, index in CLASSES; 0 is the ground.
    """
    covered, which = scenes.masks.max(1)  # (N, H, W)
    shape = scenes.shape.gather(1, which.flatten(1)).view_as(which)
    return torch.where(covered >= 0.5, shape + 1, 0)


def block_outputs(net: nn.Module, xt: Tensor, t: int | Tensor, blocks: Sequence[str]) -> list:
    """What some blocks of a network put out while it looks at xt, without gradients.

    Args:
        net: a network, or the denoiser of one; called as net(xt, t).
        xt: (B, C, H, W).
        t: int or (B,) int64.
        blocks: their names in the network, such as "up.0.stages.0".

    Returns:
        A tensor (B, C_l, H_l, W_l) for each block, in the order of `blocks`.

    Raises:
        ValueError: the network has no such block.
    """
    inner, kept = net.net if isinstance(net, NetDenoiser) else net, {}
    known = dict(inner.named_modules())
    for name in blocks:
        if name not in known or not name:
            raise ValueError(f"blocks must name parts of the network, got {name!r}")
    hooks = [
        known[name].register_forward_hook(lambda _m, _i, out, name=name: kept.update({name: out}))
        for name in blocks
    ]
    try:
        with torch.no_grad():
            net(xt, t)
    finally:
        for hook in hooks:
            hook.remove()
    return [kept[name] for name in blocks]


def pixel_features(
    denoiser: NetDenoiser, x0: Tensor, t: int | Tensor, eps: Tensor, *, blocks: Sequence[str]
) -> Tensor:
    """The frozen network's maps of x_t, brought to the size of the image and stacked.

    f(x_0, t, eps) = [up(h_1), ..., up(h_L)], h_l what block l puts out for
    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.
    Source: Baranchuk et al. 2022, section 3; the book's equation eq-pixel-features.

    Args:
        denoiser: of a trained network; it is asked without a class or caption.
        x0: (B, C, H, W) in [-1, 1].
        t: int or (B,) int64, in 1..T; 0 for the clean image.
        eps: (B, C, H, W), standard normal.
        blocks: names of the blocks to listen to.

    Returns:
        (B, the blocks' channels, H, W).

    Raises:
        ValueError: an argument does not fit the network.
    """
    xt = q_sample(x0, t, eps, schedule=denoiser.path)
    maps = block_outputs(denoiser, xt, t, blocks)
    return torch.cat([upsampled(h, x0.shape[2:]) for h in maps], dim=1)


def upsampled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps (B, C, h, w) to (B, C, *size), linearly between the centres of the cells."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def windows(x0: Tensor, side: int) -> Tensor:
    """The pixels around each pixel as its features: a window of side x side, zeros outside.

    Args:
        x0: (B, C, H, W).
        side: odd; 1 is the pixel alone.

    Returns:
        (B, C side^2, H, W).

    Raises:
        ValueError: side is even.
    """
    if check_int("side", side, low=1) % 2 == 0:
        raise ValueError(f"side must be odd, got {side}")
    return F.unfold(x0, side, padding=side // 2).unflatten(2, x0.shape[2:])


class PixelClassifier(nn.Module):
    """Class scores of every pixel from its features alone: one linear map, the same everywhere.

    logits = W (f - mean) / std + b; mean and std are those of the training pixels.
    Source: Baranchuk et al. 2022, section 3 (there a small network); the book's equation
    eq-pixel-classifier.

    Args:
        mean, std: (C,), of each feature over the training pixels.
        classes: how many.
    """

    def __init__(self, mean: Tensor, std: Tensor, *, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.linear = zeroed(nn.Linear(len(mean), classes))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes, H, W)."""
        f = (features.movedim(1, -1) - self.mean) / self.std  # (B, H, W, C)
        return self.linear(f).movedim(-1, 1)


def fit_pixels(
    features: Tensor, classes: Tensor, *, seed: int, steps: int = 300, batch: int = 1024
) -> PixelClassifier:
    """Train a classifier on the pixels of labelled images, by cross-entropy.

    Args:
        features: (B, C, H, W), of the labelled images.
        classes: (B, H, W) int64, index in CLASSES.
        seed: of the batches.
        steps: of AdamW with weight decay 0.1; its rate falls from 0.01 to 0 by a cosine.
        batch: pixels a step.

    Returns:
        The classifier, in eval mode.

    Raises:
        ValueError: features and classes do not belong together.
    """
    check_floating("features", features)
    flat, true = features.movedim(1, -1).flatten(0, 2), classes.flatten()
    if len(flat) != len(true):
        raise ValueError(f"classes must be (B, H, W) of the features, got {tuple(classes.shape)}")
    std, mean = torch.std_mean(flat, dim=0)
    net = PixelClassifier(mean, std.clamp(min=1e-6), classes=len(CLASSES)).to(flat)
    generator = Generator().manual_seed(seed)

    def loss() -> Tensor:
        some = torch.randint(len(flat), (batch,), generator=generator).to(flat.device)
        return F.cross_entropy(net.linear((flat[some] - net.mean) / net.std), true[some])

    return _minimised(net, loss, steps=steps, rate=1e-2)


def fit_unet(
    config: UNetConfig, x0: Tensor, classes: Tensor, *, seed: int, steps: int = 300
) -> nn.Module:
    """Train a U-Net from nothing on the labelled images, every other one turned left to right.

    Args:
        config: of the denoising U-Net; the twin has as many channels as there are classes.
        x0: (B, C, H, W) in [-1, 1].
        classes: (B, H, W) int64, index in CLASSES.
        seed: of the first weights and of the batches.
        steps: of AdamW, eight images each; its rate falls from 0.002 to 0 by a cosine.

    Returns:
        A module in eval mode: (B, C, H, W) -> logits (B, classes, H, W).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Labelling(config).to(x0.device)
    generator = Generator().manual_seed(seed)

    def loss() -> Tensor:
        some = torch.randint(len(x0), (8,), generator=generator).to(x0.device)
        x, y = x0[some], classes[some]
        x, y = torch.cat([x[:4], x[4:].flip(-1)]), torch.cat([y[:4], y[4:].flip(-1)])
        return F.cross_entropy(net(x), y)

    return _minimised(net, loss, steps=steps, rate=2e-3)


class Labelling(nn.Module):
    """The denoiser's U-Net as a labeller: image in, class scores out; its clock stands at 0.

    Args:
        config: of the denoising U-Net.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        given = {name: getattr(config, name) for name in config.__dataclass_fields__}
        self.unet = UNet(UNetConfig(**{**given, "channels": len(CLASSES), "num_classes": None}))

    def forward(self, x0: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes, H, W); the channels that are missing are 0."""
        return self.unet(F.pad(x0, (0, 0, 0, 0, 0, len(CLASSES) - x0.shape[1])), 0)


def _minimised(net: nn.Module, loss, *, steps: int, rate: float) -> nn.Module:
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.1)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()
        fall.step()
    return net.eval().requires_grad_(False)


def untrained(denoiser: NetDenoiser, *, seed: int) -> NetDenoiser:
    """The same network with weights as nobody has trained them, all of them drawn.

    The last layer of each block starts as 0 when a network is made, so that its blocks do nothing;
    here it is drawn like the others, or there would be little to listen to.

    Args:
        denoiser: of the trained network; it stays as it is.
        seed: of the weights.
    """
    other = copy.deepcopy(denoiser)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in other.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            else:
                for own in module.parameters(recurse=False):
                    nn.init.normal_(own, std=0.02)
    return other.eval()


def confusion(predicted: Tensor, true: Tensor, *, classes: int = len(CLASSES)) -> Tensor:
    """How many pixels of each class were called what, over all images at once.

    Args:
        predicted: (...) int64, the class that each pixel was given.
        true: (...) int64, the class that it has.
        classes: K, how many there are.

    Returns:
        (K, K) int64; row the true class, column the predicted one.
    """
    pair = true.flatten() * classes + predicted.flatten()
    return torch.bincount(pair, minlength=classes**2).view(classes, classes)


def iou(counts: Tensor) -> Tensor:
    """Of each class, the pixels that both call so over those that either does.

    IoU_k = TP_k / (TP_k + FP_k + FN_k); the book's equation eq-iou.

    Args:
        counts: (K, K), of `confusion`.

    Returns:
        (K,) float64; NaN for a class that is nowhere, neither in truth nor predicted.
    """
    counts = counts.cpu()  # not every device has float64
    both = counts.diagonal().double()
    return both / (counts.sum(0) + counts.sum(1) - both)


def mean_iou(counts: Tensor) -> Tensor:
    """The mean of IoU_k over the classes that are anywhere, the ground among them.

    The book's equation eq-miou.

    Args:
        counts: (K, K), of `confusion`.

    Returns:
        A float64 number in [0, 1], shape ().
    """
    return iou(counts).nanmean()
