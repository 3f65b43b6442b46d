"""Wrong results as factors: of a whole input, or of one of the tensors that went in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dmlib.book.checks.calling import Args
from dmlib.book.checks.relations import relation, same


def factor_of_each_input(
    wrong: list[tuple[tuple[Tensor, Tensor], Args]],
    names: tuple[str, ...],
    *,
    unknown: bool = False,
) -> str:
    """One factor (or shift) for each input, which is a number that the input holds."""
    for what, combine in (("factor", torch.div), ("shift", torch.sub)):
        sizes = []
        for (f, e), _ in wrong:
            solid = e.abs() > 1e-3 * e.abs().max().clamp(min=1e-12)
            if what == "shift":
                solid = torch.ones_like(solid)
            values = combine(f, e)[solid] if bool(solid.any()) else torch.zeros(0)
            if not len(values) or not same(values, values.median().expand(values.shape)):
                break
            sizes.append(values.median())
        if len(sizes) < len(wrong) or len(sizes) < 2:
            continue
        found = torch.stack(sizes)
        for words, numbers in _quantities([case for _, case in wrong], names):
            if same(found, torch.tensor(numbers, dtype=torch.float64)):
                sign = "times" if what == "factor" else "plus"
                return f"what you return is the right result {sign} {words}."
        if unknown and what == "factor" and any(f.numel() > 2 for (f, _), _ in wrong):
            listed = ", ".join(f"{float(k):.4g}" for k in found[:3])
            return f"within each input one factor is off: {listed}, …"
    return ""


def _quantities(cases: list[Args], names: tuple[str, ...]) -> Iterator[tuple[str, list[float]]]:
    """Numbers that every case has, by name: its scalars, its lengths, and what is made of them."""
    known: dict[str, list[float]] = {}
    for i, name in enumerate(names):
        values = [case[i] for case in cases]
        if all(isinstance(v, (int, float)) for v in values):
            known[name] = [float(v) for v in values]
        elif all(isinstance(v, Tensor) for v in values):
            for axis in range(min(v.ndim for v in values)):
                known[f"{name}.shape[{axis}]"] = [float(v.shape[axis]) for v in values]
            known[f"{name}.numel()"] = [float(v.numel()) for v in values]
            known[f"{name}[0].numel()"] = [float(v[0].numel()) if v.ndim else 1.0 for v in values]
    for name, numbers in known.items():
        n = torch.tensor(numbers, dtype=torch.float64)
        for words, value in ((name, n), (f"1 / {name}", 1 / n), (f"{name} ** 0.5", n.sqrt()),
                             (f"1 / {name} ** 0.5", n**-0.5), (f"{name} ** 2", n * n),
                             (f"(1 - {name})", 1 - n), (f"1 / (1 - {name})", 1 / (1 - n)),
                             (f"(1 - {name}) ** 0.5", (1 - n).sqrt()), (f"-{name}", -n),
                             (f"1 / (1 - {name}) ** 0.5", (1 - n) ** -0.5),
                             (f"2 * {name}", 2 * n), (f"{name} / 2", n / 2),
                             (f"({name} - 1) / {name}", (n - 1) / n),
                             (f"{name} / ({name} - 1)", n / (n - 1)),
                             (f"log({name})", n.log()), (f"exp({name})", n.exp())):  # fmt: skip
            if bool(torch.isfinite(value).all()):
                yield words, value.tolist()


def factors_of_tensors(
    wrong: list[tuple[tuple[Tensor, Tensor], Args]],
    names: tuple[str, ...],
    *,
    unknown: bool = False,
) -> str:
    """The result as a sum of the inputs, with factors: whose factor is off, and how?"""
    mine: dict[str, list[float]] = {}
    right: dict[str, list[float]] = {}
    for (f, e), case in wrong:
        inputs = {
            name: arg.to(torch.float64)
            for name, arg in zip(names, case, strict=True)
            if isinstance(arg, Tensor) and arg.shape == e.shape and arg.is_floating_point()
        }
        if not inputs or e.ndim == 0:
            return ""
        # With a time of its own each picture has factors of its own.
        several = any(isinstance(arg, Tensor) and arg.shape == e.shape[:1] for arg in case)
        rows = range(len(e)) if several and e.ndim > 1 else [slice(None)]
        for row in rows:
            A = torch.stack([x[row].flatten() for x in inputs.values()], 1)
            if len(A) <= A.shape[1] + 1:
                return ""
            for target, store in ((f[row], mine), (e[row], right)):
                answer = torch.linalg.lstsq(A, target.reshape(-1, 1)).solution
                if not same((A @ answer)[:, 0], target.flatten()):
                    return ""
                for name, value in zip(inputs, answer[:, 0].tolist(), strict=True):
                    store.setdefault(name, []).append(value)
    return _factors_off(mine, right, unknown)


def _factors_off(mine: dict[str, list[float]], right: dict[str, list[float]], unknown: bool) -> str:
    f = {name: torch.tensor(v, dtype=torch.float64) for name, v in mine.items()}
    e = {name: torch.tensor(v, dtype=torch.float64) for name, v in right.items()}
    off = [name for name in f if not same(f[name], e[name])]
    if len(off) == 2 and same(f[off[0]], e[off[1]]) and same(f[off[1]], e[off[0]]):
        return f"the factors of {off[0]} and {off[1]} are exchanged."
    said = []
    for name in off:
        words = relation(f[name], e[name])
        if words == "0":
            said.append(f"{name} is missing: its factor is 0")
        elif words:
            said.append(f"the factor of {name} is {words}")
        else:
            other = next((n for n in e if n != name and same(f[name], e[n])), "")
            if other:
                said.append(f"the factor of {name} is that of {other}")
            elif not unknown:
                return ""
            else:
                text = f"{float(f[name][0]):.4g} where {float(e[name][0]):.4g} is right"
                rest = ", the rest is right" if len(off) < len(f) else ""
                said.append(f"the factor of {name} is off ({text}){rest}")
    return "; ".join(said) + "." if said else ""
