"""The quick quiz of the chapter on changing, filling and restoring."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "A third of a picture is hidden. What is a good restoration?",
        (
            Option(
                "The one picture with the smallest mean square error",
                "That is the mean of all that fit: a blur where the hidden part is open.",
            ),
            Option(
                "Pictures that fit what is seen, each as often as it is likely",
                "Samples of the posterior. Where they differ, the seen part does not decide.",
                right=True,
            ),
            Option(
                "The picture that was there",
                "What is hidden is not known. Many pictures fit.",
            ),
        ),
    ),
    Question(
        "The likelihood *p*(*y* | *x*_0) is a known formula. Why not use it at time *t*?",
        (
            Option(
                "*x*_t leaves *x*_0 open: one must average over all pictures that it may become",
                "And the network tells only their mean.",
                right=True,
            ),
            Option(
                "Its gradient is too costly",
                "One backward pass. It is the gradient of the wrong thing.",
            ),
            Option(
                "*y* is noisy",
                "The noise of *y* is in the formula, at every time.",
            ),
        ),
    ),
    Question(
        "In replacement, why does *y* get noise before it is put in?",
        (
            Option(
                "To make the fills more varied",
                "They vary by the noise in the hole, too. The reason is another.",
            ),
            Option(
                "To account for the noise of the camera",
                "That is *σ*_y, and it makes the added noise *smaller*.",
            ),
            Option(
                "So that the seen part has the noise level of *x*_{t−1}, as the network expects",
                "A clean patch in a noisy picture is nothing that it was trained on.",
                right=True,
            ),
        ),
    ),
    Question(
        "RePaint takes each step down five times. What for?",
        (
            Option(
                "So that the seen part and the hole come to agree",
                "Each time the whole picture is denoised together, and the hole hears the rest.",
                right=True,
            ),
            Option(
                "To average out the noise of five tries",
                "Nothing is averaged: each try starts where the last one ended.",
            ),
            Option(
                "To choose the best of five",
                "Nothing is compared. The last one counts.",
            ),
        ),
    ),
    Question(
        "With a perfect denoiser and an exact measurement, DPS and pseudo-inverse guidance put "
        "their samples",
        (
            Option(
                "in the right heaps, in the right shares",
                "Only the exact conditional denoiser does.",
            ),
            Option(
                "often into heaps that the measurement excludes",
                "The walk chooses its side early, when the mean guess says little of any heap.",
                right=True,
            ),
            Option(
                "always into the heap with the largest prior weight",
                "They do hear *y*, only too late or too roughly.",
            ),
        ),
    ),
)
