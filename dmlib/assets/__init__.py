"""Shipped weights and images, each with a card (JSON) that names its origin and hash."""

from pathlib import Path

ASSETS = Path(__file__).parent
