"""Wrong answers by the hundred: each solution with one slip in it, made by rule.

`python tests/book/checks/wrong_answers.py` judges them all and prints what the checks say. None of
them is taken from a chapter's table of mistakes.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import random
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.checks.engine import judge
from dmlib.book.checks.verdict import Verdict
from dmlib.book.exercises.exercise import Exercise, Number, Open, Quiz, argument_names

Slip = tuple[str, Callable[..., Any]]
SWAPS = {"sum": "mean", "mean": "sum", "cumprod": "cumsum", "cumsum": "cumprod", "cos": "sin",
         "sin": "cos", "amax": "amin", "exp": "log", "log": "exp"}  # fmt: skip


def slips(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    """(kind, what stands in its place) for one node."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Add):
            yield "sign", ast.BinOp(node.left, ast.Sub(), node.right)
        if isinstance(node.op, ast.Sub):
            yield "sign", ast.BinOp(node.left, ast.Add(), node.right)
            if isinstance(node.left, ast.Constant) and node.left.value == 1:
                yield "1 - is missing", node.right
        if isinstance(node.op, ast.Mult):
            yield "factor dropped", node.right
        if isinstance(node.op, ast.Div):
            yield "divided by nothing", node.left
            yield "upside down", ast.BinOp(node.right, ast.Div(), node.left)
        if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant):
            yield "power dropped", node.left
            if node.right.value == 0.5:
                half = ast.BinOp(node.left, ast.Pow(), ast.Constant(1))
                yield "** 1/2", ast.BinOp(half, ast.Div(), ast.Constant(2))
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr == "sqrt":
            inner = node.args[0] if node.args else called.value
            yield "root dropped", inner
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
                root = ast.BinOp(inner.right, ast.Pow(), ast.Constant(0.5))
                yield "1 - root", ast.BinOp(inner.left, ast.Sub(), root)
            yield "root twice", ast.BinOp(node, ast.Pow(), ast.Constant(0.5))
        if isinstance(called, ast.Attribute) and called.attr in SWAPS:
            other = ast.Attribute(called.value, SWAPS[called.attr], ast.Load())
            yield (
                f"{called.attr} -> {SWAPS[called.attr]}",
                ast.Call(other, node.args, node.keywords),
            )
        if len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
            yield (
                "arguments exchanged",
                ast.Call(called, [node.args[1], node.args[0], *node.args[2:]], node.keywords),
            )
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        for step in (ast.Sub(), ast.Add()):
            late = ast.BinOp(node.slice, step, ast.Constant(1))
            yield "off by one", ast.Subscript(node.value, late, ast.Load())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "minus dropped", node.operand
    elif isinstance(node, ast.Attribute) and node.attr in ("beta", "alpha", "alpha_bar"):
        for other in ("beta", "alpha", "alpha_bar"):
            if other != node.attr:
                yield f"{node.attr} -> {other}", ast.Attribute(node.value, other, ast.Load())
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id:
                yield f"{node.id} -> {other}", ast.Name(other, ast.Load())


def of_returned(function: Callable[..., Any]) -> Iterator[Slip]:
    """The right result, spoiled after it was made."""

    def each(change: Callable[[Any], Any]) -> Callable[..., Any]:
        def answer(*args: Any) -> Any:
            value = function(*args)
            if isinstance(value, dict):
                return {name: change(v) for name, v in value.items()}
            return change(value)

        return answer

    yield "result negated", each(lambda v: -v)
    yield "result doubled", each(lambda v: 2 * v)
    yield "result squared", each(lambda v: v * v)
    yield "result shifted", each(lambda v: v + 1)
    yield "result upside down", each(lambda v: 1 / v)
    yield "mean of the result", each(lambda v: v.double().mean())
    yield "reversed", each(lambda v: v.flip(0))
    yield "rolled", each(lambda v: v.roll(1, 0))
    yield "transposed", each(lambda v: v.transpose(0, -1))
    yield "first entry dropped", each(lambda v: v[1:])
    yield "an axis more", each(lambda v: v[None])
    yield "as texts", each(lambda v: [str(x) for x in v.flatten().tolist()])


