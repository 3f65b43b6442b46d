"""The branch that the Colab, Kaggle and Binder buttons of a published book lead to.

python tools/build/publish.py FOLDER

It holds the notebooks as the publishing repository built them (with its address, a fork's with the
fork's), the wheel of `dmlib` that they install, and what Binder needs. The workflow pushes FOLDER.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_notebooks
from notebooks.chapter import Library
from project import PUBLISHED, ROOT, book_url, repository

README = """\
# The notebooks of *Diffusion models, step by step*

Built from [the book's repository]({repository}); [read the book]({book}). This branch is written
anew by every publication: change the pages in `book/` instead.
"""


def build_wheel(out: Path) -> Path:
    """The wheel of the checkout, in `out`."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = out.glob("dmlib-*.whl")
    return wheel


def library(wheel: Path) -> Library:
    """The wheel beside the notebooks, else on the branch; pip compares its hash."""
    beside = f"../{wheel.name}"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    address = f"{repository()}/raw/{PUBLISHED}/{wheel.name}#sha256={digest}"
    return Library(beside, beside, address)


def write_binder(out: Path, wheel: Path) -> None:
    """What repo2docker reads: a pinned Python, the CPU build of torch, the wheel."""
    (out / "binder").mkdir()
    (out / "binder" / "runtime.txt").write_text("python-3.11\n")
    lines = ["--extra-index-url https://download.pytorch.org/whl/cpu", "torch", "jupyterlab>=4"]
    (out / "binder" / "requirements.txt").write_text("\n".join([*lines, f"./{wheel.name}"]) + "\n")


def main(arguments: list[str]) -> int:
    """Write the branch's files into a new folder; return the exit status."""
    if len(arguments) != 1 or Path(arguments[0]).exists():
        print("usage: python tools/build/publish.py NEW_FOLDER", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    out.mkdir(parents=True)
    wheel = build_wheel(out)
    built = build_notebooks.build(
        ROOT, url=book_url(), address=repository(), library=library(wheel)
    )
    build_notebooks.write(built, out / "notebooks")
    write_binder(out, wheel)
    (out / "README.md").write_text(README.format(repository=repository(), book=book_url()))
    print(f"{len(built)} notebooks and {wheel.name} in {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
