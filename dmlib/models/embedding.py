"""How the network learns which step it is at, and which class it is asked for."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dmlib._validate import check_classes, check_int


def sinusoidal_embedding(t: Tensor, dim: int, *, max_period: float = 10_000.0) -> Tensor:
    """Write the step t as `dim` numbers: cosines and sines of geometrically spaced frequencies.

    e_k(t) = cos(omega_k t), e_{dim/2 + k}(t) = sin(omega_k t),
    omega_k = max_period^(-k / (dim/2)), k = 0..dim/2 - 1.
    Source: Vaswani et al. 2017, section 3.5, as used by Ho et al. 2020, appendix B; the book's
    equation eq-time-embedding.

    Args:
        t: (B,), integers or floats.
        dim: even, >= 2.
        max_period: 2 pi times this is the longest wave length (nearly), > 1.

    Returns:
        (B, dim), float32, in [-1, 1].

    Raises:
        ValueError: dim is odd or below 2, or t is not one-dimensional.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim must be even and >= 2, got {dim}")
    if t.ndim != 1:
        raise ValueError(f"t must have shape (B,), got {tuple(t.shape)}")
    if not max_period > 1:
        raise ValueError(f"max_period must be > 1, got {max_period}")
    half = dim // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    omega = torch.exp(-math.log(max_period) / half * k)  # (dim/2,)
    angle = t.float()[:, None] * omega  # (B, dim/2)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class Conditioning(nn.Module):
    """Step t and class y as one vector (B, dim) that every block listens to.

    emb = SiLU(W_2 SiLU(W_1 e(t)) + E[y]), E has a row for each class and one, the last, for
    "no class" (Ho & Salimans 2022, section 3.1); the SiLU is here once for all blocks.

    Args:
        dim: length of the vector, even.
        num_classes: rows of E besides the null class; None leaves E out.

    Raises:
        ValueError: dim is odd or below 2, or num_classes is neither None nor >= 1.
    """

    def __init__(self, dim: int, *, num_classes: int | None = None) -> None:
        super().__init__()
        dim, num_classes = check_int("dim", dim, low=2), check_classes(num_classes)
        if dim % 2:
            raise ValueError(f"dim must be even, got {dim}; try: {dim + 1}")
        self.dim = dim
        self.time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = None if num_classes is None else nn.Embedding(num_classes + 1, dim)

    def forward(self, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B,) and (B,) -> (B, dim)."""
        e = sinusoidal_embedding(t, self.dim).to(self.time[0].weight.dtype)
        emb = self.time(e)
        if self.label is not None:
            try:
                emb = emb + self.label(y)
            except IndexError as error:
                least, most = int(y.min()), int(y.max())
                null = self.label.num_embeddings - 1
                raise ValueError(f"y must be in 0..{null}, got {least} to {most}") from error
        return nn.functional.silu(emb)
