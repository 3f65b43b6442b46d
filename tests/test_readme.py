"""The README's code runs as it is printed, in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


def test_readme_has_code():
    assert BLOCKS


@pytest.mark.parametrize("code", BLOCKS)
def test_code_runs_and_goes_on_where_it_stopped(code, tmp_path):
    check = "\nassert samples.shape == (4, 3, 32, 32) and samples.isfinite().all()\n"
    command = [sys.executable, "-W", "error", "-c", code + check]
    for steps in (["1", "2", "3", "4"], []):  # the second run finds the first one's checkpoint
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()] == steps
    assert len(list(tmp_path.glob("run/step_*.safetensors"))) == 2
