"""Which single slip in the right function gives a student's wrong result? It is tried, by rule.

Nothing of the solution is shown but the kind of the slip: "a root is missing".
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import textwrap
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from dmlib.book.checks.calling import Args, copied
from dmlib.book.checks.compare import Terms, fitted, terms_close, to_terms
from dmlib.book.exercises.exercise import Function, argument_names

Slip = tuple[str, ast.AST]

_SWAPS = {
    "sum": "mean",
    "mean": "sum",
    "prod": "sum",
    "cumprod": "cumsum",
    "cumsum": "cumprod",
    "cos": "sin",
    "sin": "cos",
    "exp": "log",
    "log": "exp",
    "round": "floor",
    "argmin": "argmax",
    "min": "max",
    "max": "min",
    "amax": "amin",
}
_TABLES = ("beta", "alpha", "alpha_bar", "snr")


def find_slip(exercise: Function, cases: list[Args], found: list[Terms]) -> str:
    """A sentence on the slip that gives just `found`, or ""."""
    if not found:
        return ""
    for words, answer in _with_a_slip(exercise.reference, argument_names(exercise.call)):
        if _gives(answer, exercise, cases, found):
            return f"It is what comes out if {words}."
    return ""


def _gives(
    answer: Callable[..., Any], exercise: Function, cases: list[Args], found: list[Terms]
) -> bool:
    for case, mine in zip(cases, found, strict=False):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = to_terms(answer(*copied(case)), exercise.terms)
            if not terms_close(mine, fitted(theirs, mine)):
                return False
        except Exception:  # what is spoiled at random may raise anything
            return False
    return True


@functools.lru_cache(maxsize=8)
def _with_a_slip(
    function: Callable[..., Any], names: tuple[str, ...]
) -> tuple[tuple[str, Callable[..., Any]], ...]:
    """(what is wrong, the function with it), for every place of its source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):  # no source at hand
        return ()
    if not isinstance(tree.body[0], ast.FunctionDef):
        return ()
    own = [a.arg for a in tree.body[0].args.args]
    called = dict(zip(own, names, strict=False))  # the student's names for the arguments
    made = []
    for position, node in enumerate(_walk(tree)):
        for words, new in _slips(node, called):
            spoiled = _Put(position, copy.deepcopy(new)).visit(copy.deepcopy(tree))
            scope = dict(function.__globals__)
            exec(compile(ast.fix_missing_locations(spoiled), "<slip>", "exec"), scope)
            made.append((words, scope[function.__name__]))
    # Numbers and comparisons last: another slip that gives the same says more.
    plain = ("a number of the formula", "a comparison")
    return tuple(sorted(made, key=lambda one: one[0].startswith(plain)))


def _slips(node: ast.AST, names: dict[str, str]) -> Iterator[Slip]:
    if isinstance(node, ast.BinOp):
        yield from _of_operator(node)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, (ast.Name, ast.BinOp)):
        for step in (ast.Sub(), ast.Add()):
            late = ast.BinOp(node.slice, step, ast.Constant(1))
            yield "an index is off by one", ast.Subscript(node.value, late, ast.Load())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "a minus is missing", node.operand
    elif isinstance(node, ast.Attribute) and node.attr in _TABLES:
        for other in _TABLES:
            if other != node.attr:
                new = ast.Attribute(node.value, other, ast.Load())
                yield f"{other} stands where {node.attr} belongs", new
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other, name in names.items():
            if other != node.id:
                yield f"{name} stands where {names[node.id]} belongs", ast.Name(other, ast.Load())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (node.value + 1, node.value - 1, 2 * node.value, node.value / 2, 0):
            if value != node.value:
                text = f"{node.value:g}"
                yield f"a number of the formula is off, where {text} belongs", ast.Constant(value)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in (ast.Lt(), ast.LtE(), ast.Gt(), ast.GtE(), ast.Eq(), ast.NotEq()):
            new = ast.Compare(node.left, [operator], node.comparators)
            yield "a comparison is wrong, < for <= or the other way round", new


