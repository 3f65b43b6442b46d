"""Every labelled equation of the book has a check of its name, and no check is left over."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "book").glob("*.md"))
FILES = sorted((ROOT / "tests" / "equations").glob("test_*.py"))


def labels_of(text: str) -> list[str]:
    """Labels of the displayed equations of a page, as eq-foo-bar."""
    blocks = re.findall(
        r"^\s*[`:]{3,}\{math\}(.*?)^\s*[`:]{3,}\s*$", text, re.DOTALL | re.MULTILINE
    )
    found = [
        re.search(r"^\s*:(?:label|name):\s*(\S+)\s*$", block, re.MULTILINE) for block in blocks
    ]
    inline = re.findall(r"^\s*\$\$\s*\((eq-[\w-]+)\)\s*$", text, re.MULTILINE)
    return [match[1] for match in found if match] + inline


def checks_of(source: str) -> list[str]:
    """Names of the top-level functions test_eq_*, as eq-foo-bar."""
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [n.removeprefix("test_").replace("_", "-") for n in names if n.startswith("test_eq_")]


LABELS = Counter(label for page in PAGES for label in labels_of(page.read_text("utf-8")))
CHECKS = Counter(name for file in FILES for name in checks_of(file.read_text("utf-8")))


def lower(names: Counter[str]) -> set[str]:
    """Names in lower case: eq-bound-LT is checked by test_eq_bound_lt or test_eq_bound_LT."""
    return {name.lower() for name in names}


def test_pages_and_labels_are_found():
    assert {"eq-q-step", "eq-kernel", "eq-snr"} <= LABELS.keys()


def test_every_labelled_equation_has_a_check_of_its_name():
    assert sorted(label for label in LABELS if label.lower() not in lower(CHECKS)) == []


def test_every_check_belongs_to_an_equation_of_the_book():
    assert sorted(name for name in CHECKS if name.lower() not in lower(LABELS)) == []


def test_no_label_and_no_check_stands_twice():
    assert [name for name, n in LABELS.items() if n > 1] == []
    assert [name for name, n in CHECKS.items() if n > 1] == []


def test_labels_begin_with_eq():
    assert [label for label in LABELS if not label.startswith("eq-")] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_math_directive_is_labelled(page):
    text = page.read_text("utf-8")
    opened = len(re.findall(r"^\s*[`:]{3,}\{math\}", text, re.MULTILINE))
    assert opened == len(labels_of(text))


def test_every_equation_that_the_text_refers_to_exists():
    texts = [page.read_text("utf-8") for page in PAGES]
    named = {name for text in texts for name in re.findall(r"\{eq\}`(eq-[\w-]+)`", text)}
    assert sorted(named - LABELS.keys()) == []
