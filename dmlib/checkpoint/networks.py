"""Weights on disk: safetensors beside a JSON card, written so that no crash can spoil them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from dmlib._validate import check_int
from dmlib.assets import ASSETS
from dmlib.checkpoint.cards import TRAINING, schedule_of
from dmlib.checkpoint.files import make_folder, replace_whole
from dmlib.models import MLP, NetDenoiser, UNet, UNetConfig, predicts_eps, predicts_v
from dmlib.models.picture_unet import PictureUNet
from dmlib.models.points import CloudNet
from dmlib.models.text_unet import TextUNet, TextUNetConfig

NAMES = f"step_{9 * '[0-9]'}.safetensors"  # a glob; step_best.safetensors is somebody else's
Card = dict[str, Any]
Net = TypeVar("Net", UNet, MLP, TextUNet, PictureUNet, CloudNet)


class CheckpointError(ValueError):
    """A file cannot be used; the message says which file and why."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds: named tensors, and the card that says what they are.

    Args:
        tensors: by name.
        card: JSON values; "sha256" and "bytes" describe the tensors' file, "card_sha256" the card.
        path: where the tensors' file lies.
    """

    tensors: dict[str, Tensor]
    card: Card
    path: Path


def write(path: Path | str, tensors: dict[str, Tensor], card: Card) -> Checkpoint:
    """Write `path` (safetensors) and the card beside it (same name, .json), each atomically.

    The card comes last and holds the hash of the tensors, and its own: a card that is there and
    agrees with both vouches for them, whenever the power went off.

    Args:
        path: ends in .safetensors.
        tensors: by name; copied to the CPU, one copy for each name where two share memory.
        card: JSON values.

    Raises:
        ValueError: path has another ending, or the card holds something that JSON cannot.
        FolderError: it cannot be written there.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name}")
    tensors = _apart({name: x.detach().cpu().contiguous() for name, x in tensors.items()})
    data = to_bytes(tensors)
    card = {**card, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    try:
        card["card_sha256"] = _hash_of(card)
        text = json.dumps(card, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"card must hold JSON values only: {error}") from None
    make_folder(path.parent)
    # Same name again: without its old card the file in between vouches for nothing.
    path.with_suffix(".json").unlink(missing_ok=True)
    replace_whole(path, data)
    replace_whole(path.with_suffix(".json"), text.encode())
    return Checkpoint(tensors, card, path)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, none of which shares memory with another: safetensors wants it so."""
    seen: dict[int, str] = {}
    for name, x in tensors.items():
        seen.setdefault(x.untyped_storage().data_ptr(), name)
    first = set(seen.values())
    return {name: x if name in first else x.clone() for name, x in tensors.items()}


def read(path: Path | str) -> Checkpoint:
    """Read what `write` wrote, and believe nothing.

    Args:
        path: ends in .safetensors.

    Raises:
        CheckpointError: a file is missing, truncated, changed, or no checkpoint at all.
    """
    path = Path(path)
    card = _read_card(path.with_suffix(".json"))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) != card["bytes"]:
        raise CheckpointError(
            f"{path}: truncated or changed: {len(data)} bytes, the card says {card['bytes']}"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise CheckpointError(f"{path}: its SHA-256 is {digest[:12]}…, not the card's")
    try:
        return Checkpoint(from_bytes(data), card, path)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from None


def _read_card(path: Path) -> Card:
    try:
        card = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{path}: the card cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: the card is not JSON ({error})") from None
    if not isinstance(card, dict) or not {"sha256", "bytes"} <= card.keys():
        raise CheckpointError(f"{path}: not a card of dmlib (no sha256 and bytes)")
    if card.get("card_sha256", "") not in ("", _hash_of(card)):  # cards of old have none
        raise CheckpointError(f"{path}: the card was changed after it was written")
    return card


def _hash_of(card: Card) -> str:
    """The SHA-256 of what a card says."""
    rest = {name: value for name, value in card.items() if name != "card_sha256"}
    said = json.loads(json.dumps(rest, allow_nan=False))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def save(
    folder: Path | str, tensors: dict[str, Tensor], card: Card, *, step: int, keep: int = 2
) -> Checkpoint:
    """Write step_<step>.safetensors into `folder`; of those before it, delete all but the newest.

    What stands there with a later step stays: it may be damaged, or another run's.

    Args:
        folder: made if it is not there.
        tensors, card: as for `write`.
        step: in 0..10^9-1, decides which checkpoint is the newest.
        keep: >= 1, this one and keep - 1 before it; the default keeps one to fall back on.

    Raises:
        ValueError: step or keep is out of range.
    """
    step, keep = check_int("step", step, low=0, high=10**9 - 1), check_int("keep", keep, low=1)
    written = write(Path(folder) / f"step_{step:09d}.safetensors", tensors, card)
    before = [path for path in _by_age(folder) if path.name < written.path.name]
    for path in before[keep - 1 :]:
        # The card first: without it the tensors count for nothing.
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return written


def latest(folder: Path | str) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint in `folder` that can be trusted, and why newer ones were passed over.

    Args:
        folder: need not exist.

    Returns:
        The checkpoint, None if there is no good one, and one sentence for each refused file.
    """
    refused = []
    for path in _by_age(folder):
        try:
            return read(path), refused
        except CheckpointError as error:
            refused.append(str(error))
    return None, refused


def _by_age(folder: Path | str) -> list[Path]:
    return sorted(Path(folder).glob(NAMES), reverse=True)


def load_unet(path: Path | str) -> tuple[NetDenoiser, Card]:
    """Build the U-Net of a card's "config" and give it the file's weights, as float32.

    It comes as a denoiser, with the schedule that the card names.

    Args:
        path: ends in .safetensors.

    Returns:
        The denoiser in eval mode (the U-Net is its `net`), and the card.

    Raises:
        CheckpointError: the file is bad or holds no such network, or the card's schedule cannot
            be made from its name.
    """
    checkpoint = read(path)
    if checkpoint.card.get("kind") == TRAINING:
        raise CheckpointError(
            f"{path}: holds the whole state of a training; try: "
            "resume.load_weights(path, recipe.make_denoiser()) takes the averaged weights out of it"
        )
    try:
        net = UNet(UNetConfig(**checkpoint.card["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no U-Net ({error!r})") from None
    return _denoiser(_filled(net, checkpoint), checkpoint), checkpoint.card


def load_words(path: Path | str = ASSETS / "words_unet.safetensors") -> tuple[NetDenoiser, Card]:
    """As `load_unet`, for a `TextUNet`, which hears captions; the one that comes with dmlib.

    Args:
        path: ends in .safetensors.
    """
    checkpoint = read(path)
    try:
        net = TextUNet(TextUNetConfig(**checkpoint.card["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no TextUNet ({error!r})") from None
    return _denoiser(_filled(net, checkpoint), checkpoint), checkpoint.card


def load_pictures(
    path: Path | str = ASSETS / "super_resolution_unet.safetensors",
) -> tuple[NetDenoiser, Card]:
    """As `load_unet`, for a `PictureUNet`, which is shown a picture; one that comes with dmlib.

    Args:
        path: ends in .safetensors; of those in dmlib/assets, super_resolution_unet or
            outlines_unet.
    """
    checkpoint = read(path)
    try:
        card = checkpoint.card
        net = PictureUNet(UNetConfig(**card["config"]), given=card["given"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no PictureUNet ({error!r})") from None
    return _denoiser(_filled(net, checkpoint), checkpoint), checkpoint.card


def _denoiser(net: UNet | TextUNet | PictureUNet | CloudNet, checkpoint: Checkpoint) -> NetDenoiser:
    predicts = checkpoint.card.get("predicts", "eps")
    try:
        if predicts not in ("eps", "v"):
            raise ValueError(f'the card\'s predicts must be "eps" or "v", got {predicts!r}')
        make = predicts_v if predicts == "v" else predicts_eps
        return make(net, schedule_of(checkpoint.card)).eval()
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None


def load_mlp(path: Path | str) -> tuple[MLP, Card]:
    """As `load_unet`, for the MLP of a card's "config"."""
    checkpoint = read(path)
    try:
        net = MLP(**checkpoint.card["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no MLP ({error!r})") from None
    return _filled(net, checkpoint), checkpoint.card


def load_points(path: Path | str | None = None) -> tuple[NetDenoiser, Card]:
    """As `load_unet`, for the network of clouds of points; None is the one that comes with dmlib.

    Args:
        path: ends in .safetensors.

    Raises:
        CheckpointError: the file is bad or holds no such network.
    """
    checkpoint = read(ASSETS / "shapes_net.safetensors" if path is None else path)
    try:
        net = CloudNet(**checkpoint.card["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no CloudNet ({error!r})") from None
    return _denoiser(_filled(net, checkpoint), checkpoint), checkpoint.card


def load_shipped(name: str = "fashion_unet") -> tuple[NetDenoiser, Card]:
    """The trained U-Net that comes with dmlib, checked against its card's SHA-256.

    Args:
        name: of a safetensors file in dmlib/assets.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    return load_unet(ASSETS / f"{name}.safetensors")


def _filled(net: Net, checkpoint: Checkpoint) -> Net:
    weights = {name: x.to(torch.float32) for name, x in checkpoint.tensors.items()}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(
            f"{checkpoint.path}: the tensors do not fit the card's network: {reason}"
        ) from None
    return net.eval()
