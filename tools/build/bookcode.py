"""Code on the page: lines of at most 78 letters, as the column is that wide.

The chapters' cells may be as wide as any code here (100). A block with a longer line is set anew by
ruff for the page alone; the notebooks keep the cells as they are.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from docutils import nodes

LETTERS = 78
LANGUAGES = ("python", "ipython", "ipython3")


def narrowed(code: str) -> str:
    """The same code with shorter lines; as it was where it is not plain Python."""
    if all(len(line) <= LETTERS for line in code.splitlines()):
        return code
    bare = textwrap.dedent(code)
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "format", "--isolated", "--line-length", str(LETTERS), "-"]
    done = subprocess.run(command, input=bare, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        return code
    ends = ";" if code.rstrip().endswith(";") else ""  # it keeps a cell from showing its value
    return done.stdout.rstrip("\n") + ends


def narrow_code(app, doctree: nodes.document) -> None:
    """Every block of Python on a page."""
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") in LANGUAGES:
            code = block.astext()
            if (new := narrowed(code)) != code:
                block.children = [nodes.Text(new)]
                block.rawsource = new


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("doctree-read", narrow_code)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
