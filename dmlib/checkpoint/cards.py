"""Fields of a card, written and believed only after a look; errors name the field, not the file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule

TRAINING = "dmlib training"  # the "kind" of a training's whole state
MAKERS = {"cosine": cosine_schedule, "linear": linear_schedule}


def whole_number(card: dict[str, Any], name: str, *, low: int) -> int:
    """The card's field `name`, or ValueError: it is missing, no whole number, or below `low`."""
    value = card.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"the card's {name} must be a whole number >= {low}, got {value!r}")
    return value


def schedule_fields(schedule: NoiseSchedule) -> dict[str, Any]:
    """What tells one schedule from another: its name, T, and alpha_bar at up to 17 times."""
    table = schedule.alpha_bar[_times(schedule.T)]
    return {"schedule": schedule.name, "T": schedule.T, "alpha_bar": table.tolist()}


def check_same_schedule(card: dict[str, Any], schedule: NoiseSchedule) -> None:
    """Raise unless the card's schedule is this one; cards of old say no more than name and T."""
    theirs = (card.get("schedule"), card.get("T"))
    if theirs != (schedule.name, schedule.T):
        raise ValueError(
            f"trained with the schedule {theirs[0]!r}, T = {theirs[1]!r}; here it is "
            f"{schedule.name!r}, T = {schedule.T}"
        )
    if "alpha_bar" not in card:
        return
    times = _times(schedule.T)
    ours = schedule.alpha_bar[times]
    try:
        table = torch.tensor(card["alpha_bar"], dtype=torch.float64)
    except (TypeError, ValueError):
        table = torch.empty(0)
    if table.shape != ours.shape:
        raise ValueError(
            f"the card's alpha_bar must be {len(ours)} numbers, got {card['alpha_bar']!r}"
        )
    # Computed on another machine, the last bits may differ.
    apart = ~torch.isclose(table, ours, rtol=1e-6, atol=1e-12)
    if apart.any():
        i = int(apart.nonzero()[0])
        raise ValueError(
            f"trained with another schedule of the name {schedule.name!r}: alpha_bar is "
            f"{table[i]:.6g} at t = {times[i]}, here it is {ours[i]:.6g}"
        )


def schedule_of(card: dict[str, Any]) -> NoiseSchedule:
    """The schedule that the card names, made again and compared with the card."""
    name = card.get("schedule")
    if not isinstance(name, str) or name not in MAKERS:
        raise ValueError(
            f'the card\'s schedule must be "cosine" or "linear" to be made from its name, got '
            f"{name!r}; try: fill a UNet from checkpoint.read(path).tensors, and make a denoiser "
            "with your own schedule, predicts_v(net, schedule)"
        )
    schedule = MAKERS[name](whole_number(card, "T", low=1))
    check_same_schedule(card, schedule)
    return schedule


def _times(T: int) -> Tensor:
    """0..T in at most 16 equal steps, as far as whole numbers can be equally far apart."""
    return torch.linspace(0, T, min(T, 16) + 1, dtype=torch.float64).round().long()
