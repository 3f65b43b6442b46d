"""Export the shipped U-Net, or a run's of one's own, to ONNX, small enough for a reader's browser.

    python tools/build/export_onnx.py FOLDER [--bits 8|16|32] [--run runs/cpu]

The build calls `write` (tools/build/bookext.py). FOLDER then holds unet.onnx.gz, proof.f32 (its
answer to one question, so that a page can see whether a graphics chip computes rightly) and
manifest.json, which says what the model is, how many bytes are loaded with either runtime, and
which weights it was made of.
The network that is exported is the inner one: where it predicts v, v comes out, and eps_hat is
computed from it in double precision, as at late t an error in eps_hat weighs heavily.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from dmlib.book import rounding
from dmlib.book.rounding import rounded, to_eight_bits
from dmlib.book.widgets.rng import normal
from dmlib.checkpoint import load_shipped, load_unet
from dmlib.models import NetDenoiser

RUNTIME = Path(__file__).resolve().parents[2] / "book" / "_static" / "ort"
BITS = 8  # tests/test_export.py and the page's comparison show that samples do not suffer
MODEL = "unet.onnx.gz"
PROOF = "proof.f32"


def inner(net: nn.Module) -> tuple[nn.Module, str]:
    """The network that is exported, and what it predicts: "v" or "eps"."""
    return (net.net, net.predicts) if isinstance(net, NetDenoiser) else (net, "eps")


def to_onnx(net: nn.Module) -> onnx.ModelProto:
    """The network as an ONNX graph, (xt, t, y) -> out, with any number of images at a time.

    Args:
        net: a class-conditional U-Net, called net(xt, t, y).
    """
    c, s = net.config.channels, net.config.image_size
    example = (torch.zeros(2, c, s, s), torch.tensor([1, 2]), torch.tensor([0, 1]))
    batch = ({0: torch.export.Dim.DYNAMIC},) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's remarks on its own future
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net, example, dynamo=True, dynamic_shapes=batch, opset_version=18, verbose=False,
            input_names=["xt", "t", "y"], output_names=["out"],
        )  # fmt: skip
    proto = program.model_proto
    for item in proto.graph.node:
        del item.metadata_props[:]  # where in the source each node came from: 100 kB of it
        item.doc_string = ""
    onnx.checker.check_model(proto, full_check=True)
    return proto


def narrowed(proto: onnx.ModelProto, net: nn.Module, *, bits: int) -> onnx.ModelProto:
    """A copy of the graph whose large constants are stored small, and widened by its first nodes.

    A session widens them once, when it is made; it computes in float32 as before.

    Args:
        proto: of `to_onnx`.
        net: the network that it was made of.
        bits: of each stored weight: 32, 16, or 8 with a factor for each output channel.

    Raises:
        ValueError: bits is another number, or a large constant is no weight of the network.
    """
    if bits not in (8, 16, 32):
        raise ValueError(f"bits must be 8, 16 or 32, got {bits!r}")
    proto = copy.deepcopy(proto)
    if bits < 32:
        _store_small(proto.graph, dict(net.named_parameters()), bits)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _store_small(graph: onnx.GraphProto, weights: dict[str, Tensor], bits: int) -> None:
    nodes = []
    for old in [x for x in graph.initializer if _is_weight(x)]:
        array = numpy_helper.to_array(old)
        graph.initializer.remove(old)
        small = f"{old.name}.small"
        if bits == 16:
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), small))
            nodes.append(helper.make_node("Cast", [small], [old.name], to=onnx.TensorProto.FLOAT))
            continue
        codes, scale = _codes(array, old.name, weights)
        wide, factor = f"{old.name}.wide", f"{old.name}.scale"
        graph.initializer.append(numpy_helper.from_array(codes, small))
        graph.initializer.append(numpy_helper.from_array(scale, factor))
        nodes.append(helper.make_node("Cast", [small], [wide], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [wide, factor], [old.name]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + rest)


def _is_weight(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= 512


def _codes(
    array: np.ndarray, name: str, weights: dict[str, Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and factors by the rows of the network's own weight, also where it was transposed."""
    if name in weights:
        codes, scale = to_eight_bits(weights[name])
    else:
        # A linear layer's weight is stored transposed under another name: rows are columns here.
        known = [w.detach().numpy() for w in weights.values() if w.ndim == 2]
        if not any(w.T.shape == array.shape and (array == w.T).all() for w in known):
            raise ValueError(f"the constant {name} {array.shape} is no weight of the network")
        codes, scale = (x.T for x in to_eight_bits(torch.from_numpy(array.T.copy())))
    return np.ascontiguousarray(codes.numpy()), np.ascontiguousarray(scale.numpy())


