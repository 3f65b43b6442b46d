"""The verdict on an answer: what a student sees, as HTML in a notebook and as plain text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Status = Literal["passed", "not yet", "wrong", "error", "too slow", "unknown"]

# Each status has a sign and words: colour alone never carries the meaning.
_HEADS: dict[str, tuple[str, str, str]] = {
    "passed": ("✓", "Passed", "#2e8b57"),
    "not yet": ("○", "Not yet", "#808080"),
    "wrong": ("✗", "Not right", "#c9672b"),
    "error": ("!", "Your code stopped with an error", "#c23b3b"),
    "too slow": ("!", "Out of time", "#c23b3b"),
    "unknown": ("?", "Unknown exercise", "#808080"),
}


class CheckFailed(AssertionError):
    """Raised by `Verdict.require`, never by `check`."""


@dataclass(frozen=True)
class Row:
    """One line of evidence: where one looked, what was expected there, what was found."""

    where: str
    expected: str
    found: str
    ok: bool


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Args:
        exercise: the exercise's id, such as "ex-kernel-1".
        title: its title.
        status: see `Status`.
        message: one or two sentences for the student.
        mistake: name of the known mistake that was recognised, or "".
        hint: how to get on, or "".
        rows: evidence, expected beside found.
        picture: an inline SVG, or "".
        trace: the student's own lines of a traceback, or "".
        how: one sentence on how the result differs, where no known mistake was recognised.
        failed_on: the hidden input on which it failed, in short, or "".
        clue: more than the statement and less than the solution, or "": shown when asked for.
    """

    exercise: str
    title: str
    status: Status
    message: str
    mistake: str = ""
    hint: str = ""
    rows: tuple[Row, ...] = ()
    picture: str = field(default="", repr=False)
    trace: str = ""
    how: str = ""
    failed_on: str = ""
    clue: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def require(self) -> Verdict:
        """Return the verdict if it is "passed"; raise CheckFailed (for the book's build) if not."""
        if not self.passed:
            raise CheckFailed(str(self))
        return self

    def __str__(self) -> str:
        sign, words, _ = _HEADS[self.status]
        lines = [f"{sign} {words}: {self.exercise} ({self.title})", *_wrapped(self.message)]
        if self.mistake:
            lines += _wrapped(f"Recognised: {self.mistake}.")
        if self.how:
            lines += _wrapped(f"How it differs: {self.how}")
        if self.hint:
            lines += _wrapped(f"Hint: {self.hint}")
        if self.failed_on:
            lines += _wrapped(f"One input on which it failed: {self.failed_on}")
        if self.rows:
            heads = ("where", "expected", "found")
            cells = [(row.where, row.expected, row.found) for row in self.rows]
            widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(3)]
            for line, mark in zip([heads, *cells], ["", *map(_mark, self.rows)], strict=True):
                text = "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))
                lines.append(f"  {text}  {mark}".rstrip())
        if self.trace:
            lines.append(textwrap.indent(self.trace, "  "))
        if self.clue:
            lines.append("  Stuck? print(check(...).clue) gives a clue.")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sign, words, colour = _HEADS[self.status]
        parts = [
            f"<p style='margin:0 0 .3em'><strong><span aria-hidden='true'>{sign}</span> "
            f"{words}: {escape(self.exercise)}</strong> ({escape(self.title)})</p>",
            _paragraph(self.message),
        ]
        if self.mistake:
            parts.append(_paragraph(f"Recognised: {self.mistake}.", bold=True))
        if self.how:
            parts.append(_paragraph(f"How it differs: {self.how}"))
        if self.hint:
            parts.append(_paragraph(f"Hint: {self.hint}"))
        if self.failed_on:
            parts.append(_paragraph(f"One input on which it failed: {self.failed_on}"))
        if self.rows:
            parts.append(_table(self.rows))
        if self.trace:
            parts.append(
                "<pre style='margin:.3em 0;padding:.4em;overflow-x:auto;background:none;"
                f"color:inherit;border:1px solid currentColor'>{escape(self.trace)}</pre>"
            )
        parts.append(self.picture)
        if self.clue:
            parts.append(
                "<details style='margin:.3em 0'><summary>Stuck? A clue</summary>"
                f"{_paragraph(self.clue)}</details>"
            )
        # Text keeps the page's own colour, so that it reads in the light and in the dark theme.
        return (
            f"<div role='status' style='border-left:.3em solid {colour};padding:.5em .8em;"
            "margin:.4em 0;background:rgba(128,128,128,.08);color:inherit'>"
            + "".join(parts)
            + "</div>"
        )


def _mark(row: Row) -> str:
    return "ok" if row.ok else "differs"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 88, initial_indent="  ", subsequent_indent="  ")


def _paragraph(text: str, *, bold: bool = False) -> str:
    weight = "font-weight:bold;" if bold else ""
    return f"<p style='{weight}margin:.3em 0'>{escape(text)}</p>"


def _table(rows: tuple[Row, ...]) -> str:
    cell = "style='text-align:left;padding:.1em .8em .1em 0;color:inherit;background:none'"
    head = "".join(
        f"<th scope='col' {cell}>{name}</th>" for name in ("where", "expected", "found", "result")
    )
    body = "".join(
        f"<tr style='background:none'><th scope='row' {cell}>{escape(row.where)}</th>"
        f"<td {cell}>{escape(row.expected)}</td><td {cell}>{escape(row.found)}</td>"
        f"<td {cell}>{_mark(row)}</td></tr>"
        for row in rows
    )
    return (
        "<div style='overflow-x:auto'><table style='border-collapse:collapse;margin:.3em 0;"
        "font-size:.9em;color:inherit'><caption style='text-align:left;caption-side:top'>"
        f"Expected and found</caption><thead><tr style='background:none'>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
