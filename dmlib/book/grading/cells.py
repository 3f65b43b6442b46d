"""Run a notebook's cells as Jupyter would, as far as the answers need it.

Statement by statement, and on after an error: what a cell defines counts, whatever else in it
fails. Lines that are for IPython alone do nothing, but those that time code run it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from typing import Any

_CHECKS = ("check", "progress")
_TIMING = ("time", "timeit", "prun")
_WRAPPERS = ("time", "timeit", "capture", "prun")


def sources_of(notebook: dict[str, Any]) -> list[str]:
    """Sources of the code cells, without the check cells."""
    sources = []
    for cell in notebook["cells"]:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        metadata = cell.get("metadata")
        tags = metadata.get("tags", []) if isinstance(metadata, dict) else []
        if isinstance(tags, list) and "check" in tags:
            continue
        source = cell.get("source", "")
        lines = source if isinstance(source, list) else [source]
        sources.append("".join(str(line) for line in lines))
    return sources


def plain_python(source: str) -> str:
    """The source as Python: magics, `!ls` and `max?` become calls of get_ipython()."""
    try:
        compile(source, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return source
    except (SyntaxError, ValueError):
        pass
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(source)
    except Exception:  # no IPython, or a source that it cannot read: the magics go
        return re.sub(r"^([ \t]*)[%!?].*", r"\1pass", source, flags=re.MULTILINE)


class Cells:
    """The namespace of a notebook, and its cells run in it one after the other."""

    def __init__(self) -> None:
        self.count, self.shell = 0, _Shell(self)
        self.space: dict[str, Any] = {
            "__name__": "__main__",
            "display": lambda *_args, **_kwargs: None,
            "get_ipython": lambda: self.shell,
        }

    def run(self, source: str) -> str:
        """Run one cell; return its first trouble in words, or ""."""
        self.count += 1
        name, first = f"<cell {self.count}>", ""
        try:
            tree = ast.parse(plain_python(source), name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"cell {self.count}: {type(error).__name__}: {error}"[:200]
        for statement in tree.body:
            if _is_check(statement):
                continue
            try:
                self.execute(ast.Module([statement], []), name)
            except Exception as error:
                first = first or _said(self.count, error)
            except (SystemExit, GeneratorExit) as error:
                first = first or _said(self.count, error)
        return first

    def execute(self, tree: ast.Module, name: str) -> None:
        """One statement; `await` works at the top of a cell, too."""
        code = compile(tree, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, self.space))
        else:
            exec(code, self.space)


def _is_check(statement: ast.stmt) -> bool:
    """`check(...)` or `progress()` on a line of its own."""
    value = getattr(statement, "value", None)
    return (
        isinstance(statement, ast.Expr)
        and isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in _CHECKS
    )


def _said(number: int, error: BaseException) -> str:
    try:
        return f"cell {number}: {type(error).__name__}: {error}"[:200]
    except BaseException:  # its __str__ may raise
        return f"cell {number}: {type(error).__name__}"


class _Shell:
    """What get_ipython() gives: it runs timed code, and does nothing else."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def run_line_magic(self, name: str, line: str, *_args: Any) -> None:
        if name in _TIMING:
            self._cells.execute(ast.parse(re.sub(r"^(-\w+\s+\S+\s+)*", "", line)), f"%{name}")

    def run_cell_magic(self, name: str, _line: str, cell: str) -> None:
        if name in _WRAPPERS:
            for statement in ast.parse(plain_python(cell)).body:
                self._cells.execute(ast.Module([statement], []), f"%%{name}")

    def getoutput(self, *_args: Any) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None
