"""Weights on disk: safetensors beside a JSON card, written so that no crash can spoil them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from dmlib.models import MLP, EpsFromV, UNet, UNetConfig
from dmlib.schedules import cosine_schedule, linear_schedule

ASSETS = Path(__file__).parent / "assets"
Card = dict[str, Any]
Net = TypeVar("Net", UNet, MLP)


class CheckpointError(ValueError):
    """A file cannot be used; the message says which file and why."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds: named tensors, and the card that says what they are.

    Args:
        tensors: by name.
        card: JSON values; "sha256" and "bytes" describe the tensors' file.
        path: where the tensors' file lies.
    """

    tensors: dict[str, Tensor]
    card: Card
    path: Path


def write(path: Path | str, tensors: dict[str, Tensor], card: Card) -> Checkpoint:
    """Write `path` (safetensors) and the card beside it (same name, .json), each atomically.

    The card comes last and holds the hash of the tensors: a card that is there and agrees with
    its file vouches for both, whenever the power went off.

    Args:
        path: ends in .safetensors.
        tensors: by name; copied to the CPU.
        card: JSON values.

    Raises:
        ValueError: path has another ending, or the card holds something that JSON cannot.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name}")
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    data = to_bytes(tensors)
    card = {**card, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    try:
        text = json.dumps(card, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"card must hold JSON values only: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    # Same name again: without its old card the file in between vouches for nothing.
    path.with_suffix(".json").unlink(missing_ok=True)
    _replace(path, data)
    _replace(path.with_suffix(".json"), text.encode())
    return Checkpoint(tensors, card, path)


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
    return card


def save(
    folder: Path | str, tensors: dict[str, Tensor], card: Card, *, step: int, keep: int = 2
) -> Checkpoint:
    """Write step_<step>.safetensors into `folder` and delete all but the newest `keep`.

    Args:
        folder: made if it is not there.
        tensors, card: as for `write`.
        step: >= 0, decides which checkpoint is the newest.
        keep: >= 1; the default keeps one to fall back on.

    Raises:
        ValueError: step or keep is out of range.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be >= 0 and keep >= 1, got step={step}, keep={keep}")
    written = write(Path(folder) / f"step_{step:09d}.safetensors", tensors, card)
    for path in _by_age(folder)[keep:]:
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
    return sorted(Path(folder).glob("step_*.safetensors"), reverse=True)


def _replace(path: Path, data: bytes) -> None:
    """All of `data` or the file as it was: never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the folder's entry must reach the disk, too
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load_unet(path: Path | str) -> tuple[UNet | EpsFromV, Card]:
    """Build the U-Net of a card's "config" and give it the file's weights, as float32.

    It answers with eps_hat, also where the card says that it predicts v inside.

    Args:
        path: ends in .safetensors.

    Returns:
        The network in eval mode, and its card.

    Raises:
        CheckpointError: the file is bad or holds no such network.
    """
    checkpoint = read(path)
    try:
        net = UNet(UNetConfig(**checkpoint.card["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no U-Net ({error!r})") from None
    return _answering_eps(_filled(net, checkpoint), checkpoint), checkpoint.card


def _answering_eps(net: UNet, checkpoint: Checkpoint) -> UNet | EpsFromV:
    card = checkpoint.card
    if card.get("predicts", "eps") == "eps":
        return net
    makers = {"cosine": cosine_schedule, "linear": linear_schedule}
    if card["predicts"] != "v" or card.get("schedule") not in makers:
        raise CheckpointError(
            f"{checkpoint.path}: the card says that it predicts {card['predicts']!r} with the "
            f"schedule {card.get('schedule')!r}; known are eps and v, cosine and linear"
        )
    return EpsFromV(net, makers[card["schedule"]](card["T"]).alpha_bar).eval()


def load_mlp(path: Path | str) -> tuple[MLP, Card]:
    """As `load_unet`, for the MLP of a card's "config"."""
    checkpoint = read(path)
    try:
        net = MLP(**checkpoint.card["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the card describes no MLP ({error!r})") from None
    return _filled(net, checkpoint), checkpoint.card


def load_shipped(name: str = "fashion_unet") -> tuple[UNet | EpsFromV, Card]:
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
