"""Networks, net(xt, t, y=None) -> Tensor, and the denoisers that are made of them."""

from dmlib.models.mlp import MLP
from dmlib.models.points import CloudNet
from dmlib.models.predictions import (
    NetDenoiser,
    predicts_eps,
    predicts_v,
    predicts_velocity,
    predicts_x0,
)
from dmlib.models.unet import UNet, UNetConfig

__all__ = [
    "MLP",
    "CloudNet",
    "NetDenoiser",
    "UNet",
    "UNetConfig",
    "predicts_eps",
    "predicts_v",
    "predicts_velocity",
    "predicts_x0",
]