class _Put(ast.NodeTransformer):
    def __init__(self, position: int, new: ast.AST) -> None:
        self.position, self.new, self.seen = position, new, -1

    def visit(self, node: ast.AST) -> Any:
        self.seen += 1
        return self.new if self.seen == self.position else self.generic_visit(node)


def _walk(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []

    class Walk(ast.NodeVisitor):
        def visit(self, node: ast.AST) -> None:
            nodes.append(node)
            self.generic_visit(node)

    Walk().visit(tree)
    return nodes


def wrong_answers(exercise: Exercise) -> Iterator[Slip]:
    """(kind and line, answer) for one exercise."""
    function = exercise.reference
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = argument_names(exercise.call) if hasattr(exercise, "call") else ()
    names = tuple(a.arg for a in tree.body[0].args.args) if names else ()  # type: ignore[attr-defined]
    for position, node in enumerate(_walk(tree)):
        for kind, new in slips(node, names):
            mutated = _Put(position, copy.deepcopy(new)).visit(copy.deepcopy(tree))
            ast.fix_missing_locations(mutated)
            lines = ast.unparse(mutated).splitlines()
            changed = [
                b.strip()
                for a, b in zip(ast.unparse(tree).splitlines(), lines, strict=False)
                if a != b
            ]
            if not changed or changed[0].startswith("def "):
                continue
            scope = dict(function.__globals__)
            exec(compile(mutated, "<slip>", "exec"), scope)
            yield f"{kind}: {changed[0]}", scope[function.__name__]
    if not isinstance(exercise, (Number, Open)):
        yield from of_returned(function)


def chosen(per_exercise: int, seed: int = 0) -> list[tuple[Exercise, str, Callable[..., Any]]]:
    """So many wrong answers of each exercise that is no quiz and not open-ended."""
    draw, picked = random.Random(seed), []
    for exercise in EXERCISES.values():
        if isinstance(exercise, (Quiz, Open)):
            continue
        every = list(wrong_answers(exercise))
        for name, answer in draw.sample(every, min(per_exercise, len(every))):
            picked.append((exercise, name, answer))
    return picked


def kind_of(verdict: Verdict) -> str:
    """passed, named, explained, or only "wrong"."""
    if verdict.passed:
        return "passed"
    if verdict.mistake:
        return "named"
    if verdict.status in ("error", "too slow", "not yet"):
        return verdict.status
    if verdict.how and not verdict.how.startswith("No simple relation"):
        return "explained"
    number = "too large" in verdict.message or "too small" in verdict.message
    told = "Your function returned" in verdict.message or "Entry" in verdict.message
    return "explained" if number or told or "The term" in verdict.message else "only wrong"


def verdict_on(exercise: Exercise, answer: Callable[..., Any], seed: int) -> Verdict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return judge(exercise, answer, seed=seed, seconds=10)


def main(per_exercise: int = 8) -> None:
    """Judge and print: a line for each that is only wrong or passes, and the sums."""
    counts, kept = Counter(), []
    for exercise, name, answer in chosen(per_exercise, seed=int((*sys.argv, 0, 0)[1])):
        verdict = verdict_on(exercise, answer, 1)
        kind = kind_of(verdict)
        counts[kind] += 1
        kept.append((exercise.id, name, kind, verdict.mistake or verdict.how or verdict.message))
        if kind in ("passed", "only wrong", "not yet", "too slow"):
            print(f"{kind:10s} {exercise.id:15s} {name[:90]}   {verdict.how}", flush=True)
    Path("/tmp/wrong_answers.json").write_text(json.dumps(kept, indent=0))
    print(dict(counts), sum(counts.values()))


if __name__ == "__main__":
    main()
