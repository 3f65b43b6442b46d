"""What the buttons of a published book open: tried with a bare repository as the fork."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))

pytestmark = [
    pytest.mark.notebooks,
    # jupyter_client's and zmq's own housekeeping, not ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """(clone of the branch, what its server has under "raw"): pushed as the workflow pushes it."""
    home = tmp_path_factory.mktemp("fork")
    web = home / "web" / "jane" / "own-book"
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=home / "web")
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/jane/own-book"
    env = os.environ | {"DMLIB_REPOSITORY": address, "GITHUB_SHA": "0" * 40}
    command = [sys.executable, ROOT / "tools" / "build" / "publish.py", home / "published"]
    subprocess.run(command, check=True, env=env, timeout=200, capture_output=True)
    bare, clone = home / "own-book.git", home / "clone"
    subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
    (push,) = (step["run"] for step in WORKFLOW["jobs"]["notebooks"]["steps"] if "run" in step)
    for _ in range(2):  # a second publication takes the place of the first
        subprocess.run(["rm", "-rf", home / "published" / ".git"], check=True)
        subprocess.run(
            ["bash", "-e", "-c", push],
            check=True, cwd=home / "published", env=env | {"REMOTE": str(bare)},
        )  # fmt: skip
    subprocess.run(["git", "clone", "-q", "-b", "published", bare, clone], check=True)
    (web / "raw").mkdir(parents=True)
    (web / "raw" / "published").symlink_to(clone)
    yield clone, address
    server.shutdown()


def first_cells(notebook: Path, guest, folder: Path, tmp_path, monkeypatch) -> str:
    """Run a notebook's installing cell in `folder`, then say where dmlib comes from."""
    monkeypatch.setenv("JUPYTER_PATH", str(guest.jupyter))
    cells = nbformat.read(notebook, as_version=4).cells[:1]
    cells.append(nbformat.v4.new_code_cell("import dmlib; print(dmlib.__file__)"))
    cells.append(nbformat.v4.new_code_cell("import torch, numpy; print(torch.__file__)"))
    short = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        short, timeout=120, kernel_name="guest", resources={"metadata": {"path": str(folder)}}
    )
    # PIP_NO_INDEX: what the branch does not carry, and is not there, cannot be got.
    env = guest.env(tmp_path) | {"PIP_NO_INDEX": "1", "no_proxy": "127.0.0.1"}
    client.execute(env=env)
    assert Path(short.cells[2].outputs[0]["text"].strip()).is_relative_to(guest.lent)
    return short.cells[1].outputs[0]["text"].strip()


@pytest.mark.slow
def test_branch_holds_the_notebooks_with_the_forks_addresses_and_the_wheel(fork):
    clone, address = fork
    committed = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(path.name for path in (clone / "notebooks").glob("*.ipynb")) == committed
    assert len(list(clone.glob("dmlib-*.whl"))) == 1
    text = (clone / "notebooks" / "01_forward_process.ipynb").read_text("utf-8")
    assert f"{address}/raw/published/dmlib-" in text
    assert "https://jane.github.io/own-book/book/" in text
    assert "diffusion-book" not in text
    log = subprocess.run(
        ["git", "-C", clone, "log", "--format=%s"], capture_output=True, text=True, check=True
    )
    assert log.stdout.splitlines() == [f"Built from {'0' * 40}"]
    assert (clone / "binder" / "runtime.txt").read_text() == "python-3.11\n"


@pytest.mark.slow
def test_first_cell_installs_what_lies_beside_it(fork, newcomer, tmp_path, monkeypatch):
    clone, _ = fork
    notebook = clone / "notebooks" / "01_forward_process.ipynb"
    found = first_cells(notebook, newcomer, clone / "notebooks", tmp_path, monkeypatch)
    assert Path(found).is_relative_to(newcomer.site_packages)


@pytest.mark.slow
def test_first_cell_alone_takes_the_wheel_of_the_fork(fork, newcomer, tmp_path, monkeypatch):
    clone, _ = fork
    (tmp_path / "content").mkdir()  # as on Colab: the notebook and nothing else
    notebook = clone / "notebooks" / "01_forward_process.ipynb"
    found = first_cells(notebook, newcomer, tmp_path / "content", tmp_path, monkeypatch)
    assert Path(found).is_relative_to(newcomer.site_packages)


@pytest.mark.slow
def test_another_wheel_than_the_notebook_was_built_with_is_refused(
    fork, newcomer, tmp_path, monkeypatch
):
    clone, _ = fork
    text = (clone / "notebooks" / "01_forward_process.ipynb").read_text("utf-8")
    start = text.index("#sha256=") + len("#sha256=")
    notebook = tmp_path / "changed.ipynb"
    notebook.write_text(text[:start] + "0" * 64 + text[start + 64 :], "utf-8")
    with pytest.raises(Exception, match="No module named 'dmlib'"):
        first_cells(notebook, newcomer, tmp_path, tmp_path, monkeypatch)
