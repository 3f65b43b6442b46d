"""The quick quiz of chapter 5, training."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "Which steps *t* does one training step look at?",
        (
            Option(
                "All of them, from 1 to *T*, one after the other",
                "That would be *T* calls of the network for one picture. The kernel jumps to any "
                "*t*, so one is enough.",
            ),
            Option(
                "A random *t* for each picture of the batch",
                "On average every *t* gets its share, and each call trains many of them at once.",
                right=True,
            ),
            Option(
                "The same random *t* for the whole batch",
                "That would work, but the loss would jump from batch to batch, as it differs much "
                "with *t*.",
            ),
        ),
    ),
    Question(
        "The loss falls quickly and then hardly at all, far above 0. Is something broken?",
        (
            Option(
                "Yes: a good network brings the loss to 0",
                "No network can. Which part of *x*_t is noise cannot be seen exactly, above all "
                "where there is little of it.",
            ),
            Option(
                "No: part of the loss cannot be avoided, and pictures go on getting better",
                "The last small gains are what makes samples sharp. Hence look at samples and "
                "at a distance, not at the loss alone.",
                right=True,
            ),
            Option(
                "Yes: the learning rate is too small",
                "Perhaps, but the flat curve does not show it. Every working diffusion model has "
                "such a curve.",
            ),
        ),
    ),
    Question(
        "What is averaged for the samples (EMA)?",
        (
            Option(
                "The weights of the last many steps",
                "The weights tremble from step to step, the average lies calmly in the middle. "
                "Training goes on with the trembling ones.",
                right=True,
            ),
            Option(
                "The pictures of several networks",
                "A mean of pictures is a blur.",
            ),
            Option(
                "The gradients",
                "That is momentum, and part of the optimiser.",
            ),
        ),
    ),
    Question(
        "In training, the class is now and then replaced by “no class”. What for?",
        (
            Option(
                "So that the network does not memorise the classes",
                "Ten classes are no burden. What could be memorised are the pictures.",
            ),
            Option(
                "So that one network can answer both with and without a class",
                "Guidance needs both answers: it goes from the one past the other.",
                right=True,
            ),
            Option(
                "Because some labels in the data are wrong",
                "Some may be, but leaving others out does not correct the wrong ones.",
            ),
        ),
    ),
)
