"""The quick quiz of the introduction."""

from __future__ import annotations

from dmlib.book.exercises.question import Option, Question

QUESTIONS = (
    Question(
        "A network is to answer “a sandal” with the one picture that is, on average, nearest to "
        "all sandals in squared error. What does it show?",
        (
            Option(
                "The most typical of all sandals in the data, sharp and complete",
                "No single sandal is nearest to all the others; something between them is nearer.",
            ),
            Option(
                "The mean of all sandals: a blur that is no sandal",
                "The mean minimises the squared error, whether or not it looks like anything. "
                "That is why asking for everything at once gives a blur.",
                right=True,
            ),
            Option(
                "Any sandal, they are all equally good",
                "Each sandal is far from most of the others. The mean is nearer to all of them.",
            ),
        ),
    ),
    Question(
        "A GAN has collapsed. How do its samples look?",
        (
            Option(
                "Blurred, all of them",
                "Blur is what a VAE's squared error tends to give. A collapsed generator may draw "
                "very sharply.",
            ),
            Option(
                "Like noise, with a hint of the data here and there",
                "Then it would fool no discriminator, and would be told so.",
            ),
            Option(
                "Sharp, but a few kinds again and again",
                "A few pictures that fool the opponent are enough for the generator; nothing "
                "rewards it for the kinds that it leaves out.",
                right=True,
            ),
        ),
    ),
    Question(
        "Noise is added to our toy, and near the end its entropy falls a little. How can that be?",
        (
            Option(
                "Each step also shrinks the values; the process is not an isolated system",
                "Shrinking squeezes the distribution and lowers the entropy, noise raises it. What "
                "has a direction is the divergence from the final normal distribution.",
                right=True,
            ),
            Option(
                "Some information about *x*_0 comes back",
                "Never: the information about *x*_0 falls at every step, noise cannot bring it "
                "back.",
            ),
            Option(
                "A rounding error: entropy can only rise",
                "That law is for isolated systems. The integral in the chapter is exact to many "
                "digits.",
            ),
        ),
    ),
    Question(
        "A boot is turned into pure noise, and the reverse process starts from just this noise. "
        "What comes out?",
        (
            Option(
                "The same boot",
                "What pure noise still knows of the boot is nearly nothing.",
            ),
            Option(
                "A picture that could have been in the data, probably another one",
                "The reverse process draws a plausible picture. Which one was there before is "
                "forgotten.",
                right=True,
            ),
            Option(
                "The mean of all boots",
                "The mean is the best guess of one single step from noise to picture. In many "
                "small steps a decision is made, little by little.",
            ),
        ),
    ),
)
