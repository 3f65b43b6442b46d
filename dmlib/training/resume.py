"""A training as tensors and a card, and back: nothing is lost, the next step is the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from dmlib.checkpoint import Card, Checkpoint, CheckpointError, read
from dmlib.checkpoint.cards import TRAINING, check_same_schedule, schedule_fields, whole_number
from dmlib.training.loop import Training

KIND = TRAINING


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
        "slots": len(training.optimizer.state),
        "train": asdict(training.config),
        **schedule_fields(training.schedule),
    }
    return tensors, card


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put `training` back to where `state` was taken; on one CPU process bit for bit.

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
        for part in ("net", "ema"):
            _check_names(training.net, parts, part)
        slots = _slots(training, parts.get("optimizer", {}), card)
        _check_random(training, parts.get("random", {}))
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    training.net.load_state_dict(parts["net"])
    training.ema.net.load_state_dict(parts["ema"])
    _restore_optimizer(training, slots)
    training.generator.set_state(parts["random"]["training"])
    torch.set_rng_state(parts["random"]["torch"])
    if training.device.type == "cuda" and "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"], training.device)
    training.step, training.ema.updates = step, updates


def load_weights(path: Path | str, net: nn.Module, *, part: str = "ema") -> nn.Module:
    """Give `net` the weights alone out of a training's checkpoint, to sample with.

    Args:
        path: of a step_<step>.safetensors.
        net: of the kind that was trained, `recipe.make_net()`; it is filled in place.
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
        raise ValueError(f"holds another network ({part}: {odd[0]} differs)")


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


def _check_random(training: Training, random: dict[str, Tensor]) -> None:
    devices = {"training": training.device, "torch": torch.device("cpu")}
    if training.device.type == "cuda" and "cuda" in random:
        devices["cuda"] = training.device
    for name, device in devices.items():
        if name not in random:
            raise ValueError(f"holds no random state (random.{name})")
        try:
            torch.Generator(device).set_state(random[name])
        except (RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"random.{name} is no random state of the device {device.type} ({reason}); try: "
                "go on on the kind of device that the run began on"
            ) from None


def _restore_optimizer(training: Training, slots: dict[int, dict[str, Tensor]]) -> None:
    whole = training.optimizer.state_dict()
    training.optimizer.load_state_dict({**whole, "state": slots})
    for parameter, values in training.optimizer.state.items():
        for key, x in values.items():
            if x.shape == parameter.shape:
                # In the weight's own memory order (channels_last), as the optimizer made it.
                values[key] = torch.empty_like(parameter).copy_(x)
