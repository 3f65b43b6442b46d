"""A training as tensors and a card, and back: nothing is lost, the next step is the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dmlib._validate import check_real
from dmlib.checkpoint import Card, Checkpoint, CheckpointError, read
from dmlib.checkpoint.cards import TRAINING, check_same_schedule, schedule_fields, whole_number
from dmlib.training.loop import Training

KIND = TRAINING
SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}


def state(training: Training) -> tuple[dict[str, Tensor], Card]:
    """Everything that the next step depends on: weights, average, optimizer, scaler, step.

    No random state: what a step draws depends on the seed and the step's number alone.

    Args:
        training: between two steps.

    Returns:
        Tensors by name and a card, as `checkpoint.save` takes them.

    Raises:
        Diverged: the last step's loss or gradient is not finite.
    """
    training.settle()
    tensors = {f"net.{k}": x for k, x in training.net.state_dict().items()}
    tensors |= {f"ema.{k}": x for k, x in training.ema.net.state_dict().items()}
    for i, slots in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": x for k, x in slots.items()}
    card = {
        "kind": KIND,
        "step": training.step,
        "ema_updates": training.ema.updates,
        "slots": len(training.optimizer.state),
        "lost": training.lost,
        "scaler": training.scaler.state_dict(),  # {} but for float16
        "train": asdict(training.config),
        **schedule_fields(training.schedule),
    }
    return tensors, card


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put `training` back to where `state` was taken; on one CPU process bit for bit.

    It may be on another kind of device, or in another precision, than the one that was saved.

    Args:
        training: made with the same network, schedule, weighting and seed.
        checkpoint: read from disk.

    Raises:
        ValueError: checkpoint is none (a path, say).
        CheckpointError: it is no training's, or another network's, schedule's or recipe's, or
            something in it is missing or wrong: then `training` is left as it was.
    """
    if not isinstance(checkpoint, Checkpoint):
        kind = type(checkpoint).__name__
        raise ValueError(
            f"checkpoint must be a Checkpoint, got {kind}; try: dmlib.checkpoint.read(path)"
        )
    card, parts = checkpoint.card, _parts(checkpoint)
    try:
        check_same_schedule(card, training.schedule)
        _check_config(card, training)
        step, updates = (whole_number(card, name, low=0) for name in ("step", "ema_updates"))
        lost, scaler = _scaling(card)
        for part in ("net", "ema"):
            _check_names(training.net, parts, part)
        slots = _slots(training, parts.get("optimizer", {}), card)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    training.net.load_state_dict(parts["net"])
    training.ema.net.load_state_dict(parts["ema"])
    _restore_optimizer(training, slots)
    if scaler and training.scaler.is_enabled():
        training.scaler.load_state_dict(scaler)
    training.step, training.ema.updates, training.lost = step, updates, lost


def start_from(training: Training, path: Path | str) -> None:
    """Begin with given weights instead of random ones: optimizer and step number stay at 0.

    Args:
        training: not begun yet.
        path: weights that a run or dmlib has written (weights.safetensors), or a checkpoint of a
            run, whose averaged weights are taken.

    Raises:
        CheckpointError: the file is bad, or holds another network.
        ValueError: training has begun.
    """
    if training.step:
        raise ValueError(f"training must not have begun, got one after step {training.step}")
    found = read(path)
    whole = found.card.get("kind") == KIND
    own = {f"net.{name}": x for name, x in found.tensors.items()}
    weights = _parts(found).get("ema", {}) if whole else own
    try:
        _check_names(training.net, {"weights": weights}, "weights")
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    training.net.load_state_dict(weights)
    training.ema.net.load_state_dict(weights)


