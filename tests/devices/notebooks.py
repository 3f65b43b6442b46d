"""Run the code cells of notebooks on the emulated device: notebooks.py CAPABILITY NOTEBOOK...

A process of its own; tests/devices/test_devices.py starts it. The recipe "smoke" is cut down to a
few steps. Prints a line for each cell that fails, and as JSON what ran.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

import emulator  # before torch
import matplotlib as mpl
import torch

mpl.use("Agg")


def shorten() -> None:
    """Make "smoke" a matter of seconds."""
    from dmlib.training import recipes

    smoke = recipes.SMOKE
    net = replace(smoke.net, widths=(16, 16), emb_dim=16)
    train = replace(smoke.train, steps=6, warmup=2)
    every = {"preview_every": 6, "save_every": 3, "log_every": 2}
    short = replace(smoke, net=net, train=train, batch_size=8, **every)
    recipes.RECIPES = tuple(short if p is smoke else p for p in recipes.RECIPES)
    recipes.SMOKE = short


def run(path: Path) -> tuple[int, list[str]]:
    """Number of cells that ran, and a sentence for each that failed."""
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    names, failed, ran = {"__name__": "__main__", "display": lambda *a, **k: None}, [], 0
    for i, cell in enumerate(cells):
        source = "".join(cell["source"])
        if "%pip" in source:
            continue
        ran += 1
        stub = "stub" in cell["metadata"].get("tags", [])
        try:
            exec(compile(source, f"<{path.stem} {i}>", "exec"), names)
        except Exception as error:
            if not (stub and isinstance(error, NotImplementedError)):
                failed.append(f"{path.stem}, cell {i}: {told(error)}\n    {source[:300]!r}")
    return ran, failed


def told(error: BaseException) -> str:
    """The error with the lines of ours that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "torch" not in f.filename]
    return f"{type(error).__name__}: {str(error)[:300]} @ {places[-4:]}"


def main(capability: str, *paths: str) -> int:
    torch.set_num_threads(1)
    notebooks = [Path(path).resolve() for path in paths]
    emulator.install(capability=tuple(map(int, capability.split("."))))
    os.chdir(tempfile.mkdtemp())
    shorten()
    ran, failed = {}, []
    with emulator.on():
        for path in notebooks:
            ran[path.stem], faults = run(path)
            failed += faults
    print(*failed, json.dumps(ran), sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