def _of_operator(node: ast.BinOp) -> Iterator[Slip]:
    left, right = node.left, node.right
    if isinstance(node.op, ast.Add):
        yield "there is a minus where a plus belongs", ast.BinOp(left, ast.Sub(), right)
        yield "one summand is missing", left
        yield "one summand is missing", right
    elif isinstance(node.op, ast.Sub):
        yield "there is a plus where a minus belongs", ast.BinOp(left, ast.Add(), right)
        yield "a difference is the wrong way round", ast.BinOp(right, ast.Sub(), left)
        one = isinstance(left, ast.Constant) and left.value == 1
        yield "a `1 -` is missing" if one else "what should be subtracted first is not", right
        yield "what should be subtracted is not", left
    elif isinstance(node.op, (ast.Mult, ast.MatMult)):
        yield "one factor is missing", left
        yield "one factor is missing", right
        yield "a product is taken for a quotient", ast.BinOp(left, ast.Div(), right)
        yield "a product is taken for a sum", ast.BinOp(left, ast.Add(), right)
        yield "a factor is squared", ast.BinOp(node, ast.Mult(), right)
        if isinstance(node.op, ast.MatMult):
            yield "* stands for @", ast.BinOp(left, ast.Mult(), right)
            yield (
                "a product of matrices is the wrong way round",
                ast.BinOp(right, ast.MatMult(), left),
            )
    elif isinstance(node.op, (ast.Div, ast.FloorDiv)):
        yield "a division is missing", left
        yield "a fraction is upside down", ast.BinOp(right, ast.Div(), left)
        yield "a quotient is taken for a product", ast.BinOp(left, ast.Mult(), right)
        root = ast.BinOp(right, ast.Pow(), ast.Constant(0.5))
        yield "the root of a denominator is taken", ast.BinOp(left, ast.Div(), root)
    elif isinstance(node.op, ast.Pow):
        yield "a power or a root is missing", left
        half = ast.BinOp(ast.BinOp(left, ast.Pow(), ast.Constant(1)), ast.Div(), ast.Constant(2))
        yield "`** 1/2` stands for `** 0.5`: it is (x ** 1) / 2", half
        yield (
            "an exponent has the wrong sign",
            ast.BinOp(left, ast.Pow(), ast.UnaryOp(ast.USub(), right)),
        )


def _of_call(node: ast.Call) -> Iterator[Slip]:
    called = node.func
    if isinstance(called, ast.Attribute):
        inner = node.args[0] if isinstance(called.value, ast.Name) and node.args else called.value
        if called.attr in ("sqrt", "square", "log", "exp", "clamp", "round", "softmax", "norm"):
            yield f"{called.attr} is missing", inner
        if called.attr == "sqrt":
            yield "a root is taken twice", ast.BinOp(node, ast.Pow(), ast.Constant(0.5))
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
                root = ast.BinOp(inner.right, ast.Pow(), ast.Constant(0.5))
                new = ast.BinOp(inner.left, ast.Sub(), root)
                yield "1 minus a root stands for the root of 1 minus something", new
        if called.attr in _SWAPS:
            other = ast.Attribute(called.value, _SWAPS[called.attr], ast.Load())
            new = ast.Call(other, node.args, node.keywords)
            yield f"{_SWAPS[called.attr]} stands where {called.attr} belongs", new
    if isinstance(called, ast.Name) and called.id in ("min", "max"):
        other = ast.Name("max" if called.id == "min" else "min", ast.Load())
        yield f"{called.id} and {other.id} are confused", ast.Call(other, node.args, node.keywords)
    if len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        swapped = [node.args[1], node.args[0], *node.args[2:]]
        yield "two arguments of a call are exchanged", ast.Call(called, swapped, node.keywords)


class _Put(ast.NodeTransformer):
    """Puts something in the place of the node at a position of the walk."""

    def __init__(self, position: int, new: ast.AST) -> None:
        self.position, self.new, self.seen = position, new, -1

    def visit(self, node: ast.AST) -> Any:
        self.seen += 1
        return self.new if self.seen == self.position else self.generic_visit(node)


def _walk(tree: ast.AST) -> list[ast.AST]:
    """The nodes in the order in which `_Put` meets them."""
    nodes: list[ast.AST] = []

    class Walk(ast.NodeVisitor):
        def visit(self, node: ast.AST) -> None:
            nodes.append(node)
            self.generic_visit(node)

    Walk().visit(tree)
    return nodes