def load_weights(path: Path | str, net: nn.Module, *, part: str = "ema") -> nn.Module:
    """Give `net` the weights alone out of a training's checkpoint, to sample with.

    Args:
        path: of a step_<step>.safetensors.
        net: of the kind that was trained, `recipe.make_denoiser()`; it is filled in place.
        part: "ema", the averaged weights, or "net", those that the optimizer worked on.

    Returns:
        net, in eval mode.

    Raises:
        CheckpointError: the file is bad, is no training's, or holds another network.
        ValueError: part is neither.
    """
    if part not in ("ema", "net"):
        raise ValueError(f'part must be "ema" or "net", got {part!r}')
    parts = _parts(read(path))
    try:
        _check_names(net, parts, part)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    net.load_state_dict(parts[part])
    return net.eval()


def _parts(checkpoint: Checkpoint) -> dict[str, dict[str, Tensor]]:
    """A training's tensors by part: net, ema, optimizer, random."""
    kind = checkpoint.card.get("kind")
    if kind != KIND:
        raise CheckpointError(f"{checkpoint.path}: no state of a training (kind: {kind!r})")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, x in checkpoint.tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = x
    return parts


def _check_config(card: Card, training: Training) -> None:
    """What may not change on the way: the rest of the TrainConfig may."""
    train = card.get("train")
    for name in ("weighting", "seed"):
        ours = getattr(training.config, name)
        theirs = train.get(name, ours) if isinstance(train, dict) else ours
        if theirs != ours:
            raise ValueError(
                f"trained with {name} = {theirs!r}, here it is {ours!r}; try: the same {name}, or "
                "another folder"
            )


def _check_names(net: nn.Module, parts: dict[str, dict[str, Tensor]], part: str) -> None:
    expected, got = (
        {k: (x.shape, x.is_floating_point()) for k, x in tensors.items()}
        for tensors in (net.state_dict(), parts.get(part, {}))
    )
    if got != expected:
        odd = sorted(k for k in expected.keys() | got.keys() if expected.get(k) != got.get(k))
        raise ValueError(
            f"holds another network ({part}: {odd[0]} differs); try: the recipe that it was begun "
            "with, or another folder"
        )


def _slots(training: Training, flat: dict[str, Tensor], card: Card) -> dict[int, dict[str, Tensor]]:
    """Adam's moments by the number of their parameter, each looked at."""
    parameters = training.optimizer.param_groups[0]["params"]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, x in flat.items():
        i, _, key = name.partition(".")
        if not i.isdecimal() or int(i) >= len(parameters):
            raise ValueError(f"optimizer.{name} is of none of the {len(parameters)} parameters")
        slots.setdefault(int(i), {})[key] = x
    for i, slot in slots.items():
        got = {key: tuple(x.shape) for key, x in slot.items()}
        shape = tuple(parameters[i].shape)
        if got != {"step": (), "exp_avg": shape, "exp_avg_sq": shape}:
            raise ValueError(
                f"optimizer.{i} must be a step and exp_avg, exp_avg_sq {shape}, got {got}"
            )
    # A parameter that never got a gradient has no moments; a card of old does not count the rest.
    count = card.get("slots", len(slots))
    if len(slots) != count or (card["step"] > 0 and not slots):
        raise ValueError(f"Adam's moments are missing: {len(slots)} parameters have some")
    return slots


def _scaling(card: Card) -> tuple[int, dict[str, Any]]:
    """Steps lost in a row and the scaler's state; a card of old says nothing of them."""
    scaler = card.get("scaler", {})
    if not isinstance(scaler, dict) or (scaler and scaler.keys() != SCALER):
        raise ValueError(f"the card's scaler must be {{}} or hold {sorted(SCALER)}, got {scaler!r}")
    for name, value in scaler.items():
        check_real(f"the card's scaler.{name}", value, low=0)
    return whole_number({"lost": 0, **card}, "lost", low=0), scaler


def _restore_optimizer(training: Training, slots: dict[int, dict[str, Tensor]]) -> None:
    whole = training.optimizer.state_dict()
    training.optimizer.load_state_dict({**whole, "state": slots})
    for parameter, values in training.optimizer.state.items():
        for key, x in values.items():
            if x.shape == parameter.shape:
                # In the weight's own memory order (channels_last), as the optimizer made it.
                values[key] = torch.empty_like(parameter).copy_(x)
