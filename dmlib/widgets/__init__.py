"""The interactive figures of the book: a Python class each, with an ES module beside it."""

from dmlib.widgets.base import InteractiveFigure, Prediction
from dmlib.widgets.chain_vs_kernel import ChainVsKernel
from dmlib.widgets.forward_player import ForwardPlayer
from dmlib.widgets.particles import Particles
from dmlib.widgets.quick_quiz import QuickQuiz
from dmlib.widgets.reverse_player import ReversePlayer
from dmlib.widgets.reverse_posterior import ReversePosterior
from dmlib.widgets.run_player import RunPlayer
from dmlib.widgets.sampler import Sampler
from dmlib.widgets.schedule_explorer import ScheduleExplorer
from dmlib.widgets.unet_explorer import UNetExplorer

__all__ = [
    "ChainVsKernel",
    "ForwardPlayer",
    "InteractiveFigure",
    "Particles",
    "Prediction",
    "QuickQuiz",
    "ReversePlayer",
    "ReversePosterior",
    "RunPlayer",
    "Sampler",
    "ScheduleExplorer",
    "UNetExplorer",
]
