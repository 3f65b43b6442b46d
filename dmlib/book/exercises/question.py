"""The questions of a quick quiz: one right choice each, and a reason for every choice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Option:
    """One option of a question: what it says, and why it is right or wrong (small markup)."""

    text: str
    reason: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with its choices, in the order in which they are shown.

    Args:
        text: the question; the texts may use *t* (italic), _t or _{t−1}, ^2, √{…}.
        choices: at least two, one of them right.

    Raises:
        ValueError: fewer than two choices, or not just one right choice.
    """

    text: str
    choices: tuple[Option, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if len(self.choices) < 2:
            raise ValueError(f"choices must be at least two, got {len(self.choices)}")
        right = sum(choice.right for choice in self.choices)
        if right != 1:
            raise ValueError(f"choices must hold one right choice, got {right}: {self.text}")

    @property
    def answer(self) -> int:
        """Index of the right choice."""
        return next(i for i, choice in enumerate(self.choices) if choice.right)


def fingerprint(questions: tuple[Question, ...]) -> str:
    """Eight letters that change with any text, so that old answers never meet new questions."""
    text = json.dumps([asdict(question) for question in questions])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
