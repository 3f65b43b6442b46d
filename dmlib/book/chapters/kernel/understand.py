"""The exercises of chapter 2, the diffusion kernel: predictions and quizzes."""

from __future__ import annotations

from torch import Tensor

from dmlib.book.exercises.exercise import Mistake, Number, Quiz
from dmlib.book.exercises.question import Option
from dmlib.schedules import cosine_schedule, linear_schedule


def _nearest(table: Tensor, value: float) -> float:
    return float((table - value).abs().argmin())


STEPS = 500  # not the 1000 of the chapter, whose table prints the answer


def _equal_parts() -> float:
    return _nearest(cosine_schedule(STEPS).alpha_bar, 0.5)


EQUAL_PARTS = Number(
    id="ex-kernel-1",
    level="understand",
    title="As much picture as noise",
    minutes=4,
    tolerance=2.0,
    reference=_equal_parts,
    mistakes=(
        Mistake(
            "the linear schedule's step",
            lambda: _nearest(linear_schedule(STEPS).alpha_bar, 0.5),
            "The question is about the cosine schedule; switch the explorer over.",
        ),
        Mistake(
            "the step for T = 1000",
            lambda: _nearest(cosine_schedule(1000).alpha_bar, 0.5),
            "The cosine schedule sees t only as t/T. What does a shorter chain do?",
        ),
        Mistake(
            "the step where the factor sqrt(alpha_bar_t) is 1/2",
            lambda: _nearest(cosine_schedule(STEPS).alpha_bar, 0.25),
            "SNR compares variances, alpha_bar_t and 1 - alpha_bar_t, not their roots.",
        ),
        Mistake(
            "the step where log SNR is 1",
            lambda: _nearest(cosine_schedule(STEPS).log_snr[1:], 1.0) + 1,
            "SNR = 1 means log SNR = 0, not 1.",
        ),
    ),
)


LEAK = Quiz(
    id="ex-kernel-6",
    level="understand",
    title="A little picture is left at T",
    minutes=4,
    question="A schedule ends at alpha_bar_T = 0.005, so 7 % of the picture is left in x_T. The "
    "network is trained on such x_T, but sampling starts at pure noise. What goes wrong?",
    options={
        "a": Option(
            "Nothing: 7 % cannot be seen.",
            "An eye does not see it, a network does: the mean over all pixels of an image stands "
            "out clearly from noise whose mean is almost 0.",
        ),
        "b": Option(
            "The samples come out too noisy.",
            "The noise is removed as usual. It is the start that does not fit, not the end.",
        ),
        "c": Option(
            "Training diverges, as the SNR at T is not 0.",
            "Training is fine: a positive SNR is an easy case. The trouble comes in sampling.",
        ),
        "d": Option(
            "The network takes its brightness from the leak, and pure noise always says medium.",
            "So very dark and very bright pictures are never drawn. zero_terminal_snr cures it "
            "(Lin et al. 2024).",
            right=True,
        ),
    },
)
