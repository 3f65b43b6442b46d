"""The quick quiz of the chapter on networks that are shown a picture."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "Why need nothing be approximated at *t* when the network is trained with *y*?",
        (
            Option(
                "The least square error, given *x*_t and *y*, is had by E[*x*_0 | *x*_t, *y*]",
                "That is what DPS and its kin must put together from a network without *y*.",
                right=True,
            ),
            Option(
                "Because *y* has no noise",
                "With a noisy *y* it works as well: the network learns the mean for that.",
            ),
            Option(
                "Because the network has more input channels",
                "Channels are how it is told. What it is asked for makes the difference.",
            ),
        ),
    ),
    Question(
        "What does the network say at *t* = *T*, where *x*_T is all noise?",
        (
            Option(
                "Nothing of use: it sees only noise",
                "It sees *y*, too.",
            ),
            Option(
                "A sample of *p*(*x*_0 | *y*)",
                "One call gives a mean. To become a sample it must decide, step by step.",
            ),
            Option(
                "The mean of all that fits *y*",
                "The same as a regression network says, and as blurred.",
                right=True,
            ),
        ),
    ),
    Question(
        "A sample has 3 dB less than the mean of what fits. What does that say of the sampler?",
        (
            Option(
                "It is poor: it loses half of the quality",
                "It is what an exact sampler must lose.",
            ),
            Option(
                "That it may be right: exact samples have twice the square error",
                "If it lost less, its samples would vary too little, or around a wrong mean.",
                right=True,
            ),
            Option(
                "That it takes too few steps",
                "With any number of steps a right sample has twice the error of the mean.",
            ),
        ),
    ),
    Question(
        "A doctor wants a scan enlarged. Which answer is the most dangerous?",
        (
            Option(
                "The blurred mean",
                "It is ugly, but what it does not know, it does not show.",
            ),
            Option(
                "Sixteen samples beside each other",
                "Where they differ, everybody sees what the scan does not tell.",
            ),
            Option(
                "One sharp sample, taken for the truth",
                "Its details are plausible, and invented.",
                right=True,
            ),
        ),
    ),
    Question(
        "The network was trained with block means. Now every fourth pixel is given instead. So?",
        (
            Option(
                "It takes them for means, and answers a question that nobody asked",
                "It has learned one *A*. DPS would only need the new *A*.",
                right=True,
            ),
            Option(
                "Nothing changes: it is 7 × 7 numbers either way",
                "The same numbers mean another picture.",
            ),
            Option(
                "It notices, and its samples vary more",
                "It has never seen anything that would let it notice.",
            ),
        ),
    ),
)
