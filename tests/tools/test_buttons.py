"""The buttons of a chapter lead to the repository that publishes it, or say that none does."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

import bookext  # noqa: E402


def launch(monkeypatch, repository):
    monkeypatch.delenv("DMLIB_REPOSITORY", raising=False)
    if repository:
        monkeypatch.setenv("DMLIB_REPOSITORY", repository)
    groups = bookext._buttons("book/02_kernel", lambda name, *_: f"../{name}")
    return {button["text"]: button["url"] for button in groups[0]["buttons"]}


@pytest.mark.parametrize("owner_and_name", ["jane/own-book", "anna/x"])
def test_buttons_of_a_fork_open_the_forks_branch(monkeypatch, owner_and_name):
    found = launch(monkeypatch, f"https://github.com/{owner_and_name}")
    inside = f"{owner_and_name}/blob/published/notebooks/02_kernel.ipynb"
    assert found == {
        "Colab": f"https://colab.research.google.com/github/{inside}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://github.com/{inside}",
        "Binder": f"https://mybinder.org/v2/gh/{owner_and_name}/published"
        "?urlpath=lab/tree/notebooks/02_kernel.ipynb",
    }


def test_a_copy_that_nobody_publishes_says_so_and_leads_to_a_heading_that_exists(monkeypatch):
    found = launch(monkeypatch, None)
    assert found == {"Not published yet": "../book/teaching#a-copy-of-your-own"}
    assert "\n## A copy of your own\n" in (ROOT / "book" / "teaching.md").read_text("utf-8")
