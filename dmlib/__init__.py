"""dmlib: the library behind the book "Diffusion models, step by step".

The names that most programs need; the rest stands in the modules. The lecture is the eleven flat
files: schedules, forward, parameterization, mixture, oracle, bound, losses, steps, sampling,
guidance (and continuous).
"""

from dmlib.checkpoint import load_shipped
from dmlib.forward import q_sample
from dmlib.guidance import conditioned, guided
from dmlib.models import MLP, UNet, UNetConfig, predicts_eps, predicts_v, predicts_x0
from dmlib.parameterization import Denoiser, Guess
from dmlib.sampling import clipped, generate, sample
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.steps import ddim, ddpm, dpm_solver, heun
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training
from dmlib.training.session import Session

__version__ = "0.1.0"
__all__ = [
    "MLP",
    "Denoiser",
    "Guess",
    "NoiseSchedule",
    "Session",
    "TrainConfig",
    "Training",
    "UNet",
    "UNetConfig",
    "clipped",
    "conditioned",
    "cosine_schedule",
    "ddim",
    "ddpm",
    "dpm_solver",
    "generate",
    "guided",
    "heun",
    "linear_schedule",
    "load_shipped",
    "predicts_eps",
    "predicts_v",
    "predicts_x0",
    "q_sample",
    "sample",
    "shuffled",
]
