"""Networks that predict the noise: net(xt, t, y=None) -> eps_hat."""

from dmlib.models.mlp import MLP
from dmlib.models.unet import UNet, UNetConfig
from dmlib.models.velocity import EpsFromV, EpsFromX0

__all__ = ["MLP", "EpsFromV", "EpsFromX0", "UNet", "UNetConfig"]
