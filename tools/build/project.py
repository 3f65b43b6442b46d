"""Facts about the project that several tools need, read from the one place where each stands."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import yaml

PUBLISHED = (
    "published"  # the branch that the workflow pushes: notebooks, and the wheel they install
)
ROOT = Path(__file__).resolve().parents[2]


def repository() -> str:
    """The repository's address: DMLIB_REPOSITORY if set (a fork's workflow), else pyproject's."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    address = os.environ.get("DMLIB_REPOSITORY") or pyproject["project"]["urls"]["Repository"]
    return address.rstrip("/").removesuffix(".git")


def is_published() -> bool:
    """Whether the repository publishes this build: only then is there a branch to run from."""
    return bool(os.environ.get("DMLIB_REPOSITORY"))


def owner_and_name() -> tuple[str, str]:
    """("owner", "name") of the repository on its host."""
    owner, name = repository().split("/")[-2:]
    return owner, name


def book_url() -> str:
    """Where the book is published: DMLIB_BOOK_URL if set, else the repository's Pages address."""
    owner, name = owner_and_name()
    address = os.environ.get("DMLIB_BOOK_URL") or f"https://{owner}.github.io/{name}"
    return address.rstrip("/")


def toc_pages() -> list[str]:
    """Every page of _toc.yml without its suffix, in reading order, the root first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]
