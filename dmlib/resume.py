"""A training as tensors and a card, and back: nothing is lost, the next step is the same."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor

from dmlib.checkpoint import Card, Checkpoint, CheckpointError
from dmlib.training import Training

KIND = "dmlib training"


def state(training: Training) -> tuple[dict[str, Tensor], Card]:
    """Everything that the next step depends on: weights, average, optimizer, step, random state.

    Args:
        training: between two steps.

    Returns:
        Tensors by name and a card, as `checkpoint.save` takes them.
    """
    tensors = {f"net.{k}": x for k, x in training.net.state_dict().items()}
    tensors |= {f"ema.{k}": x for k, x in training.ema.net.state_dict().items()}
    for i, slots in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": x for k, x in slots.items()}
    tensors["random.training"] = training.generator.get_state()
    tensors["random.torch"] = torch.get_rng_state()  # dropout draws from it
    if training.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(training.device)
    card = {
        "kind": KIND,
        "step": training.step,
        "ema_updates": training.ema.updates,
        "train": asdict(training.config),
        "schedule": training.schedule.name,
        "T": training.schedule.T,
    }
    return tensors, card


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put `training` back to where `state` was taken; on one CPU process bit for bit.

    Args:
        training: made with the same network, schedule and optimizer settings.
        checkpoint: read from disk.

    Raises:
        CheckpointError: it is no training's, or another network's or schedule's.
    """
    card, path = checkpoint.card, checkpoint.path
    if card.get("kind") != KIND:
        raise CheckpointError(f"{path}: no state of a training (kind: {card.get('kind')!r})")
    ours = (training.schedule.name, training.schedule.T)
    if (card["schedule"], card["T"]) != ours:
        raise CheckpointError(
            f"{path}: trained with the schedule {card['schedule']!r}, T = {card['T']}; "
            f"this training has {ours[0]!r}, T = {ours[1]}"
        )
    parts = _parts(checkpoint.tensors)
    _check_names(training, parts, path=str(path))
    training.net.load_state_dict(parts["net"])
    training.ema.net.load_state_dict(parts["ema"])
    _restore_optimizer(training, parts.get("optimizer", {}))
    training.generator.set_state(parts["random"]["training"])
    torch.set_rng_state(parts["random"]["torch"])
    if training.device.type == "cuda" and "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"], training.device)
    training.step, training.ema.updates = card["step"], card["ema_updates"]


def _parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, x in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = x
    return parts


def _check_names(training: Training, parts: dict[str, dict[str, Tensor]], *, path: str) -> None:
    expected = {k: x.shape for k, x in training.net.state_dict().items()}
    for part in ("net", "ema"):
        got = {k: x.shape for k, x in parts.get(part, {}).items()}
        if got != expected:
            odd = sorted(k for k in expected.keys() | got.keys() if expected.get(k) != got.get(k))
            raise CheckpointError(f"{path}: holds another network ({part}: {odd[0]} differs)")
    if not {"training", "torch"} <= parts.get("random", {}).keys():
        raise CheckpointError(f"{path}: holds no random state")


def _restore_optimizer(training: Training, flat: dict[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, x in flat.items():
        i, _, key = name.partition(".")
        slots.setdefault(int(i), {})[key] = x
    whole = training.optimizer.state_dict()
    training.optimizer.load_state_dict({**whole, "state": slots})
    for parameter, values in training.optimizer.state.items():
        for key, x in values.items():
            if x.shape == parameter.shape:
                # In the weight's own memory order (channels_last), as the optimizer made it.
                values[key] = torch.empty_like(parameter).copy_(x)
