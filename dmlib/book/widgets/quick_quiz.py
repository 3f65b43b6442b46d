"""A quick quiz at the end of a chapter: works in the plain page, remembered in the browser."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

import traitlets
from matplotlib.figure import Figure

from dmlib.book.chapters.quizzes import QUIZZES, TITLES
from dmlib.book.exercises.question import fingerprint
from dmlib.book.widgets.base import InteractiveFigure

_LINE = 100  # letters a line in the picture


class QuickQuiz(InteractiveFigure):
    """Questions with one right choice each, and a reason for each wrong one.

    The answers stay in the browser's local storage, under "dmlib-quiz-" and the chapter's name,
    with a fingerprint of the questions; where there is no storage they last as long as the page.
    Nothing is sent anywhere.

    Traits (synchronised): tries, for each question the choices so far, in order (indices).

    Args:
        chapter: "introduction", "forward", "kernel", "reverse", "unet", "training" or "continuous".

    Raises:
        ValueError: there is no such chapter.
    """

    _module = "quick_quiz.js"
    tries = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)

    def __init__(self, chapter: str) -> None:
        if chapter not in QUIZZES:
            raise ValueError(f"chapter must be one of {', '.join(QUIZZES)}, got {chapter!r}")
        self._chapter, self._questions = chapter, QUIZZES[chapter]
        data: dict[str, Any] = {
            "chapter": chapter,
            "questions": [asdict(question) for question in self._questions],
            "quizzes": [
                {
                    "chapter": c,
                    "title": TITLES[c],
                    "answers": [question.answer for question in q],
                    "id": fingerprint(q),
                }
                for c, q in QUIZZES.items()
            ],
        }
        super().__init__(data=data, predict=None, tries=[[] for _ in self._questions])

    @traitlets.validate("tries")
    def _check_tries(self, proposal: dict[str, Any]) -> list[list[int]]:
        tries = proposal["value"]
        if len(tries) != len(self._questions):
            raise traitlets.TraitError(f"tries must hold {len(self._questions)} lists")
        for choices, question in zip(tries, self._questions, strict=True):
            if any(not 0 <= c < len(question.choices) for c in choices):
                raise traitlets.TraitError(f"tries must be choices of the questions, got {tries}")
        return tries

    def right_at_once(self) -> int:
        """How many questions were answered right at the first try."""
        answers = [question.answer for question in self._questions]
        return sum(t[:1] == [a] for t, a in zip(self.tries, answers, strict=True))

    def _lines(self) -> list[str]:
        lines = []
        for number, question in enumerate(self._questions, 1):
            lines += _wrapped(f"{number}. {_plain(question.text)}", indent=3)
            for letter, choice in zip("abcdef", question.choices, strict=False):
                lines += _wrapped(f"   {letter}) {_plain(choice.text)}", indent=6)
            lines.append("")
        return lines[:-1]

    def _picture(self, figure: Figure) -> None:
        lines = self._lines()
        figure.set_layout_engine("none")
        figure.set_size_inches(7.2, 0.3 + 0.165 * len(lines))
        figure.text(0.02, 0.97, "\n".join(lines), va="top", fontsize=8.5, linespacing=1.35)

    def _sentence(self) -> str:
        questions = (f"({n}) {_plain(q.text)}" for n, q in enumerate(self._questions, 1))
        title = TITLES[self._chapter]
        return f"A quick quiz on the chapter “{title}”, to be done in the browser: " + (
            " ".join(questions).rstrip("?.") + "."
        )


def _plain(text: str) -> str:
    """The widgets' small markup as plain text: q(x_(t−1) | x_t)."""
    return text.translate(str.maketrans({"*": "", "{": "(", "}": ")"}))


def _wrapped(text: str, *, indent: int) -> list[str]:
    return textwrap.wrap(
        text, _LINE, subsequent_indent=" " * indent, drop_whitespace=True, replace_whitespace=False
    )
