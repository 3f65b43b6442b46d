"""The quick quiz of the chapter on words and pictures."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "In cross-attention, what comes from where?",
        (
            Option(
                "Queries from the pixels; keys and values from the words",
                "Each pixel asks; the words say what they are about, and what they have to tell.",
                right=True,
            ),
            Option(
                "Queries from the words; keys and values from the pixels",
                "Then each *word* would get a mixture of pixels. It is the picture that is to "
                "change.",
            ),
            Option(
                "All three from the pixels",
                "That is self-attention. It cannot hear a caption.",
            ),
        ),
    ),
    Question(
        "Why are some captions replaced by the empty one in training?",
        (
            Option(
                "So that the network does not learn the captions by heart",
                "No scene is seen twice. The reason is another.",
            ),
            Option(
                "So that one network also knows the pictures without a caption, from which "
                "guidance starts",
                "Guidance needs both answers.",
                right=True,
            ),
            Option(
                "To save time: short captions are cheaper",
                "They are padded to one length and cost the same.",
            ),
        ),
    ),
    Question(
        "Captions have different lengths. What becomes of the padding?",
        (
            Option(
                "Its score becomes −∞ before the softmax",
                "So its weight is 0, and the other weights add up to 1.",
                right=True,
            ),
            Option(
                "Its weight becomes 0 after the softmax",
                "Then the weights add up to less than 1, the less the shorter the caption.",
            ),
            Option(
                "Nothing: the network learns to pass over it",
                "It may, but the answer would depend on how long the longest caption may be.",
            ),
        ),
    ),
    Question(
        "A negative prompt “a red circle” takes the place of",
        (
            Option(
                "the caption, with the opposite sign",
                "Then the two weights would not add up to 1.",
            ),
            Option(
                "a filter that throws red circles away",
                "Nothing is looked at or thrown away. It steers every step.",
            ),
            Option(
                "the empty caption, from which guidance goes away",
                "At guidance 1 it is not heard at all.",
                right=True,
            ),
        ),
    ),
    Question(
        "A pair of shape and colour was never seen in training, but each of the two was. What does "
        "a right picture of it show?",
        (
            Option(
                "That the network can put together what it learned apart",
                "That is composition. How often it comes right is a number, with an interval.",
                right=True,
            ),
            Option(
                "That the pair was in the training data after all",
                "It was not: we draw the scenes, and never draw this pair.",
            ),
            Option(
                "Nothing: any network that knows both must be able to do it",
                "It need not. Whether it is measured is the point of holding pairs out.",
            ),
        ),
    ),
)
