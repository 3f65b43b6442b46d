"""Laws of the docstrings of the core: they exist, and the equations they name are in the book."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for path in (ROOT / "dmlib").rglob("*.py")
    if not {"widgets", "checks"} & set(path.relative_to(ROOT / "dmlib").parts)
)
named = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "dmlib")))


def labels() -> set[str]:
    """Every equation label of the book, in each of the two ways in which MyST writes one."""
    found = set()
    for page in (ROOT / "book").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"^:label: *(eq-[\w-]+)", text, re.M))
        found |= set(re.findall(r"^\$\$ *\((eq-[\w-]+)\)", text, re.M))
    return found


@named
def test_equations_that_the_library_names_are_in_the_book(path):
    cited = set(re.findall(r"\beq-[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", path.read_text("utf-8")))
    assert cited <= labels(), f"not in the book: {sorted(cited - labels())}"


@named
def test_everything_public_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), path
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_propertys_first_line_has_no_colon(path):
    """Napoleon takes what stands before it for a type, and the strict build fails."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        decorators = [ast.unparse(d) for d in getattr(node, "decorator_list", [])]
        if {"property", "cached_property"} & set(decorators):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            assert ": " not in first, f"{path.name}: {node.name}: {first}"
