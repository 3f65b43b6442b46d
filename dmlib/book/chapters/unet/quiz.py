"""The quick quiz of chapter 4, the U-Net."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "All widths of a U-Net are doubled. What happens to the number of its parameters?",
        (
            Option(
                "It doubles",
                "A convolution has a weight for each pair of an input and an output channel.",
            ),
            Option(
                "It becomes nearly four times as large",
                "Twice the inputs times twice the outputs. Norms and biases only double.",
                right=True,
            ),
            Option(
                "It stays, only the feature maps get larger in height and width",
                "The widths are numbers of channels, and channels have weights.",
            ),
        ),
    ),
    Question(
        "Why is there attention at 7 × 7 places, but not at 28 × 28?",
        (
            Option(
                "Because every place looks at every other: 16 times the places are 256 times the "
                "pairs",
                "49 places make 2,401 pairs, 784 places make 614,656.",
                right=True,
            ),
            Option(
                "Because attention only works on square maps of odd size",
                "It works on any number of places, in any shape.",
            ),
            Option(
                "Because it would need more parameters there",
                "Its parameters depend on the channels only. It is the computing that grows.",
            ),
        ),
    ),
    Question(
        "GroupNorm and not BatchNorm: what does this network gain by it?",
        (
            Option(
                "It has no parameters",
                "It has a weight and a bias for each channel, just as BatchNorm.",
            ),
            Option(
                "The values stay between −1 and 1",
                "It sets mean and variance. Single values may be as large as they like.",
            ),
            Option(
                "Each picture is normed alone, whatever *t* the others of the batch have",
                "A batch mixes nearly clear pictures with nearly pure noise; a mean and a variance "
                "over all of them fit none.",
                right=True,
            ),
        ),
    ),
    Question(
        "Why waves of many lengths for the step, and not the one number *t*/*T*?",
        (
            Option(
                "Because a network can only compute well with numbers that lie between −1 and 1",
                "It could be fed with *t*/*T*, which lies there, too.",
            ),
            Option(
                "Because fast waves tell near steps apart and slow ones say how far it is",
                "From one number a layer would have to carve out fine differences itself. The "
                "waves offer them ready at every scale.",
                right=True,
            ),
            Option(
                "So that the network need not learn anything about *t*",
                "It learns all of it: the waves are fixed, but what follows from them is learned.",
            ),
        ),
    ),
)
