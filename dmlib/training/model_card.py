"""What a trained network is, for whoever gets the file: a card as JSON, and as text to read."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from dmlib import checkpoint
from dmlib.checkpoint import Card
from dmlib.checkpoint.cards import schedule_fields
from dmlib.models import UNetConfig
from dmlib.training import batches
from dmlib.training.loop import Training
from dmlib.training.recipes import Recipe

DATA = {
    batches.sample: "2,000 training images of Fashion-MNIST (shipped with dmlib), MIT licence",
    batches.fashion: "Fashion-MNIST, training split (60,000 images), Xiao, Rasul and Vollgraf "
    "2017, MIT licence",
    batches.cifar: "CIFAR-10, training split (50,000 images), Krizhevsky 2009",
}


def card_of(
    recipe: Recipe,
    training: Training,
    *,
    seconds: float,
    data: str | None = None,
    names: Sequence[str] = (),
) -> Card:
    """The card of a run's averaged weights: what they are, and what one needs to make them again.

    Args:
        recipe: that was trained.
        training: as it stands.
        seconds: that the steps took.
        data: what it was trained on, where it is not the recipe's data set.
        names: of the classes, where they have some.

    Returns:
        JSON values; "metrics" is empty until `add_metrics`.
    """
    return {
        "kind": "dmlib unet",
        "what": "U-Net that predicts the noise in an image; averaged (EMA) weights",
        "data": data or DATA.get(recipe.data, "data of one's own"),
        "class_names": list(names),
        "input": "images in [-1, 1], (B, C, H, W); t in 1..T",
        "config": asdict(recipe.net),
        "recipe": recipe.described(),
        "predicts": training.net.predicts,
        **schedule_fields(training.schedule),
        "command": "dmlib.training.session.Session(recipe, ...)" if data else command(recipe),
        "steps": training.step,
        "finished": training.step >= recipe.train.steps,
        "images_seen": training.step * recipe.batch_size * recipe.train.accumulation,
        "seconds": round(seconds),
        "seed": recipe.train.seed,
        "device": device_name(training.device),
        "precision": str(training.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "revision": revision(),
        "written": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "metrics": {},
    }


def command(recipe: Recipe) -> str:
    """The command that trains the recipe (changed by hand: as far as the command can say it)."""
    train = recipe.train
    return (
        f"python -m dmlib.training --recipe {recipe.name} --steps {train.steps} "
        f"--batch-size {recipe.batch_size} --accumulation {train.accumulation} --seed {train.seed}"
    )


def write_weights(path: Path, tensors: dict[str, Any], card: Card) -> Path:
    """Write weights, their JSON card and MODEL_CARD.md into one folder; return the first's path."""
    written = checkpoint.write(path, tensors, card)
    path.with_name("MODEL_CARD.md").write_text(to_markdown(written.card), encoding="utf-8")
    return written.path


def add_metrics(path: Path, metrics: dict[str, Any]) -> Card:
    """Put what was measured into the card of the weights at `path`, and into its text.

    Args:
        path: of the .safetensors file.
        metrics: JSON values by name; the name says how it was measured.

    Returns:
        The new card.

    Raises:
        CheckpointError: the file is damaged: then nothing is written.
    """
    found = checkpoint.read(path)
    card = {k: v for k, v in found.card.items() if k not in ("sha256", "bytes")}
    card["metrics"] = {**card.get("metrics", {}), **metrics}
    write_weights(Path(path), found.tensors, card)
    return card


def to_markdown(card: Card) -> str:
    """The card as a page of text, in the order in which a reader asks."""
    net = card["config"]
    rows = [f"| {name} | {value} |" for name, value in card.get("metrics", {}).items()]
    measured = ["| measured | value |", "|---|---|", *rows] if rows else ["Nothing measured yet."]
    state = "to its end" if card["finished"] else "stopped before its end"
    height, width = UNetConfig(**net).shape[1:]
    kind = "unconditional" if net["num_classes"] is None else f"{net['num_classes']} classes"
    lines = [
        f"# Model card: {card['recipe']['name']}",
        "",
        f"{card['what']} ({kind}, {height} x {width} pixels, "
        f"{net['channels']} channel{'s' * (net['channels'] > 1)}).",
        "",
        f"- **Trained on** {card['data']}",
        f"- **Training** {card['steps']:,} steps, {card['images_seen']:,} images seen, "
        f"{card['seconds'] / 60:.1f} minutes, {state}",
        f"- **Device** {card['device']}, {card['precision']}, torch {card['torch']}",
        f"- **Recipe** schedule {card['schedule']}, T = {card['T']}, predicts {card['predicts']} "
        f"inside, EMA {card['recipe']['train']['ema_decay']}, seed {card['seed']}",
        f"- **Command** `{card['command']}`",
        f"- **Revision** {card['revision']}, written {card['written']}",
        "",
        "## How good",
        "",
        *measured,
        "",
        "## Use",
        "",
        "```python",
        "from dmlib.checkpoint import load_unet",
        "",
        'net, card = load_unet("weights.safetensors")  # net(xt, t, y) -> Guess',
        "```",
        "",
        "## Limits",
        "",
        "Made for learning. It knows its training images and nothing else; whether it repeats some "
        "of them can be looked at with `dmlib.metrics.nearest_neighbours`.",
        "",
        f"SHA-256 of the weights: `{card['sha256']}`",
        "",
    ]
    return "\n".join(lines)


def device_name(device: torch.device) -> str:
    """The device in words: a GPU's name, or the processor and its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{device.type.upper()} {name}, {torch.get_num_threads()} threads"


def revision() -> str:
    """The commit of the checkout, if this is one and git is there."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return "unknown (no git)"
    return run.stdout.strip() or "not in a git checkout"
