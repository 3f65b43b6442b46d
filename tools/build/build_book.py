"""Build the book strictly, and believe the output rather than the exit code."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from myst_nb.core.read import is_myst_markdown_notebook
from project import ROOT, toc_pages

HTML = ROOT / "_build" / "html"
CACHE = ROOT / "_build" / ".jupyter_cache"


def library_hash() -> str:
    """SHA-256 over dmlib and figures.py: the execution cache sees the chapters' cells alone."""
    digest = hashlib.sha256()
    drawing = [ROOT / "tools" / "build" / "figures.py"]
    for path in sorted([*(ROOT / "dmlib").rglob("*"), *drawing]):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def forget_stale_outputs() -> None:
    """Throw the execution cache away when the library has changed since it was filled."""
    stamp = ROOT / "_build" / "dmlib.sha256"
    now = library_hash()
    if not stamp.exists() or stamp.read_text() != now:
        shutil.rmtree(CACHE, ignore_errors=True)
        # Pages whose source is unchanged would keep the old outputs, too.
        shutil.rmtree(ROOT / "_build" / ".doctrees", ignore_errors=True)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(now)


def missing_pages() -> list[str]:
    """Pages of the table of contents that the build did not write, or wrote without content."""
    pages = [HTML / f"{page}.html" for page in toc_pages()]
    return [
        str(page.relative_to(ROOT))
        for page in pages
        if not page.exists() or "<h1>" not in page.read_text("utf-8")
    ]


def kernel_environment() -> dict[str, str]:
    """The environment in which the chapters run: IPython shows figures as figures.py has it."""
    directory = ROOT / "_build" / "ipython"
    startup = directory / "profile_default" / "startup"
    shutil.rmtree(directory, ignore_errors=True)
    startup.mkdir(parents=True)
    tools = str(Path(__file__).parent)
    (startup / "show.py").write_text(
        f"import sys\nsys.path.append({tools!r})\nimport figures\nfigures.install()\n"
        "sys.path.remove(sys.path[-1])\ndel figures, sys\n"
    )
    config = startup.parent / "ipython_kernel_config.py"
    config.write_text('c.InlineBackend.figure_formats = {"svg"}\n')
    return os.environ | {"IPYTHONDIR": str(directory)}


def execute_chapters() -> None:
    """Run the chapters that are not in the cache, as many at once as there are cores.

    Jupyter Book would run one after the other. jupyter-cache, whose cache it reads, has an executor
    for several; what fails here stays out of the cache, and the build runs it again and reports it.
    One thread each: kernels with a thread for every core wait for each other (tried: ten times as
    long).
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    cache = get_cache(CACHE)
    for page in toc_pages():
        source = ROOT / f"{page}.md"
        if is_myst_markdown_notebook(source.read_text("utf-8")):
            reader = {"type": "plugin", "name": "myst_nb_md"}
            cache.add_nb_to_project(str(source), read_data=reader)
    timeout = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["execute"]["timeout"]
    load_executor("temp-parallel", cache).run_and_cache(timeout=timeout)


def main() -> int:
    """Build; return the exit status."""
    forget_stale_outputs()
    os.environ.update(kernel_environment())
    execute_chapters()
    command = ["jupyter-book", "build", str(ROOT), "-W", "-n", "--keep-going"]
    status = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]]
    ).returncode
    if status:
        print("The build failed: every warning is an error, see above.", file=sys.stderr)
        return status
    if lost := missing_pages():
        print("Pages of _toc.yml that are not in the output:", *lost, sep="\n  ", file=sys.stderr)
        return 1
    print(f"\nThe book is ready: {HTML / 'index.html'}\nor `make serve` to read it on loopback.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
