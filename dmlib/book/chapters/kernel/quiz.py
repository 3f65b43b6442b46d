"""The quick quiz of chapter 2, the diffusion kernel."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "*ε*_1 and *ε*_2 are independent and standard normal. What is 0.6 *ε*_1 + 0.8 *ε*_2?",
        (
            Option(
                "Normal with standard deviation 1.4",
                "Standard deviations do not add up, for the two are often of opposite sign. "
                "Variances do.",
            ),
            Option(
                "Standard normal again",
                "0.36 + 0.64 = 1, and a sum of independent normal variables is normal.",
                right=True,
            ),
            Option(
                "Of variance 1, but not normal any more",
                "A sum of independent normal variables is normal. Of others it would not be.",
            ),
        ),
    ),
    Question(
        "*ᾱ*_t = 0.36. With what are the picture and the noise multiplied in *x*_t?",
        (
            Option(
                "0.36 and 0.64",
                "These are the variances. The factors are their roots.",
            ),
            Option(
                "0.6 and 0.4",
                "√{0.36} = 0.6 is right. The other is √{1 − *ᾱ*_t}, not 1 − √{*ᾱ*_t}.",
            ),
            Option(
                "0.6 and 0.8",
                "√{0.36} and √{0.64}: their squares add up to 1.",
                right=True,
            ),
        ),
    ),
    Question(
        "You draw *x*_{99} with the kernel, and then *x*_{100} with the kernel and new noise. Are "
        "they two neighbours of one path?",
        (
            Option(
                "Yes: each has just the right distribution",
                "Each alone has. But neighbours share nearly all their noise, and these two none.",
            ),
            Option(
                "No: for a path, *x*_{100} must be made out of this *x*_{99} by one step",
                "The kernel gives the right distribution at each time, not the right pairs.",
                right=True,
            ),
            Option(
                "No: the kernel is only an approximation of the chain",
                "It is exact. What is missing is that the two belong together.",
            ),
        ),
    ),
    Question(
        "From one time to a later one, the SNR falls from 4 to 1. What does *ᾱ*_t do?",
        (
            Option(
                "It falls from 0.8 to 0.5",
                "SNR = *ᾱ*_t / (1 − *ᾱ*_t): 0.8 / 0.2 = 4, and 0.5 / 0.5 = 1.",
                right=True,
            ),
            Option(
                "It rises from 0.2 to 0.5",
                "These are the shares of the noise, 1 − *ᾱ*_t, the other way round.",
            ),
            Option(
                "It falls to a quarter",
                "The SNR does. *ᾱ*_t is the share of the picture in a variance of 1.",
            ),
        ),
    ),
)
