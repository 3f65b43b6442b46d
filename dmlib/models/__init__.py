"""Networks that predict the noise: net(xt, t, y=None) -> eps_hat."""

from dmlib.models.mlp import MLP
from dmlib.models.unet import UNet, UNetConfig
from dmlib.models.velocity import EpsFromV

__all__ = ["MLP", "EpsFromV", "UNet", "UNetConfig"]
