"""Random mutations of the solutions: a check that lets a broken solution pass is broken."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import textwrap
import warnings

import pytest
from right_answers import RIGHT

from dmlib.book.chapters.catalog import EXERCISES
from dmlib.book.checks.engine import judge
from dmlib.book.exercises.exercise import Number, Open, Quiz

OPERATORS = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
}
METHODS = {
    "cumprod": "cumsum",
    "cumsum": "cumprod",
    "sum": "mean",
    "mean": "sum",
    "log": "exp",
    "exp": "log",
    "argmin": "argmax",
    "argmax": "argmin",
    "sin": "cos",
    "cos": "sin",
}

# Mutants that pass because they are right: exercise and mutated line -> why.
EQUIVALENT = {
    "ex-intro-6: position = position - moves[:, k]": "mirrored positions have the same square",
    "ex-kernel-2: return (1 - beta).cumprod(-1)": "the last axis of (T+1,) is axis 0",
    "ex-shapes-7: own_x = (xx + no_self).amin(0) < xy.amin(1)": "distances within are symmetric",
    "ex-shapes-7: own_y = (yy + no_self).amin(0) < xy.amin(0)": "distances within are symmetric",
    "ex-shapes-7: nearest_is_x = everyone.argmin(0) < n": "the whole table is symmetric",
    "ex-training-5: for n in range(0, len(weights)):": "update 0 mixes weights[0] with itself",
    "ex-training-5: later = d.prod() / d.cumprod(-1)": "the last axis of (N,) is axis 0",
}
# Open-ended: a mutant of a good answer is often another good answer. At least this share must
# fall; what survives only changes what the statement leaves free.
OPEN_ENDED = {
    "ex-continuous-10": (0.6, "other times or weights of two looks: still close enough"),
    "ex-intro-8": (0.6, "another sign or amount of noise: the picture still fades gradually"),
    "ex-forward-9": (0.6, "another first or last variance or growth: still a schedule that bends"),
    "ex-unet-12": (0.6, "another width that fits the budget as well: a good network, too"),
    "ex-reverse-12": (0.7, "another number or place of the times: still a sampler that works"),
    "ex-training-14": (0.6, "other times or as many points more or less: still a good fit"),
    "ex-pixels-8": (0.4, "other weights, or a shift of all features: nearly the same classes"),
    "ex-restore-8": (0.4, "a constant factor of all weights, or more samples: the same shares"),
    "ex-words-10": (0.3, "another size or number of rounds of the pool: the same pieces"),
    "ex-translate-8": (0.3, "another ridge: a linear map that is nearly as good"),
    "ex-shapes-9": (0.4, "another tolerance, or both signs of the difference: the same chairs"),
    "ex-kernel-10": (0.8, "the sign of symmetric noise, the dtype's rounding: the same shares"),
}


def variants(node):
    """Replacements of one node: another operator, constant, index, sign or method."""
    if isinstance(node, ast.BinOp):
        for operator in OPERATORS.get(type(node.op), ()):
            yield ast.BinOp(node.left, operator(), node.right)
        yield node.left
        yield node.right
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (node.value + 1, node.value - 1, node.value * 2):
            if value != node.value:
                yield ast.Constant(value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        called = node.func
        if called.attr in ("sqrt", "square", "clamp", "norm"):
            yield node.args[0] if isinstance(called.value, ast.Name) and node.args else called.value
        if called.attr in METHODS:
            new = ast.Attribute(called.value, METHODS[called.attr], ast.Load())
            yield ast.Call(new, node.args, node.keywords)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in (ast.Lt, ast.Gt):
            if not isinstance(node.ops[0], operator):
                yield ast.Compare(node.left, [operator()], node.comparators)


class Replace(ast.NodeTransformer):
    """Replace the node at a position of the walk."""

    def __init__(self, position, new):
        self.position, self.new, self.seen = position, new, -1

    def visit(self, node):
        self.seen += 1
        if self.seen == self.position:
            return self.new
        return super().generic_visit(node)


class Walk(ast.NodeVisitor):
    def __init__(self):
        self.nodes = []

    def visit(self, node):
        self.nodes.append(node)
        super().generic_visit(node)


def mutants(function):
    """(changed line, mutated function) for every mutation of a function's body."""
    source = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(source)
    walk = Walk()
    walk.visit(tree)
    original = ast.unparse(tree).splitlines()
    for position, node in enumerate(walk.nodes):
        for new in variants(node):
            mutated = Replace(position, new).visit(copy.deepcopy(tree))
            ast.fix_missing_locations(mutated)
            lines = ast.unparse(mutated).splitlines()
            changed = [b for a, b in zip(original, lines, strict=True) if a != b]
            if not changed or changed[0].lstrip().startswith("def "):
                continue
            scope = dict(function.__globals__)
            exec(compile(mutated, "<mutant>", "exec"), scope)
            yield changed[0].strip(), scope[function.__name__]


@functools.cache
def judged(exercise):
    """(number of mutants, surviving lines); a number within its tolerance is the same answer."""
    count, survivors = 0, []
    for solution in (exercise.reference, RIGHT[exercise.id]):
        for line, mutant in mutants(solution):
            if isinstance(exercise, Number) and same_number(exercise, mutant):
                continue
            count += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if passes(exercise, mutant):
                    survivors.append(f"{exercise.id}: {line}")
    return count, survivors


def passes(exercise, mutant):
    """Whether it passes on any of the seeds; an open-ended one is slow and gets one."""
    seeds = (3,) if isinstance(exercise, Open) else range(20)
    return any(judge(exercise, mutant, seed=s, seconds=5, brief=True).passed for s in seeds)


def same_number(exercise, mutant):
    try:
        return abs(mutant() - exercise.reference()) <= exercise.tolerance
    except Exception:  # a mutant may raise anything
        return False


MUTABLE = [e for e in EXERCISES.values() if not isinstance(e, Quiz)]


@pytest.mark.parametrize("exercise", MUTABLE, ids=lambda e: e.id)
def test_mutated_solutions_are_rejected(exercise):
    count, survivors = judged(exercise)
    assert count >= 3, f"too few mutants: {count}"
    if isinstance(exercise, Open):
        floor, _why = OPEN_ENDED[exercise.id]
        assert len(survivors) <= (1 - floor) * count, (count, survivors)
        return
    unexplained = [line for line in survivors if line not in EQUIVALENT]
    assert not unexplained, "\n".join(unexplained)


def test_at_least_95_percent_of_all_mutants_are_rejected():
    results = [judged(e) for e in MUTABLE if not isinstance(e, Open)]
    count, survivors = sum(n for n, _ in results), [s for _, more in results for s in more]
    assert count > 500
    assert len(survivors) <= 0.05 * count, f"{len(survivors)} of {count} survive"


def test_explained_survivors_still_survive():
    ids = {line.split(":")[0] for line in EQUIVALENT}
    survivors = {line for name in ids for line in judged(EXERCISES[name])[1]}
    assert set(EQUIVALENT) <= survivors, "a line of EQUIVALENT is out of date"
    assert set(OPEN_ENDED) == {e.id for e in MUTABLE if isinstance(e, Open)}
