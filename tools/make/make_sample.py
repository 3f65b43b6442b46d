"""Draw the sample of Fashion-MNIST that comes with dmlib, and write its card.

    python tools/make/make_sample.py

writes dmlib/assets/fashion_sample.npz and fashion_sample.json. The data are the training split
(Debian: `apt-get install dataset-fashion-mnist`; else downloaded). No image of the test split is
in it, so the sample may be trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from dmlib.data import CLASS_NAMES, fashion_mnist
from dmlib.data.fashion import FILES

SEED = 0
# The licence asks for this text wherever the data go; as in Debian's copyright file.
LICENCE = """Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""
PER_CLASS = 200
ASSETS = Path(__file__).parents[2] / "dmlib" / "assets"


def draw(labels: torch.Tensor) -> torch.Tensor:
    """Indices of the sample: 200 of each class at random, the classes taking turns."""
    generator = torch.Generator().manual_seed(SEED)
    columns = []
    for label in range(len(CLASS_NAMES)):
        members = (labels == label).nonzero()[:, 0]
        columns.append(members[torch.randperm(len(members), generator=generator)[:PER_CLASS]])
    return torch.stack(columns, 1).flatten()


def main() -> None:
    """Write the sample and its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", help="folder of the four original files")
    parser.add_argument("--out", type=Path, default=ASSETS)
    args = parser.parse_args()
    images, labels = fashion_mnist("train", cache=args.cache)
    chosen = draw(labels)
    path = args.out / "fashion_sample.npz"
    np.savez_compressed(
        path,
        images=images[chosen].numpy(),
        labels=labels[chosen].numpy().astype(np.uint8),
        indices=chosen.numpy().astype(np.uint16),
    )
    card = {
        "what": f"{len(chosen)} images of Fashion-MNIST, {PER_CLASS} of each class: image i is of "
        "class i % 10; indices is where each stands in the training split",
        "origin": "training split of Fashion-MNIST, Xiao, Rasul and Vollgraf 2017, "
        "arXiv:1708.07747, https://github.com/zalandoresearch/fashion-mnist; "
        "the same content is in Debian's package dataset-fashion-mnist",
        "origin_sha256": {file.name: file.sha256 for file in FILES["train"]},
        "licence": "MIT (Expat), Copyright (c) 2017 Zalando SE, https://tech.zalando.com",
        "licence_text": LICENCE,
        "command": "python tools/make/make_sample.py",
        "seed": SEED,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "content_sha256": hashlib.sha256(images[chosen].numpy().tobytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {card['bytes']:,} bytes, SHA-256 {card['sha256']}")


if __name__ == "__main__":
    main()
