"""Call every public function that takes tensors, generators or networks on the emulated device.

calls.py CAPABILITY. A process of its own; tests/devices/test_devices.py starts it. Arguments are
chosen by their names, and what comes back must be what the CPU gives. Prints as JSON what was
called, what failed, and for which functions no arguments are known.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
import traceback
from collections.abc import Callable
from typing import Any

import emulator  # before torch
import torch
from torch import Tensor

import dmlib
from dmlib.applications.inverse import Measurement
from dmlib.continuous import StraightPath, along
from dmlib.data import draw_scenes, ground_truth_mixture_2d, tokenize
from dmlib.metrics.features import Features
from dmlib.mixture import GaussianMixture, LowRankMixture
from dmlib.models import MLP, CloudNet, UNet, UNetConfig, predicts_eps, predicts_v
from dmlib.models.picture_unet import PictureUNet
from dmlib.models.text_unet import TextUNet, TextUNetConfig
from dmlib.oracle import ConditionalOracle, FiniteOracle, LowRankOracle, MixtureOracle
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.steps import ddim
from dmlib.training.ema import EMA

TAKES = ("Tensor", "Generator", "Module", "Denoiser", "GaussianMixture", "device")
ROOMS = (
    "book",
    "assets",
    "_validate",
    "training",
    "checkpoint",
    "metrics.protocol",
    "metrics.judge",
)
COSINE = cosine_schedule(50)
NET = UNetConfig(
    image_size=28,
    widths=(8,),
    blocks=1,
    attention=(7,),
    heads=2,
    emb_dim=8,
    num_classes=10,
    patch=4,
)
FILES = {"data.folder.save_png"}  # writes one; see tests/data/test_folder.py
FLOAT64 = {"bound.log_bin_mass"}  # says that it wants float64
Values = dict[str, Any]


def arguments(device: str) -> Values:
    """An argument for each name that a parameter may have."""
    torch.default_generator.manual_seed(0)
    image = (torch.rand(4, 1, 28, 28) * 2 - 1).to(device)
    eps = torch.randn(4, 1, 28, 28).to(device)
    net = UNet(NET)
    with torch.no_grad():
        net.head.weight.normal_(std=0.1)
    net = net.eval().to(device)
    denoiser = predicts_v(net, COSINE)
    y = torch.arange(4, device=device)
    t = torch.tensor([1, 7, 30, 50], device=device)
    own: Values = dict.fromkeys(("x0", "x_prev", "x", "like", "x1", "samples", "level"), image)
    own |= dict.fromkeys(("xt", "eps", "eps_hat", "v", "v_hat", "score", "xT", "x0_hat"), eps)
    own |= {"mean_p": image, "mean_q": eps, "var_p": image.abs() + 0.1, "var_q": eps.abs() + 0.1}
    own |= {"mu": eps, "sigma": eps.abs() + 0.1, "data": image.cpu(), "t": t, "y": y, "net": net}
    own |= {"denoiser": denoiser, "schedule": COSINE, "guidance_scale": 2.0, "n": 20, "dim": 16}
    own |= {"table": COSINE.alpha_bar, "pixel": (3, 3), "module": net, "images": grey(device)}
    own |= {"q": eps[0], "k": image[0], "mixture": ground_truth_mixture_2d()}
    own |= {"path": StraightPath(), "u": eps, "xs": image, "sigma_data": 0.5}
    seen = torch.eye(784)[::7].to(device)
    own |= {"measurement": Measurement(seen, image.flatten(1)[:, ::7], 0.1), "step": ddim()}
    own |= {"repeats": 2, "start": 30, "steps": 3, "share": 0.3, "A": seen, "std": 0.1}
    own |= {"log_likelihood": lambda guess, t: -(guess.x0_hat**2).flatten(1).sum(1)}
    return own


def shown(device: str) -> dict[str, Values]:
    """For the network that is shown a picture."""
    torch.default_generator.manual_seed(3)
    small = UNetConfig(image_size=8, widths=(8,), blocks=1, heads=2, emb_dim=8)
    net = PictureUNet(small).eval()
    torch.nn.init.normal_(net.unet.head.weight, std=0.1)
    given = (torch.rand(2, 1, 8, 8) * 2 - 1).to(device)
    model = {"denoiser": predicts_v(net.to(device), COSINE), "given": given}
    axes = torch.linalg.qr(torch.randn(2, 64, 3, dtype=torch.float64))[0]
    parts = torch.ones(1, 2, dtype=torch.float64)
    means = torch.randn(1, 2, 64, dtype=torch.float64)
    mixture = LowRankMixture(parts / 2, means, axes, torch.ones(1, 2, 3).double(), parts / 4)
    return {
        "applications.translation.translate": model | {"times": 3},
        "applications.translation.first_guess": model,
        "applications.translation.enlarged": {"y": given},
        "applications.translation.psnr": {"x": given, "truth": given.flip(3)},
        "applications.translation.block_posterior": {"mixture": mixture, "y": given[:, :, :2, :2]},
    }


def grey(device: str) -> Tensor:
    return (torch.arange(3 * 28 * 28) % 256).view(3, 28, 28).to(torch.uint8).to(device)


def special(device: str) -> dict[str, Values]:
    """Where a name means something else than elsewhere."""
    plane = torch.tensor([[0.5, -1.0], [2.0, 0.3]], device=device)
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(1)).to(device)
    mixture = ground_truth_mixture_2d()
    heads = torch.randn(2, 2, 9, 4, generator=torch.Generator().manual_seed(2)).to(device)
    unconditional = predicts_v(MLP(2, width=8, depth=1).to(device), COSINE)
    signed = ((torch.arange(784) % 256) / 127.5 - 1).view(1, 1, 28, 28).to(device)
    return {
        "mixture.reverse_posterior": {"xt": plane[0], "t": 20},
        "mixture.log_joint": {
            "x": plane,
            "weights": mixture.weights.float().to(device),
            "means": mixture.means.float().to(device),
            "stds": mixture.stds.float().to(device),
        },
        "metrics.frechet.frechet_extrapolated": {"a": features, "b": features, "resamples": 2},
        "continuous.log_likelihood": {
            "denoiser": along(unconditional, StraightPath()),
            "x0": plane,
            "times": [1.0, 0.5, 0.0],
            "probes": 1,
        },
        "metrics.frechet.frechet_distance": {"a": features, "b": features + 1},
        "metrics.frechet.frechet_floor": {"a": features, "b": features, "resamples": 2},
        "metrics.frechet.frechet_spread": {"samples": features, "data": features, "resamples": 2},
        "metrics.features.features_of": {"net": Features.trained().to(device)},
        "models.blocks.attend": {"q": heads, "k": heads, "v": heads},
        "models.embedding.sinusoidal_embedding": {"t": torch.arange(5, device=device)},
        "bound.variational_bound": {"denoiser": unconditional, "x0": plane, "discrete": False},
        "bound.bound_L0": {"x0": signed, "x1": signed, "x0_hat": signed},
        "mixture.given_measurement": {"A": torch.tensor([[1.0, 0.5]]), "y": torch.tensor([0.3])},
        "data.captions.clear_relation": {"first": plane, "second": plane.flip(0)},
        "data.captions.relation_holds": {"first": plane, "second": plane.flip(0)},
        "data.captions.captions_of": {"scenes": draw_scenes(2, generator=torch.Generator())},
        "data.scenes.place_of": {"centre": 16 + 4 * plane},
        "data.scenes.shape_masks": {
            "shape": torch.tensor([0, 3], device=device),
            "centre": 16 + plane,
            "radius": plane[:, 0].abs() + 3,
            "tilt": 0.1 * plane[:, 1],
        },
        **words(device),
        "applications.inverse.slerp": {"x": plane, "y": plane + 1},
        "applications.inverse.around_the_guess": {"path": COSINE},
        "applications.inverse.invert": {"times": 3},
        **pixels(device),
        **shown(device),
        **clouds(device),
        "sampling.sample": {"times": 3},
        "sampling.generate": {"times": 3},
        "bound.bound_Lt": {"t": torch.tensor([2, 7, 30, 50], device=device)},
        "bound.log_bin_mass": {"level": grey(device)[:1, None].float()},
    }


def words(device: str) -> dict[str, Values]:
    """For pictures from words."""
    scenes = draw_scenes(2, generator=torch.Generator().manual_seed(4))
    torch.default_generator.manual_seed(1)
    net = TextUNet(TextUNetConfig(widths=(8, 16), text_layers=1)).eval().to(device)
    texts = ["a red circle", "two blue squares"]
    own = {"xt": scenes.images.to(device), "t": 30, "y": tokenize(texts).to(device)}
    x = torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(5)).to(device)
    return {
        "applications.text_to_image.say": {
            "denoiser": predicts_v(net, COSINE),
            "texts": texts,
            "times": 2,
        },
        "applications.text_to_image.word_maps": {**own, "net": net},
        "applications.text_to_image.overlap_with_mask": {
            "word_map": x[:, None, 0].expand(2, 8, 8),
            "mask": scenes.masks[:, 0].to(device),
        },
        "metrics.scenes.find_objects": {"images": own["xt"]},
        "metrics.scenes.judge_captions": {"images": own["xt"], "texts": texts},
        "models.attention.split_heads": {"x": x, "heads": 2},
    }


def pixels(device: str) -> dict[str, Values]:
    """For features and classes of pixels."""
    config = UNetConfig(image_size=8, channels=3, widths=(8,), blocks=1, heads=2, emb_dim=8)
    torch.default_generator.manual_seed(2)
    net = UNet(config).eval().to(device)
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(6)).to(device)
    true = (torch.arange(4 * 64).view(4, 8, 8) % 5).to(device)
    few = {"_named": ("steps",), "steps": 3, "seed": 0, "classes": true, "config": config}
    own = {"net": net, "denoiser": predicts_v(net, COSINE), "x0": x, "xt": x, "eps": x - 1, "t": 9}
    own |= {"blocks": ["middle.0"], "side": 3, "maps": x, "size": (16, 16), "features": x, **few}
    counts = torch.arange(25, device=device).view(5, 5)
    room = "applications.segmentation."
    return {
        **{
            room + name: own
            for name in (
                "block_outputs", "pixel_features", "upsampled", "windows", "fit_pixels",
                "fit_unet", "untrained",
            )
        },
        room + "confusion": {"predicted": true, "true": true.flip(0)},
        room + "iou": {"counts": counts},
        room + "mean_iou": {"counts": counts},
    }  # fmt: skip


def clouds(device: str) -> dict[str, Values]:
    """For the chapter on shapes in space."""
    g = torch.Generator().manual_seed(4)
    x, y = (torch.randn(2, 12, 3, generator=g).to(device) for _ in range(2))
    known = torch.arange(12, device=device).expand(2, 12) % 3 == 0
    label = torch.tensor([0, 3], device=device)
    parameters = torch.tensor([[2.0, 2, 2, 0.2, 1.2], [1, 0.9, 2, 0.5, 0.14]], device=device)
    within = torch.tensor([[0.0, 2, 3], [2, 0, 1], [3, 1, 0]], device=device)
    net = predicts_v(CloudNet(width=8, blocks=1, tokens=2, heads=2).to(device), COSINE)
    room = "applications.point_clouds"
    return {
        "data.shapes3d.shapes": {"n": 3},
        "data.shapes3d.share_of_high": {"width": parameters[:, 0]},
        "data.shapes3d.draw_parameters": {"label": label},
        "data.shapes3d.surface": {"label": label, "parameters": parameters},
        "data.shapes3d.leg_length": {"cloud": x},
        "models.points.waves": {"x": x},
        "metrics.clouds.chamfer": {"x": x, "y": y},
        "metrics.clouds.chamfer_matrix": {"x": x, "y": y},
        "metrics.clouds.cloud_scores": {"generated": x, "real": y},
        "metrics.clouds.coverage": {"between": within},
        "metrics.clouds.one_nna": {"within_x": within, "within_y": within, "between": within + 1},
        f"{room}.visible": {"cloud": x, "normal": x[0, 0], "offset": 0.1},
        f"{room}.some_of": {"seen": known, "count": 2},
        f"{room}.completing": {"denoiser": net, "cloud": x, "known": known},
        f"{room}.keeping": {"cloud": x, "known": known},
    }


def functions() -> dict[str, Callable]:
    """Every public function of the rooms without files that takes something of a device."""
    found = {}
    for info in pkgutil.walk_packages(dmlib.__path__, "dmlib."):
        room = info.name.removeprefix("dmlib.")
        if room.startswith(ROOMS):
            continue
        module = importlib.import_module(info.name)
        for name, f in vars(module).items():
            own = inspect.isfunction(f) and f.__module__ == module.__name__
            if own and not name.startswith(("_", "check_")):
                signature = str(inspect.signature(f))
                if any(word in signature.partition("->")[0] for word in TAKES):
                    found[f"{room}.{name}"] = f
    return found


def called(f: Callable, own: Values, generator: torch.Generator | None) -> list[Tensor]:
    """The tensors that come back; LookupError if an argument is not known."""
    given = {}
    for name, p in inspect.signature(f).parameters.items():
        if name == "generator":
            given[name] = generator
        elif name in own and (p.default is p.empty or name in own.get("_named", ())):
            given[name] = own[name]
        elif p.default is p.empty and p.kind is not p.VAR_KEYWORD:
            raise LookupError(name)
    return tensors(f(**given))


def tensors(answer: Any) -> list[Tensor]:
    """All tensors in an answer; what is yielded is drawn, what is a denoiser is asked."""
    if isinstance(answer, Tensor):
        return [answer]
    if isinstance(answer, dict):
        return [x for value in answer.values() for x in tensors(value)]
    if isinstance(answer, GaussianMixture):
        return [answer.means, answer.stds]
    if isinstance(answer, (tuple, list)) or inspect.isgenerator(answer):
        return [x for value in answer for x in tensors(value)]
    return []


def compare(f: Callable, own: dict[str, Values], device: str) -> None:
    """Raise unless the device's answer is the CPU's, up to rounding."""
    takes = "generator" in inspect.signature(f).parameters
    answers = {
        place: called(f, own[place], torch.Generator().manual_seed(3) if takes else None)
        for place in ("cpu", device)
    }
    if takes:
        called(f, own[device], torch.Generator(device).manual_seed(3))
    pairs = zip(answers["cpu"], answers[device], strict=True)
    for a, b in pairs:
        torch.testing.assert_close(b.cpu().double(), a.double(), rtol=1e-3, atol=1e-4)


def classes(device: str) -> dict[str, Callable[[], Any]]:
    """The same for objects: what they are made of and asked lies on the device."""
    xt = torch.tensor([[0.5, -1.0], [2.0, 0.3]], device=device)
    t = torch.tensor([3, 40], device=device)
    mixture = ground_truth_mixture_2d()
    net = MLP(2, width=8, depth=1).to(device)
    beta = linear_schedule(20).beta.float().to(device)
    one = torch.ones(1, 2, device=device)
    aligned = ConditionalOracle(mixture, one, one[0, :1], 0.5, schedule=COSINE)
    ones = torch.ones(1, 1, dtype=torch.float64)
    low_rank = LowRankMixture(ones, ones.new_zeros(1, 1, 2), torch.eye(2).double()[None, :, :1],
                              ones[None], ones)  # fmt: skip
    seen = torch.tensor([True, False])
    return {
        "NoiseSchedule": lambda: NoiseSchedule(beta).alpha_bar,
        "MixtureOracle": lambda: MixtureOracle(mixture, schedule=COSINE)(xt, t),
        "ConditionalOracle": lambda: (aligned(xt, t), aligned.posterior.log_prob(xt)),
        "AlignedMixture.sample": lambda: aligned.posterior.sample(torch.Generator(device)),
        "LowRankOracle": lambda: LowRankOracle(low_rank, schedule=COSINE)(xt, t),
        "LowRankMixture.sample": lambda: low_rank.sample(torch.Generator(device)),
        "LowRankMixture.given_seen": lambda: low_rank.given_seen(seen, xt[:, :1]).means,
        "FiniteOracle": lambda: FiniteOracle(xt, schedule=COSINE)(xt, t),
        "GaussianMixture.sample": lambda: mixture.sample(5, torch.Generator(device).manual_seed(0)),
        "GaussianMixture.log_prob": lambda: mixture.log_prob(xt),
        "GaussianMixture.moments": lambda: (mixture.mean(), mixture.cov()),
        "NetDenoiser": lambda: predicts_eps(net, COSINE)(xt, t),
        "NetDenoiser, t int": lambda: predicts_eps(net, COSINE)(xt, 7),
        "EMA": lambda: EMA(net).update(net),
    }


def main(capability: str) -> int:
    torch.set_num_threads(1)
    emulator.install(capability=tuple(map(int, capability.split("."))))
    device, done, failed, unknown = emulator.KIND, [], {}, {}
    with emulator.on():
        base = {place: arguments(place) for place in ("cpu", device)}
        other = {place: special(place) for place in ("cpu", device)}
        for name, f in functions().items():
            if name in FILES or (device == "mps" and name in FLOAT64):
                continue
            own = {}
            for place in base:
                more = other[place].get(name, {})
                own[place] = {**base[place], **more, "_named": set(more)}
            try:
                compare(f, own, device)
                done.append(name)
            except LookupError as error:
                unknown[name] = str(error)
            except Exception:
                failed[name] = traceback.format_exc()[-900:]
        for name, work in classes(device).items():
            try:
                work()
                done.append(name)
            except Exception:
                failed[name] = traceback.format_exc()[-900:]
    print(json.dumps({"called": done, "failed": failed, "unknown": unknown}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
