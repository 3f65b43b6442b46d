"""Do samples suffer when the network is exported for the browser? Measure, and report.

    python tools/make/judge_export.py [--n 2000] [--steps 20] [--bits 32 16 8]

The same noise goes through the shipped network in torch and through the exported one in
onnxruntime. Reported into reports/export.json: the Fréchet distance of both sets of images to the
shipped sample of real ones, the spread of torch's, and by how many grey levels the pairs differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import onnx
import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "build"))

from export_onnx import inner, narrowed, to_onnx
from torch import Tensor, nn

from dmlib.checkpoint import load_shipped
from dmlib.data import fashion_sample, to_unit
from dmlib.guidance import conditioned
from dmlib.metrics import Features, features_of, frechet_distance, frechet_spread
from dmlib.models import NetDenoiser, predicts_eps, predicts_v
from dmlib.sampling import clipped, generate

REPORT = Path(__file__).resolve().parents[2] / "reports" / "export.json"


class Exported(nn.Module):
    """An exported network in onnxruntime, called like the network that it was made of.

    Args:
        proto: of export_onnx.to_onnx, narrowed or not.
        like: the network; its `config` and `num_classes` are handed on.
    """

    def __init__(self, proto: onnx.ModelProto, like: nn.Module) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        self.config, self.num_classes = like.config, like.num_classes

    def forward(self, xt: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, 1, side, side), (B,), (B,) -> what the network predicts, (B, 1, side, side)."""
        y = torch.full((len(xt),), self.num_classes) if y is None else y
        feeds = {"xt": xt.numpy(), "t": t.numpy(), "y": y.numpy()}
        return torch.from_numpy(self.session.run(None, feeds)[0])


def exported(net: NetDenoiser, proto: onnx.ModelProto, *, bits: int) -> NetDenoiser:
    """What the browser computes with `bits` a weight, as a denoiser on the network's path."""
    inside, predicts = inner(net)
    twin = Exported(narrowed(proto, inside, bits=bits), inside)
    return (predicts_v if predicts == "v" else predicts_eps)(twin, net.path)


def images(net: nn.Module, *, n: int, steps: int) -> Tensor:
    """n images of all classes in turn, (n, 1, 28, 28), from the same noise for every net."""
    noise = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 10
    made = []
    for xT, labels in zip(noise.split(50), y.split(50), strict=True):
        denoiser = clipped(conditioned(net, labels))
        made.append(generate(denoiser, xT, times=steps))
    return torch.cat(made).clamp(-1, 1)


def judge(nets: dict[str, nn.Module], *, n: int, steps: int) -> dict[str, dict[str, float]]:
    """Of each net: distance to real images; the first net's spread; grey levels from the first."""
    features = Features.trained()
    real = features_of(to_unit(fashion_sample()[0]), features)
    found: dict[str, dict[str, float]] = {}
    first: Tensor | None = None
    for name, net in nets.items():
        begun = time.process_time()
        x = images(net, n=n, steps=steps)
        seen = features_of(x, features)
        found[name] = {"distance": frechet_distance(seen, real)}
        if first is None:
            first = x
            draws = torch.Generator().manual_seed(1)
            found[name]["spread"] = float(frechet_spread(seen, real, generator=draws).std())
        off = (x - first).abs() * 127.5
        found[name]["grey_levels_mean"] = float(off.mean())
        found[name]["share_of_pixels_by_more_than_8"] = float((off > 8).double().mean())
        found[name]["cpu_seconds"] = time.process_time() - begun
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--bits", type=int, nargs="*", default=[32, 16, 8])
    options = parser.parse_args()
    net, card = load_shipped()
    net.requires_grad_(False)
    proto = to_onnx(inner(net)[0])
    nets = {"torch": net} | {f"{b} bits": exported(net, proto, bits=b) for b in options.bits}
    report = {
        "n": options.n,
        "steps": options.steps,
        "weights_sha256": card["sha256"],
        "networks": judge(nets, n=options.n, steps=options.steps),
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))
