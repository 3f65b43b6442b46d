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
def test_code_runs_as_it_is_printed(code, tmp_path):
    check = "\nassert samples.shape == (4, 3, 32, 32) and samples.isfinite().all()\n"
    command = [sys.executable, "-W", "error", "-c", code + check]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2", "3", "4"]


def test_the_example_is_a_dozen_lines_with_one_import_of_ours():
    code = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(code) <= 12
    assert sum("dmlib" in line for line in code) == 1
