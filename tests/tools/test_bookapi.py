"""Laws of the library's reference: all of the core is there, and says there what it says here."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))
import bookapi  # noqa: E402

PAGE = (ROOT / "book" / "library.md").read_text(encoding="utf-8")
MODULES = re.findall(r"^\.\. automodule:: (\S+)$", PAGE, re.M)
# What stands on the page as its package's face, or is a command and no library.
ELSEWHERE = {
    "checkpoint.networks", "checkpoint.files", "checkpoint.cards",
    "metrics.features", "metrics.frechet", "metrics.protocol",
    "training.inputs", "training.stopping", "training.log", "training.estimate",
    "training.model_card", "training.seeding", "data.stored",
}  # fmt: skip


def test_every_module_of_the_library_is_on_the_page():
    found = {"dmlib.checkpoint", "dmlib.metrics"}
    for path in (ROOT / "dmlib").rglob("*.py"):
        parts = path.relative_to(ROOT / "dmlib").with_suffix("").parts
        name = ".".join(parts)
        if parts[0] != "book" and not parts[-1].startswith("_") and name not in ELSEWHERE:
            found.add(f"dmlib.{name}")
    assert sorted(MODULES) == sorted(found)


@pytest.mark.parametrize("module", MODULES)
def test_heading_names_its_module(module):
    assert f"### {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n" in PAGE
    assert inspect.getdoc(importlib.import_module(module))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("the book's equation eq-q-step.", "the book's equation :eq:`eq-q-step`."),
        ("snr[0] = inf (eq-snr).", "snr[0] = inf :eq:`eq-snr`."),
        ("multiples of `groups`", "multiples of ``groups``"),
        ("|eps - eps_hat|^2", r"\|eps - eps_hat\|^2"),
        ("x_{t-1}, E_x[a * b], 2**k", r"x\_{t-1}, E_x[a \* b], 2\*\*k"),
        ("x_t of alpha_bar_t", "x_t of alpha_bar_t"),
        ("- beta: a * b", r"- beta: a \* b"),
    ],
)
def test_docstring_text_means_itself(line, expected):
    assert bookapi.marked_up(line) == expected


def test_source_is_a_paragraph_and_a_long_formula_one_line():
    lines = ["mu = a", "   + b,", "Source: them.", "", "Args:", "    x: (B,),", "        clean."]
    assert bookapi.shaped(lines) == ["mu = a + b,", "", *lines[2:]]


def test_built_page_links_every_equation_to_its_chapter():
    page = ROOT / "_build" / "html" / "book" / "library.html"
    if not page.exists():
        pytest.fail("no built page: run `make book` first")
    html = page.read_text(encoding="utf-8")
    assert "eq-" not in re.sub(r"<[^>]*>", "", html)  # every label became a number
    links = set(re.findall(r'href="(\w+\.html)#equation-eq-[\w-]+"', html))
    assert {
        "01_forward_process.html",
        "02_diffusion_kernel.html",
        "03_reverse_process.html",
    } < links