def packed(data: bytes) -> bytes:
    """gzip at its best, always the same bytes for the same data."""
    return gzip.compress(data, 9, mtime=0)


def write(folder: Path, *, bits: int = BITS, run: Path | None = None) -> dict:
    """Write the model, the proof and manifest.json unless they are there; return the manifest.

    Args:
        folder: made if it is not there.
        bits: see `narrowed`.
        run: the folder of a finished run, instead of the shipped network.

    Raises:
        ValueError: the run's network knows no classes; there are no weights in its folder.
    """
    net, card = load_shipped() if run is None else load_unet(run / "weights.safetensors")
    if net.num_classes is None:
        raise ValueError(f"{run}: only a network with classes is exported, this one knows none")
    sources = (Path(__file__), Path(rounding.__file__), RUNTIME / "CARD.json")
    code = b"".join(path.read_bytes() for path in sources)
    recipe = hashlib.sha256(code + torch.__version__.encode()).hexdigest()
    made_of = {"weights_sha256": card["sha256"], "recipe_sha256": recipe, "bits": bits}
    there = folder / "manifest.json"
    if all(path.exists() for path in (there, folder / MODEL, folder / PROOF)):
        manifest = json.loads(there.read_text())
        if made_of.items() <= manifest.items():
            return manifest
    exported, predicts = inner(net)
    data = packed(narrowed(to_onnx(exported), exported, bits=bits).SerializeToString())
    question = {"seed": 1, "t": 500, "y": [3, exported.num_classes]}
    answer = _answer(rounded(exported, bits=bits), **question).astype("<f4").tobytes()
    manifest = {
        **made_of,
        "model": f"model/{MODEL}",
        "model_sha256": hashlib.sha256(data).hexdigest(),
        "predicts": predicts,
        "proof": {"file": f"model/{PROOF}", **question},
        "runtimes": {
            "wasm": _runtime("wasm", model=len(data)),
            "webgpu": _runtime("webgpu", model=len(data), proof=len(answer)),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(data)
    (folder / PROOF).write_bytes(answer)
    there.write_text(json.dumps(manifest, indent=1))
    return manifest


@torch.no_grad()
def _answer(net: nn.Module, *, seed: int, t: int, y: list[int]) -> np.ndarray:
    """What the network says to the shared seeded noise at time t, for an image of each of y."""
    c, s = net.config.channels, net.config.image_size
    noise = normal(seed, np.arange(len(y) * c * s * s))
    xt = torch.from_numpy(noise).float().view(len(y), c, s, s)
    return net(xt, torch.full((len(y),), t), torch.tensor(y)).numpy()


def _runtime(name: str, **parts: int) -> dict:
    """Files and bytes of one of the vendored runtimes, with those of what is loaded beside it."""
    card = json.loads((RUNTIME / "CARD.json").read_text())[name]
    # A host packs text by itself, so the script counts as packed; the .wasm is a packed file.
    script = len(packed((RUNTIME / card["script"]).read_bytes()))
    parts["runtime"] = (RUNTIME / card["wasm"]).stat().st_size + script
    files = {part: f"ort/{card[part]}" for part in ("script", "wasm")}
    return {**files, "bytes": {**parts, "all": sum(parts.values())}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bits", type=int, default=BITS, choices=(8, 16, 32))
    parser.add_argument("--run", type=Path, help="folder of a run of one's own")
    options = parser.parse_args()
    print(json.dumps(write(options.folder, bits=options.bits, run=options.run), indent=1))
