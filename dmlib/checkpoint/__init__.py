"""Networks on disk: safetensors beside a card, written whole or not at all."""

from dmlib.checkpoint.networks import (
    Card,
    Checkpoint,
    CheckpointError,
    latest,
    load_mlp,
    load_pictures,
    load_points,
    load_shipped,
    load_unet,
    load_words,
    read,
    save,
    write,
)

__all__ = [
    "Card",
    "Checkpoint",
    "CheckpointError",
    "latest",
    "load_mlp",
    "load_pictures",
    "load_points",
    "load_shipped",
    "load_unet",
    "load_words",
    "read",
    "save",
    "write",
]
