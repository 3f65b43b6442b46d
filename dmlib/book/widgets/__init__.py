"""The interactive figures of the book: a Python class each, with an ES module beside it."""

from dmlib.book.widgets.base import InteractiveFigure, Prediction
from dmlib.book.widgets.chain_vs_kernel import ChainVsKernel
from dmlib.book.widgets.cloud_player import CloudCompletion, CloudPlayer
from dmlib.book.widgets.divider import Divider
from dmlib.book.widgets.forward_player import ForwardPlayer
from dmlib.book.widgets.label_budget import LabelBudget
from dmlib.book.widgets.particles import Particles
from dmlib.book.widgets.paths import Paths
from dmlib.book.widgets.posterior import Posterior
from dmlib.book.widgets.quick_quiz import QuickQuiz
from dmlib.book.widgets.reverse_player import ReversePlayer
from dmlib.book.widgets.reverse_posterior import ReversePosterior
from dmlib.book.widgets.run_player import RunPlayer
from dmlib.book.widgets.sampler import Sampler
from dmlib.book.widgets.say_it import SayIt
from dmlib.book.widgets.schedule_explorer import ScheduleExplorer
from dmlib.book.widgets.three_views import ThreeViews
from dmlib.book.widgets.unet_explorer import UNetExplorer

__all__ = [
    "ChainVsKernel",
    "CloudCompletion",
    "CloudPlayer",
    "Divider",
    "ForwardPlayer",
    "InteractiveFigure",
    "LabelBudget",
    "Particles",
    "Paths",
    "Posterior",
    "Prediction",
    "QuickQuiz",
    "ReversePlayer",
    "ReversePosterior",
    "RunPlayer",
    "Sampler",
    "SayIt",
    "ScheduleExplorer",
    "ThreeViews",
    "UNetExplorer",
]
