"""The quick quiz of the chapter on which pixel is what."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "Nine of ten pixels are ground. A classifier calls all pixels ground. What is its score?",
        (
            Option(
                "Accuracy 0.9 and mIoU 0.9",
                "For the other four classes the overlap is 0, and each class counts alike.",
            ),
            Option(
                "Accuracy 0.9 and mIoU 0.18",
                "IoU is 0.9 for the ground and 0 for four shapes: 0.9 / 5.",
                right=True,
            ),
            Option(
                "Accuracy 0.2 and mIoU 0.2",
                "Accuracy counts pixels, not classes: nine of ten are right.",
            ),
        ),
    ),
    Question(
        "Why is noise added to a scene before the network is asked for features?",
        (
            Option(
                "At *t* the network has only ever seen pictures with the noise of *t*",
                "And what it must find out there, to remove that noise, is what we are after.",
                right=True,
            ),
            Option(
                "To have more training data",
                "One can draw the noise anew, but that is not why it is there.",
            ),
            Option(
                "So that the network cannot remember the scene",
                "It has never seen this scene, with or without noise.",
            ),
        ),
    ),
    Question(
        "At *t* = *T* the features of every block are useless for this task. Why?",
        (
            Option(
                "The network was trained less there",
                "All times are drawn alike in training.",
            ),
            Option(
                "*x*_T says nothing of *x*_0: no network could tell where the shapes are",
                "What is not in the input is not in the features.",
                right=True,
            ),
            Option(
                "The features become too large for the classifier",
                "They are normalised before it sees them.",
            ),
        ),
    ),
    Question(
        "What does the *untrained* network show as a baseline?",
        (
            Option(
                "How good a network is that is trained on the labels alone",
                "That is another baseline: the U-Net from nothing.",
            ),
            Option(
                "That the labels are right",
                "It says nothing of the labels.",
            ),
            Option(
                "How much comes from the architecture, and how much from the denoising",
                "Random filters with a wide view are features, too. The difference was learned.",
                right=True,
            ),
        ),
    ),
    Question(
        "With very many labels, which method should win in the end?",
        (
            Option(
                "The U-Net trained on the labels",
                "It can fit whatever the labels ask for; frozen features only what they hold.",
                right=True,
            ),
            Option(
                "The frozen features, for their network has seen so many more pictures",
                "What they do not hold, no number of labels brings back.",
            ),
            Option(
                "Single pixels",
                "All shapes come in all colours: one pixel never knows its shape.",
            ),
        ),
    ),
)
