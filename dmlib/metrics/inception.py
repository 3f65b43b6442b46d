"""The FID of the literature: Inception's features, from the package pytorch-fid.

It needs `pip install dmlib[fid]` and, once, the network: 90 MB of weights are downloaded. For
28x28 grey images metrics.Features tells more and comes with dmlib; this is for colour images and
for comparing with papers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InceptionFeatures(nn.Module):
    """Images to the 2,048 features that FID is measured in; goes where metrics.Features goes.

    frechet_distance(features_of(samples, net), features_of(data, net)) is then the FID, and
    papers take at least 10,000 images for it, better 50,000: with fewer it is too large.
    Source: Heusel et al. 2017; weights and resizing of pytorch-fid, which keeps those of the
    first implementation; the book's equation eq-frechet.

    Raises:
        ImportError: pytorch-fid is not installed; the message says how.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from pytorch_fid.inception import InceptionV3
        except ImportError as error:
            raise ImportError(f"FID needs pip install dmlib[fid]: {error}") from error
        self.net = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]], normalize_input=True)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1 or 3, H, W) in [-1, 1] -> features (N, 2048).

        Raises:
            ValueError: x has another shape.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(f"x must have shape (N, 1 or 3, H, W), got {tuple(x.shape)}")
        levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round() / 255  # as if saved and loaded
        return torch.flatten(self.net(levels.expand(-1, 3, -1, -1))[0], 1)
