"""The quick quiz of chapter 1, the forward process."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "*x*_{t−1} has variance 4. What is the variance of *x*_t after a step with *β*_t = 0.1?",
        (
            Option("4.1", "So it would be if the step only added noise. It shrinks first."),
            Option("3.6", "That is the shrunk part, 0.9 · 4. The noise adds its own variance."),
            Option(
                "3.7",
                "0.9 · 4 + 0.1. A variance above 1 falls, one below 1 rises: 1 is where all end.",
                right=True,
            ),
            Option("4", "Only a variance of 1 stays as it is."),
        ),
    ),
    Question(
        "What is *β*_t?",
        (
            Option(
                "The variance of the noise that step *t* adds",
                "And therefore √{*β*_t} is what the noise is multiplied with.",
                right=True,
            ),
            Option(
                "The standard deviation of the noise that step *t* adds",
                "That is √{*β*_t}. For *β*_t = 0.01 it is 0.1, ten times as much.",
            ),
            Option(
                "A weight that the network learns",
                "The schedule is chosen before training; nothing in the forward process is "
                "learned.",
            ),
        ),
    ),
    Question(
        "You know *x*_{t−1}. Somebody shows you *x*_0 as well. Can you now say more about *x*_t?",
        (
            Option(
                "Yes, since *x*_t is made from *x*_0",
                "It is made from *x*_0 by way of *x*_{t−1}, and that you know already.",
            ),
            Option(
                "No: *x*_t is made from *x*_{t−1} and fresh noise alone",
                "That is the Markov property: the past acts through the present only.",
                right=True,
            ),
            Option(
                "Yes, if *t* is small",
                "The smaller *t* is, the more *x*_t looks like *x*_0. But all of that likeness is "
                "in *x*_{t−1} already.",
            ),
        ),
    ),
    Question(
        "What must a schedule reach at *t* = *T*?",
        (
            Option(
                "*β*_T = 1",
                "Then the last step would wipe out everything, but many small steps do it, too: "
                "the linear schedule ends at 0.02.",
            ),
            Option(
                "*x*_T = 0",
                "The picture fades to 0, the noise does not: *x*_T is noise of variance 1.",
            ),
            Option(
                "*ᾱ*_T nearly 0",
                "Then nothing of the picture is left, and sampling may start from pure noise.",
                right=True,
            ),
        ),
    ),
)
