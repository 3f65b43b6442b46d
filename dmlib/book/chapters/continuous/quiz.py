"""The quick quiz of the chapter on continuous time."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "A chain of 1,000 steps is replaced by one of 2,000 that ends at the same noise. What "
        "happens to the noise variance *β*_t of one step?",
        (
            Option(
                "It stays as it is",
                "Then twice as much noise would come in along the whole way.",
            ),
            Option(
                "It is halved",
                "*β*_t = *β*(*s*) d*s*, and d*s* is halved. So the noise itself shrinks by √{2} "
                "only.",
                right=True,
            ),
            Option(
                "It is divided by √{2}",
                "That is the standard deviation. Variances add up, so they are divided by 2.",
            ),
        ),
    ),
    Question(
        "Two points start at the same *x*_1 and follow the probability-flow ODE. Where do they "
        "end?",
        (
            Option(
                "At the same *x*_0",
                "Nothing is random after the start. In one dimension, the median goes to the "
                "median, and every quantile to its own.",
                right=True,
            ),
            Option(
                "At two independent samples of the data",
                "That is what the reverse SDE with much noise does, which forgets its start.",
            ),
            Option(
                "Both at the mean of the data",
                "Then all samples would be one picture. The flow carries a whole distribution.",
            ),
        ),
    ),
    Question(
        "The forward SDE adds noise of the variance *g*^2 per time. With which factor does the "
        "score stand in the probability-flow ODE?",
        (
            Option(
                "−*g*",
                "The Fokker–Planck equation knows only the variance, *g*^2.",
            ),
            Option(
                "−*g*^2",
                "That is the reverse SDE, which also adds noise again.",
            ),
            Option(
                "−*g*^2/2",
                "The second half of *g*^2 is needed only if fresh noise has to be made up for.",
                right=True,
            ),
        ),
    ),
    Question(
        "On the straight path, *x*_s = (1 − *s*) *x*_0 + *s* *ε*, every pair of data and noise "
        "moves along a line. Are the paths of the flow straight, too?",
        (
            Option(
                "Yes, for the flow follows the pairs",
                "It cannot: where lines of many pairs cross, it has just one velocity, their mean.",
            ),
            Option(
                "No: its velocity is a mean over all pairs that pass there, and it bends",
                "Where the heaps are decided, the mean turns. Only for data at one point is every "
                "path straight.",
                right=True,
            ),
            Option(
                "No, since noise is added on the way",
                "None is added in a flow. It bends without.",
            ),
        ),
    ),
    Question(
        "Heun's method is of second order, Euler's of the first. You halve the step. What happens "
        "to their errors, once the steps are small?",
        (
            Option(
                "Heun's is quartered, Euler's halved",
                "An error of the order *p* falls by 2^p. Heun asks twice a step for it.",
                right=True,
            ),
            Option(
                "Both are halved, but Heun's is smaller from the start",
                "The order is how fast the error falls, not how large it is.",
            ),
            Option(
                "Heun's is halved, Euler's stays",
                "Every useful method gets better with smaller steps, Euler's too.",
            ),
        ),
    ),
    Question(
        "A network was trained on the lecture's path. Can it sample along the straight path "
        "without new training?",
        (
            Option(
                "No: the velocity was never trained",
                "The velocity is a combination of *x̂*_0 and *ε̂*, as *v* is. The network knows "
                "both.",
            ),
            Option(
                "Yes, if it is asked at the time with the same noise-to-data ratio and *x* is "
                "scaled",
                "All Gaussian paths are one up to a clock and a scale. Only where training put "
                "its weight differs.",
                right=True,
            ),
            Option(
                "Yes: both paths have the same *x*_s at every *s*",
                "They mix differently at the same *s*: one keeps the variance, the other not.",
            ),
        ),
    ),
)
