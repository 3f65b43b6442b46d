"""Each notebook runs from an empty folder with only the built wheel, as it would on Colab."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Those that need the most of the wheel: widgets, weights, recordings, the grader.
ON_EVERY_PUSH = {
    "00_introduction", "05_training", "10_words_to_pictures", "11_which_pixel_is_what",
    "12_shapes_in_space", "13_picture_to_picture", "teaching",
}  # fmt: skip

pytestmark = [
    pytest.mark.notebooks,
    # jupyter_client's and zmq's own housekeeping, not ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dmlib"}
    listed = subprocess.run(
        ["git", "ls-files", "dmlib"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(listed) - set(names) == set()
    assert not [name for name in names if "__pycache__" in name]


def test_installing_the_wheel_leaves_torch_and_numpy_alone(guest):
    installed = {item["metadata"]["name"] for item in guest.report["install"]}
    assert installed == {"dmlib"}
    code = "import torch, numpy; print(torch.__file__, numpy.__file__, sep='\\n')"
    run = [guest.python, "-c", code]
    found = subprocess.run(run, check=True, capture_output=True, text=True, timeout=120).stdout
    assert all(Path(line).is_relative_to(guest.lent) for line in found.split())


def test_installed_library_does_not_come_from_the_checkout(guest, tmp_path):
    code = "import dmlib; print(dmlib.__file__)"
    found = subprocess.run(
        [guest.python, "-c", code], check=True, capture_output=True, text=True,
        cwd=tmp_path, env=guest.env(tmp_path), timeout=120,
    ).stdout  # fmt: skip
    assert Path(found.strip()).is_relative_to(guest.site_packages)


def changed(*folders: str) -> list[str]:
    """Files in these folders that are not as they are committed."""
    command = ["git", "status", "--porcelain", "--", *folders]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_committed_notebooks_are_what_the_chapters_build():
    """`make test` has just built them: whoever has not touched the book finds them unchanged."""
    assert NOTEBOOKS
    if changed("book", "tools/build", "_toc.yml", "_config.yml", "pyproject.toml"):
        pytest.skip("the book is being changed: its notebooks are committed with it")
    assert changed("notebooks") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_an_empty_folder(path, guest, tmp_path, monkeypatch):
    if path.stem not in ON_EVERY_PUSH and os.environ.get("DMLIB_EVERY_NOTEBOOK") != "1":
        pytest.skip("every week: the book's build has run the same cells, but not from a wheel")
    monkeypatch.setenv("JUPYTER_PATH", str(guest.jupyter))
    folder = tmp_path / "empty"
    folder.mkdir()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "stub" in cell.metadata.get("tags", []):  # unsolved exercises may stop with their error
            cell.metadata.tags.append("raises-exception")
    execute(notebook, folder, guest.env(tmp_path))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].outputs == []  # dmlib is there: nothing was installed
    tags = [tag for cell in code for tag in cell.metadata.get("tags", [])]
    assert tags.count("check") == tags.count("stub")  # every exercise has its check
    for cell in code:
        complaints = [o.text for o in cell.outputs if o.get("name") == "stderr"]
        assert not complaints, f"{cell.source}\n{complaints}"
        # An exercise's own check; a page may also show what a check says of a wrong answer.
        if "check" in cell.metadata.get("tags", []):
            assert "not yet" in shown(cell).lower(), f"{cell.source}\n{shown(cell)}"


def execute(notebook: nbformat.NotebookNode, folder: Path, env: dict[str, str]) -> None:
    """Run all cells in place; an error outside an exercise's stub raises."""
    client = NotebookClient(
        notebook, timeout=180, kernel_name="guest", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=env)


def shown(cell: nbformat.NotebookNode) -> str:
    """All text that a cell's outputs show."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [output.get("text", ""), data.get("text/html", ""), data.get("text/plain", "")]
    return "\n".join(parts)


def test_execute_stops_at_an_error_but_not_at_a_stub(guest, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(guest.jupyter))
    stub = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})
    import_ = nbformat.v4.new_code_cell("import dmlib; print(dmlib.__file__)")
    notebook = nbformat.v4.new_notebook(cells=[stub, import_])
    execute(notebook, tmp_path, guest.env(tmp_path))
    assert str(guest.site_packages) in shown(notebook.cells[1])
    notebook.cells[0].metadata.tags.remove("raises-exception")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(notebook, tmp_path, guest.env(tmp_path))
