"""The quick quiz of the chapter on shapes in space."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "A cloud of 256 points can be written as a table in how many ways?",
        (
            Option("One", "The rows may stand in any order."),
            Option(
                "256! of them, and all are the same cloud",
                "Each order of the rows. A network should not care which one it gets.",
                right=True,
            ),
            Option(
                "256, for each of the points may be the first one",
                "So many rows can come first; the others may be mixed, too.",
            ),
        ),
    ),
    Question(
        "What has to change in the forward process, if the data are clouds instead of pictures?",
        (
            Option(
                "Nothing: each coordinate of each point gets noise of its own",
                "The kernel never asked what the numbers mean.",
                right=True,
            ),
            Option(
                "The noise must be the same for all points",
                "Then only the whole cloud would be shifted, and its shape would stay.",
            ),
            Option(
                "Points must be sorted first",
                "The noise treats all points alike, whatever their order.",
            ),
        ),
    ),
    Question(
        "In our network points never look at each other. How does a point hear of the rest?",
        (
            Option(
                "By the tokens, which look at all points and are looked at by each",
                "Given the shape, points are independent: a summary of the shape is all they need.",
                right=True,
            ),
            Option("By the class", "The class says chair, not how wide this chair is."),
            Option("Not at all", "Then it could not know where the seat of this chair ends."),
        ),
    ),
    Question(
        "A model has nearly the Chamfer distance of real clouds, but a 1-NNA of 0.9. What is "
        "wrong?",
        (
            Option(
                "Its clouds are recognisably not real: nine of ten are told by their neighbours",
                "A small distance to the nearest real cloud does not make a cloud a real one.",
                right=True,
            ),
            Option(
                "Nothing: 0.9 is close to 1",
                "1 is the worst: each set lies by itself. Alike sets have 0.5.",
            ),
            Option("It copies its training data", "Copies have 1-NNA below 0.5."),
        ),
    ),
    Question(
        "Only the upper half of a chair is given. What should a hundred completions show?",
        (
            Option(
                "A hundred times the most likely legs",
                "That hides that the upper half does not decide.",
            ),
            Option(
                "Legs of the mean length",
                "Legs are low or high. The mean length lies between, where no chair is.",
            ),
            Option(
                "Low and high legs, in the shares that the width of the seat makes likely",
                "Samples of the conditional law: where they differ, the seen part does not decide.",
                right=True,
            ),
        ),
    ),
)
