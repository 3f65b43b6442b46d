"""A small network for points on a line or in a plane."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dmlib._validate import check_classes, check_int
from dmlib.models._inputs import check_inputs
from dmlib.models.blocks import zeroed
from dmlib.models.embedding import Conditioning


class MLP(nn.Module):
    """eps_hat = net(xt, t, y) for data of shape (B, D): residual layers that hear t and y.

    Each layer computes h + W_2 SiLU(W_1 (h + W_e emb)); the last map starts at 0.

    Args:
        dim: D, >= 1.
        width: of the hidden layers, even.
        depth: number of residual layers, >= 1.
        num_classes: None for an unconditional network; the null class is num_classes.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self, dim: int, *, width: int = 128, depth: int = 3, num_classes: int | None = None
    ) -> None:
        super().__init__()
        dim, depth = check_int("dim", dim, low=1), check_int("depth", depth, low=1)
        width, num_classes = check_int("width", width, low=2), check_classes(num_classes)
        if width % 2:
            raise ValueError(f"width must be even, got {width}; try: {width + 1}")
        self.dim, self.num_classes = dim, num_classes
        self.conditioning = Conditioning(width, num_classes=num_classes)
        self.stem = nn.Linear(dim, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(depth))
        self.head = zeroed(nn.Linear(width, dim))

    def forward(self, xt: Tensor, t: int | Tensor, y: Tensor | None = None) -> Tensor:
        """Predict the noise in xt.

        Args:
            xt: (B, D), floating point.
            t: int or (B,) int64.
            y: (B,) int64 in 0..num_classes, or None for the null class.

        Returns:
            eps_hat, (B, D).

        Raises:
            ValueError: an argument does not fit the network.
        """
        if not isinstance(xt, Tensor) or xt.ndim != 2 or xt.shape[1] != self.dim:
            got = tuple(xt.shape) if isinstance(xt, Tensor) else type(xt).__name__
            raise ValueError(f"xt must have shape (B, {self.dim}), got {got}")
        t, y = check_inputs(self, xt, t, y, num_classes=self.num_classes)
        emb = self.conditioning(t, y)
        h = self.stem(xt)  # (B, width)
        for layer in self.layers:
            h = layer(h, emb)
        return self.head(F.silu(h))


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Linear(width, width)
        self.map_1 = nn.Linear(width, width)
        self.map_2 = nn.Linear(width, width)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        return h + self.map_2(F.silu(self.map_1(F.silu(h + self.emb(emb)))))
