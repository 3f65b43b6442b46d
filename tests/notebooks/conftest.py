"""An environment like Colab's: everything is installed, dmlib comes as a wheel, no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Guest:
    """A Python that has what this one has, and dmlib from the wheel."""

    python: Path
    site_packages: Path  # what was installed into it: only dmlib
    lent: Path  # what it borrows from this environment
    report: dict  # pip's account of what it installed
    jupyter: Path

    def env(self, home: Path) -> dict[str, str]:
        """Variables for its processes: nothing of the checkout, and no way to the network."""
        nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        kept |= nowhere | {"HOME": str(home), "IPYTHONDIR": str(home / ".ipython")}
        return kept | {
            "MPLCONFIGDIR": str(home / ".matplotlib"),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
        }


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the checkout as it is."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


def new_guest(home: Path) -> Guest:
    """A virtual environment that borrows every package but dmlib."""
    lent = home / "lent"
    lent.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "dmlib" not in entry.name and entry.suffix != ".pth":
            (lent / entry.name).symlink_to(entry)
    venv = home / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    python = venv / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    site_packages = Path(found.stdout.strip())
    (site_packages / "lent.pth").write_text(f"{lent}\n")
    kernel = home / "jupyter" / "kernels" / "guest"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "guest", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return Guest(python, site_packages, lent, {}, home / "jupyter")


@pytest.fixture(scope="session")
def guest(wheel, tmp_path_factory) -> Guest:
    """A guest that has got the wheel."""
    home = tmp_path_factory.mktemp("guest")
    guest = new_guest(home)
    # --no-index: whatever is not there already cannot be got, so nothing can be replaced.
    command = [guest.python, "-m", "pip", "install", "--no-index", "--quiet", "--report"]
    subprocess.run([*command, home / "r.json", wheel], check=True, capture_output=True, timeout=120)
    return replace(guest, report=json.loads((home / "r.json").read_text()))


@pytest.fixture
def newcomer(tmp_path) -> Guest:
    """A guest without dmlib, as a fresh Colab."""
    home = tmp_path / "newcomer"
    home.mkdir()
    return new_guest(home)
