"""The training loop: a generator that yields after every step of the optimizer."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from dmlib.forward import q_sample
from dmlib.losses import simple_loss
from dmlib.models import NetDenoiser
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.device import OneDevice, dtype_of, fast_layout, to_device
from dmlib.training.ema import EMA
from dmlib.training.inputs import check_accelerator, check_batch
from dmlib.training.record import Numbers, Record
from dmlib.training.seeding import seed_of, seeded

Batch = tuple[Tensor, Tensor | None]


PATIENCE = 20  # steps in a row that float16 may lose before it counts as diverged


class Diverged(RuntimeError):
    """The loss or the gradient is NaN or infinite; the weights are still those before it.

    On CUDA this is seen one step later. The weights and Adam's moments are untouched there, too;
    the average has taken one more step towards the same weights.
    """


class Training:
    """All that changes while a network trains: weights, average, optimizer, step.

    What is drawn in a step, dropout too, depends on config.seed and on the step's number alone.

    Args:
        denoiser: of the network that is trained (in place), predicts_v(net, schedule) or its kin.
        config: how to train.
        accelerator: an `accelerate.Accelerator`, or a `OneDevice` (the CPU where None);
            accumulation and precision are the config's, not the accelerator's.

    Raises:
        ValueError: the accelerator accumulates or scales by itself, or denoiser is none.
    """

    def __init__(
        self,
        denoiser: NetDenoiser,
        *,
        config: TrainConfig,
        accelerator: Any = None,
    ) -> None:
        if not isinstance(denoiser, NetDenoiser):
            kind = type(denoiser).__name__
            raise ValueError(f"denoiser must be one, got {kind}; try: predicts_v(net, schedule)")
        self.accelerator = OneDevice() if accelerator is None else accelerator
        check_accelerator(self.accelerator)
        self.device: torch.device = self.accelerator.device
        self.schedule, self.config = denoiser.path, config
        self.dtype = dtype_of(config.precision, self.device)
        self.layout = fast_layout(self.device, self.dtype)
        self.net = denoiser.to(self.device)
        if self.layout is torch.contiguous_format:  # a net made in channels_last must follow
            self.net.to(memory_format=self.layout)
        self.ema = EMA(self.net, decay=config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        # float16 ends at 6e-8: gradients are scaled up, and back before the optimizer sees them.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.wrapped = self.accelerator.prepare(self.net)
        if config.compile:
            self.net.net.compile()  # in place: the names of the weights stay
        self.step = 0
        self.lost = 0  # steps in a row whose gradient was not finite
        # On CUDA a step's numbers are looked at when the next step is under way: no waiting.
        self.late = self.device.type == "cuda"
        self._unseen: tuple[int, Numbers] | None = None

    def run(self, batches: Iterable[Batch]) -> Iterator[Record]:
        """Train until config.steps or until the batches end; stop, and call again, as you like.

        Minimises L_simple = E |eps - eps_hat|^2, t uniform in 1..T, or with the weighting "v" the
        same error of v.
        Source: Ho et al. 2020, eq. 14 and algorithm 1; the book's equation eq-simple-loss.

        Args:
            batches: of (x0, y): (B, ...) floats, images in [-1, 1], and (B,) int64 in
                0..num_classes-1 or None; this process's share. The batches of one step have one
                size.

        Yields:
            A record after every step of the optimizer.

        Raises:
            Diverged: the loss or the gradient is no longer finite.
            ValueError: a batch is not what the network needs, or the network's answer has not the
                shape of x_t.
        """
        batches = iter(batches)
        while self.step < self.config.steps:
            start = time.perf_counter()
            group = list(itertools.islice(batches, self.config.accumulation))
            if len(group) < self.config.accumulation:
                break
            for batch in group:
                check_batch(batch, num_classes=self.net.num_classes, null=self._null)
            rank = self.accelerator.process_index
            with seeded(seed_of(self.config.seed, self.step, "net", rank), self.device):
                sums = self._gradients(group)
            numbers = self._update(sums)
            yield Record(
                step=self.step,
                learning_rate=learning_rate(self.step, self.config),
                images=sum(len(x0) for x0, _ in group) * self.accelerator.num_processes,
                seconds=time.perf_counter() - start,
                numbers=numbers,
            )
        self.settle()

    @property
    def _null(self) -> int | Tensor | None:
        """What the network hears where a condition is dropped; None if it knows no conditions."""
        return getattr(self.net.net, "null", self.net.num_classes)

    def settle(self) -> None:
        """Look at the numbers of the last step, if nobody has.

        Raises:
            Diverged: they are not finite.
        """
        unseen, self._unseen = self._unseen, None
        if unseen is not None:
            self._look(*unseen)

    def _gradients(self, group: list[Batch]) -> Tensor:
        """Add up the gradients of the group's batches; return (2, K): losses, counts by bucket."""
        self.wrapped.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros((2, self.config.t_buckets), device=self.device)
        for i, ((x0, y), draw) in enumerate(zip(group, self._draw(group), strict=True)):
            last = i == len(group) - 1
            quiet = contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped)
            with quiet:
                losses, minimised = self._losses(to_device(x0, self.device), y, draw)
                self.accelerator.backward(self.scaler.scale(minimised.mean() / len(group)))
            sums += self._by_bucket(losses.detach(), draw[0])
        return self.accelerator.reduce(sums, reduction="sum")

    def _draw(self, group: list[Batch]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(t, eps, dropped) for each batch of the group.

        Every process draws the noise of the whole step and takes its share: the result depends
        neither on the number of processes nor on how a step is cut into batches.
        """
        x0 = group[0][0]
        for other, _ in group:
            if other.shape != x0.shape:
                raise ValueError(
                    f"batches of one step must have one shape, {tuple(x0.shape)}, got "
                    f"{tuple(other.shape)}; try: DataLoader(..., drop_last=True)"
                )
        cut = (len(group), self.accelerator.num_processes, len(x0))
        n, rank = math.prod(cut), self.accelerator.process_index
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(self.config.seed, self.step, "draw"))
        on = {"generator": generator, "device": self.device}
        t = torch.randint(1, self.schedule.T + 1, (n,), **on)
        eps = torch.randn((n, *x0.shape[1:]), dtype=x0.dtype, **on)
        dropped = torch.rand((n,), **on) < self.config.label_dropout
        shares = [x.unflatten(0, cut)[:, rank] for x in (t, eps, dropped)]
        return list(zip(*shares, strict=True))

    def _losses(
        self, x0: Tensor, y: Tensor | None, draw: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """L_simple of each image, (B,), and what is minimised, (B,): the same, or that of v."""
        t, eps, dropped = draw
        if y is not None:
            y, null = to_device(y, self.device), self._null
            if isinstance(null, Tensor):  # a caption, or a picture
                y = torch.where(dropped.view(-1, *[1] * null.ndim), null, y)
            else:  # a class
                y = y.masked_fill(dropped, null)
        xt = q_sample(x0, t, eps, schedule=self.schedule)
        if xt.ndim == 4:
            xt = xt.contiguous(memory_format=self.layout)
        small = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if small else None, enabled=small):
            guess = self.wrapped(xt, t, y)
        loss = simple_loss(guess.eps_hat, eps, per_sample=True)
        if self.config.weighting == "simple":
            return loss, loss
        signal, noise = self.schedule.mix(t, eps)
        v, v_hat = signal * eps - noise * x0, signal * guess.eps_hat - noise * guess.x0_hat
        return loss, simple_loss(v_hat, v, per_sample=True)

    def _by_bucket(self, losses: Tensor, t: Tensor) -> Tensor:
        """(2, K): sum of the losses and number of images for each range of t."""
        K = self.config.t_buckets
        bucket = (t - 1) * K // self.schedule.T
        both = torch.stack([losses.float(), torch.ones_like(losses, dtype=torch.float32)])
        return torch.zeros((2, K), device=self.device).index_add_(1, bucket, both)

    def _update(self, sums: Tensor) -> Numbers:
        """One step of the optimizer, then of the average; neither if the gradient is not finite."""
        self.scaler.unscale_(self.optimizer)
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.grad_clip)
        numbers = Numbers(norm, sums)
        if self.late:
            self.settle()  # the step before
            self._unseen = (self.step + 1, numbers)
            # The fused optimizer leaves out a step by this flag, on the device, unread.
            bad = ~(norm.isfinite() & sums.isfinite().all())
            self.optimizer.found_inf = bad.float()
        else:
            self._look(self.step + 1, numbers)
        self.step += 1
        rate = learning_rate(self.step, self.config)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update(self.net)
        return numbers

    def _look(self, step: int, numbers: Numbers) -> None:
        """Raise Diverged if a step's numbers are not finite; float16 may lose a few in a row."""
        grad_norm, losses, counts = numbers.read
        loss = sum(losses) / sum(counts)
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.lost = 0
            return
        self.lost += 1
        if self.scaler.is_enabled() and self.lost < PATIENCE:
            return  # too large for float16: the scaler leaves the step out and scales less
        raise Diverged(
            f"step {step}: loss {loss:g}, gradient norm {grad_norm:g}; the weights are those of "
            "the step before; try: a lower learning_rate or a longer warmup"
        )
