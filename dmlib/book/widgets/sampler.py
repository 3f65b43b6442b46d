"""A network denoises sixteen pictures while the reader looks on (the book's page Generate)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor, nn

from dmlib.book.widgets.base import InteractiveFigure, Prediction, on_cpu, pack
from dmlib.book.widgets.images import default_images
from dmlib.book.widgets.rng import normal
from dmlib.checkpoint import load_shipped
from dmlib.data import CLASS_NAMES
from dmlib.forward import q_sample
from dmlib.guidance import guided
from dmlib.models import NetDenoiser
from dmlib.parameterization import Denoiser, Guess
from dmlib.sampling import (
    Snapshot,
    clipped,
    sample,
    spaced_times,
)
from dmlib.steps import Move, Step, ddim, ddpm, dpm_solver

COUNT = 16
_RECORD_BYTES = 151_000  # of the recorded x0_hat: 12 steps of sixteen 28x28 images


class Sampler(InteractiveFigure):
    """Sixteen pictures out of noise, step by step, by a network that runs where the reader is.

    In the built book the reader's browser computes, on the graphics chip (WebGPU) or else on the
    processor (WebAssembly): the page loads the exported network and the runtime for one of them,
    both from the book itself, when Generate is pressed. In a notebook the
    kernel answers for each step (a message each way, 50 kB), so any network can be shown, and
    nothing has to be downloaded. Everything else is the same JavaScript. Where neither is to be
    had, a recorded run can be looked through.

    Traits (synchronised): start, "noise" or "drawing"; sampler, "ddim", "ddpm" or "dpm"; eta in
    0..1, for DDIM; steps in 1..250; label, a class, or -1 for all in turn; guidance_scale in
    0..6; clip, whether x0_hat is kept in [-1, 1]; seed >= 1; t_start, to which a drawing is
    noised; drawing, its bytes in base64; moment, which step of the run is shown.

    Args:
        net: a denoiser of a network, predicts_v(net, schedule) or its kin, for images (B, 1, side,
            side), with `config` and `num_classes` as a UNet has them; None takes the shipped one.
        names: of its classes; None takes Fashion-MNIST's where there are ten.
        start: the state at the start.
        predict: a question to answer before the figure appears.

    Raises:
        ValueError: the network is not for square grey images, or names are not one a class.
    """

    _parts = tuple(f"sampler_{part}.js" for part in ("steps", "ways", "nets", "parts", "engine"))
    _module = "sampler.js"
    start = traitlets.Enum(("noise", "drawing"), "noise").tag(sync=True)
    sampler = traitlets.Enum(("ddim", "ddpm", "dpm"), "ddim").tag(sync=True)
    eta = traitlets.Float(0.0, min=0, max=1).tag(sync=True)
    steps = traitlets.Int(20, min=1, max=250).tag(sync=True)
    label = traitlets.Int(-1, min=-1).tag(sync=True)
    guidance_scale = traitlets.Float(1.0, min=0, max=6).tag(sync=True)
    clip = traitlets.Bool(True).tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)
    t_start = traitlets.Int(500, min=1).tag(sync=True)
    drawing = traitlets.Unicode("").tag(sync=True)
    moment = traitlets.Int(7, min=0).tag(sync=True)

    def __init__(
        self,
        net: NetDenoiser | None = None,
        *,
        names: list[str] | None = None,
        start: str = "noise",
        predict: Prediction | None = None,
    ) -> None:
        shipped = net is None
        self._net = load_shipped()[0] if net is None else on_cpu(net)
        self._schedule = self._net.path
        self._names = _class_names(self._net, names)
        self._side = _side_of(self._net)
        images, image_names = (
            default_images() if self._side == 28 else (np.zeros((0, 1, 1), np.uint8), [])
        )
        self._recorded = self._record()
        guesses = torch.stack([s.x0_hat for s in self._recorded[:-1]]).clamp(-1, 1)
        x0_hat = pack(((guesses + 1) * 127.5).round().to(torch.uint8).numpy())
        data: dict[str, Any] = {
            "T": self._schedule.T,
            "side": self._side,
            "alpha_bar": pack(self._schedule.alpha_bar.double().numpy()),
            "names": self._names,
            "nullClass": self._net.num_classes,
            "shipped": shipped,
            "images": pack(images),
            "image_names": image_names,
            "record": {"seed": 1, "steps": len(guesses), "x0_hat": x0_hat},
        }
        state = {"start": start, "t_start": max(1, self._schedule.T // 2)}
        super().__init__(data=data, predict=predict, **state)
        self.on_msg(self._answer)

    @traitlets.validate("label")
    def _label_exists(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] >= max(len(self._names), 1):
            raise traitlets.TraitError(f"label must be in -1..{len(self._names) - 1}")
        return proposal["value"]

    @traitlets.validate("t_start")
    def _t_start_in_range(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] > self._schedule.T:
            raise traitlets.TraitError(f"t_start must be in 1..{self._schedule.T}")
        return proposal["value"]

    @traitlets.validate("drawing")
    def _drawing_fits(self, proposal: dict[str, Any]) -> str:
        try:
            n = len(base64.b64decode(proposal["value"], validate=True))
        except binascii.Error:
            n = -1
        if n not in (0, self._side**2):
            raise traitlets.TraitError(f"drawing must be {self._side**2} bytes in base64")
        return proposal["value"]

    def noise(self, k: int) -> Tensor:
        """The noise (16, 1, side, side) of a run: k = 0 to start from, k >= 1 for step k."""
        return _noise(self.seed, k, self._side)

    def denoiser(self, net: NetDenoiser | None = None) -> Denoiser:
        """The denoiser of the present state: guidance around the network, clipped or not."""
        net = net or self._net
        if self._names:
            i = torch.arange(COUNT)
            y = i % len(self._names) if self.label < 0 else torch.full_like(i, self.label)
            net = guided(net, y, guidance_scale=self.guidance_scale)
        return clipped(net) if self.clip else net

    def walk(self, net: NetDenoiser | None = None) -> Iterator[Snapshot]:
        """The run that Generate makes now, by dmlib's own `sample`; `net` is another network."""
        T, xt = self._schedule.T, self.noise(0)
        if self.start == "drawing":
            T, raw = self.t_start, base64.b64decode(self.drawing) or bytes(self._side**2)
            x0 = torch.tensor(list(raw)).view(1, 1, self._side, self._side) / 127.5 - 1
            xt = q_sample(x0.expand(COUNT, -1, -1, -1), T, xt, schedule=self._schedule)
        times = spaced_times(T, min(self.steps, T))
        rules: dict[str, Step] = {"ddim": ddim(self.eta), "ddpm": ddpm(), "dpm": dpm_solver()}
        rule = _with_noise(rules[self.sampler], lambda t: self.noise(times.index(t) + 1))
        return sample(self.denoiser(net), xt, step=rule, times=times)

    def _record(self) -> list[Snapshot]:
        """A run with what the traits are at first: DDIM, seed 1, all classes in turn, clipped."""
        net: Any = self._net
        if self._names:
            y = torch.arange(COUNT) % len(self._names)
            net = guided(self._net, y, guidance_scale=1)
        steps = max(1, min(12, _RECORD_BYTES // (COUNT * self._side**2)))
        return list(sample(clipped(net), _noise(1, 0, self._side), step=ddim(), times=steps))

    def _answer(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """A view asks the kernel for eps_hat: xt comes and eps_hat goes as float32 bytes."""
        if content.get("kind") != "denoise":
            return
        try:
            eps_hat = self._eps_hat(bytes(buffers[0]), int(content["t"]), content["y"])
        except Exception as error:
            # Whatever the reader's own network raises belongs into the figure, not into a log.
            text = f"{type(error).__name__}: {error}"
            self.send({"kind": "error", "id": content["id"], "text": text})
            return
        self.send({"kind": "eps_hat", "id": content["id"]}, [eps_hat])

    @torch.no_grad()
    def _eps_hat(self, raw: bytes, t: int, y: list[int] | None) -> bytes:
        like = next(self._net.parameters())
        array = np.frombuffer(raw, "<f4").reshape(-1, 1, self._side, self._side)
        xt = torch.from_numpy(array.copy()).to(like)
        steps = torch.full((len(xt),), t, device=like.device)
        labels = () if y is None else (torch.tensor(y, device=like.device),)
        return self._net(xt, steps, *labels).eps_hat.float().cpu().numpy().astype("<f4").tobytes()

    def _shown(self) -> Snapshot:
        return self._recorded[min(self.moment, len(self._recorded) - 1)]

    def _picture(self, figure: Figure) -> None:
        seen = self._shown()
        titles = (f"$x_t$ at $t$ = {seen.t}", r"$\hat{x}_0$, the network's guess")
        for axes, x, title in zip(
            figure.subplots(1, 2), (seen.xt, seen.x0_hat), titles, strict=True
        ):
            rows = [np.hstack(list(row)) for row in x[:, 0].numpy().reshape(4, 4, *x.shape[2:])]
            axes.imshow(np.vstack(rows), cmap="gray", vmin=-1, vmax=1)
            axes.set_title(title)
            axes.axis("off")

    def _sentence(self) -> str:
        return (
            f"Sixteen pictures that a network denoises, at t = {self._shown().t} of "
            f"{self._schedule.T} in a recorded run; in the book's page and in a notebook new ones "
            "can be made."
        )


def _noise(seed: int, k: int, side: int) -> Tensor:
    n = COUNT * side**2
    return torch.from_numpy(normal(seed, k * n + np.arange(n))).float().view(COUNT, 1, side, side)


def _with_noise(rule: Step, noise_at: Callable[[int], Tensor]) -> Step:
    """The rule with the noise of its step's own field, the same as in the browser."""

    def step(xt: Tensor, guess: Guess, _: Tensor | None, move: Move) -> Tensor:
        return rule(xt, guess, noise_at(move.t).to(xt), move)

    return step


def _class_names(net: nn.Module, names: list[str] | None) -> list[str]:
    n = net.num_classes or 0
    if names is None:
        names = list(CLASS_NAMES) if n == len(CLASS_NAMES) else [f"class {i}" for i in range(n)]
    if len(names) != n:
        raise ValueError(f"names must be one a class, {n}, got {len(names)}")
    return names


def _side_of(net: nn.Module) -> int:
    config = getattr(net, "config", None)
    if config is None or config.channels != 1:
        raise ValueError(f"net must have a config with channels = 1 (grey images), got {config}")
    return config.image_size
