"""The quick quiz of chapter 3, the reverse process."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "Why can *q*(*x*_{t−1} | *x*_t) not simply be computed for pictures?",
        (
            Option(
                "Because the forward step is random, and randomness cannot be undone",
                "A distribution of the causes exists all the same: Bayes' rule gives it.",
            ),
            Option(
                "Because by Bayes' rule it needs *q*(*x*_{t−1}), and so the distribution of all "
                "pictures",
                "Which of the possible forerunners is plausible, only the data can say. Hence a "
                "network that learns from them.",
                right=True,
            ),
            Option(
                "Because the forward step is not normal",
                "It is normal by construction. The reverse step is not, in general.",
            ),
        ),
    ),
    Question(
        "A network is trained on the squared error of the noise until it cannot be better. What "
        "does it answer for a given *x*_t?",
        (
            Option(
                "The very noise that was added",
                "Many pairs of picture and noise give the same *x*_t. Which one it was cannot be "
                "seen.",
            ),
            Option(
                "A random noise that would fit",
                "A random guess has twice the error of the best one. The squared error wants a "
                "mean.",
            ),
            Option(
                "The mean of all noises that could be in this *x*_t, each as likely as it is",
                "The conditional mean minimises the squared error. For small steps it is enough.",
                right=True,
            ),
        ),
    ),
    Question(
        "*β̃*_t, the variance of *q*(*x*_{t−1} | *x*_t, *x*_0), is",
        (
            Option(
                "smaller than *β*_t",
                "Who also knows *x*_0 is less in doubt about *x*_{t−1}. For large *t* the "
                "difference is small.",
                right=True,
            ),
            Option(
                "equal to *β*_t, since it is the same step",
                "*β*_t is the variance of the step forward. Going back, *x*_0 is known as well.",
            ),
            Option(
                "different for each *x*_0",
                "Only its mean depends on *x*_0 and *x*_t. All of these are normal, with one "
                "variance for each *t*.",
            ),
        ),
    ),
    Question(
        "In the last step, from *x*_1 to *x*_0, DDPM adds no noise. Why?",
        (
            Option(
                "Because *β*_1 = 0",
                "*β*_1 is small, but not 0. *β̃*_1 is 0: given *x*_0, nothing is in doubt.",
            ),
            Option(
                "Because nothing comes after it that would take the noise away",
                "All earlier noise is looked at once more by the network. This would simply stay "
                "in the picture.",
                right=True,
            ),
            Option(
                "Because the network was not trained at *t* = 1",
                "It was, as at every other *t*.",
            ),
        ),
    ),
)
