"""The training loop: a generator that yields after every step of the optimizer."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dmlib.forward import q_sample
from dmlib.schedules import NoiseSchedule, check_schedule
from dmlib.training.config import TrainConfig, learning_rate
from dmlib.training.device import fast_bfloat16, fast_layout
from dmlib.training.ema import EMA
from dmlib.training.inputs import check_accelerator, check_answer, check_batch

Batch = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Record:
    """What one step of the optimizer did.

    Args:
        step: 1 after the first.
        loss: mean over the step's images and pixels of (eps - eps_hat)^2, without weights.
        bucket_loss: the same by ranges of t, from small t to large; NaN where t was not drawn.
        grad_norm: before it was cut.
        learning_rate: that the step used.
        images: in this step.
        seconds: that the step took, the wait for its data included.
    """

    step: int
    loss: float
    bucket_loss: tuple[float, ...]
    grad_norm: float
    learning_rate: float
    images: int
    seconds: float


class Diverged(RuntimeError):
    """The loss or the gradient is NaN or infinite; the weights are still those before it."""


class OneDevice:
    """What `accelerate.Accelerator` is to many devices, for one: the same few methods."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def prepare(self, net: nn.Module) -> nn.Module:
        return net.to(self.device)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_grad_norm_(self, parameters: Iterable[Tensor], max_norm: float) -> Tensor:
        return nn.utils.clip_grad_norm_(parameters, max_norm)

    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor:
        return tensor

    def no_sync(self, net: nn.Module) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Training:
    """All that changes while a network trains: weights, average, optimizer, step, random state.

    Args:
        net: predicts the noise, net(xt, t, y) -> eps_hat; it is trained in place.
        schedule: of the forward process.
        config: how to train.
        accelerator: an `accelerate.Accelerator`, or a `OneDevice` (the CPU where None);
            accumulation and precision are the config's, not the accelerator's.

    Raises:
        ValueError: the accelerator accumulates or scales by itself, or the schedule is none, or
            does not fit the weighting.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        schedule: NoiseSchedule,
        config: TrainConfig,
        accelerator: Any = None,
    ) -> None:
        check_schedule(schedule)
        self.accelerator = OneDevice() if accelerator is None else accelerator
        check_accelerator(self.accelerator)
        self.device: torch.device = self.accelerator.device
        self.schedule, self.config = schedule, config
        self.bfloat16 = config.bfloat16 and fast_bfloat16(self.device)
        self.layout = fast_layout(self.device, bfloat16=self.bfloat16)
        self.net = net.to(self.device)
        if self.layout is torch.contiguous_format:  # a net made in channels_last must follow
            self.net.to(memory_format=self.layout)
        self.ema = EMA(self.net, decay=config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        wrapped = self.accelerator.prepare(self.net)
        self.wrapped = torch.compile(wrapped) if config.compile else wrapped
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.step = 0
        # (T+1,): of the squared error in eps; |v - v_hat|^2 = |eps - eps_hat|^2 / alpha_bar_t
        weight = torch.ones_like(schedule.alpha_bar)
        if config.weighting == "v":
            if schedule.alpha_bar[-1] == 0:
                raise ValueError(
                    f'weighting "v" needs a schedule with alpha_bar_T > 0, got {schedule.name!r}: '
                    "where all is noise, the error of eps does not tell that of v"
                )
            weight = 1 / schedule.alpha_bar
        self.weight = weight.to(self.device)

    def run(self, batches: Iterable[Batch]) -> Iterator[Record]:
        """Train until config.steps or until the batches end; stop, and call again, as you like.

        Minimises L_simple = E |eps - net(x_t, t, y)|^2, t uniform in 1..T.
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
                return
            for batch in group:
                check_batch(batch, num_classes=getattr(self.net, "num_classes", None))
            sums = self._gradients(group)
            yield self._update(sums, start=start)

    def _gradients(self, group: list[Batch]) -> Tensor:
        """Add up the gradients of the group's batches; return (2, K): losses, counts by bucket."""
        self.wrapped.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros((2, self.config.t_buckets), device=self.device)
        for i, ((x0, y), draw) in enumerate(zip(group, self._draw(group), strict=True)):
            last = i == len(group) - 1
            quiet = contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped)
            with quiet:
                losses = self._losses(x0.to(self.device), y, draw)
                weighted = losses * self.weight[draw[0]].to(losses.dtype)
                self.accelerator.backward(weighted.mean() / len(group))
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
        on = {"generator": self.generator, "device": self.device}
        t = torch.randint(1, self.schedule.T + 1, (n,), **on)
        eps = torch.randn((n, *x0.shape[1:]), dtype=x0.dtype, **on)
        dropped = torch.rand((n,), **on) < self.config.label_dropout
        shares = [x.unflatten(0, cut)[:, rank] for x in (t, eps, dropped)]
        return list(zip(*shares, strict=True))

    def _losses(self, x0: Tensor, y: Tensor | None, draw: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """|eps - eps_hat|^2 averaged over each image, (B,)."""
        t, eps, dropped = draw
        if y is not None:
            y = y.to(self.device).masked_fill(dropped, self.net.num_classes)  # the null class
        xt = q_sample(x0, t, eps, schedule=self.schedule)
        if xt.ndim == 4:
            xt = xt.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            eps_hat = self.wrapped(xt, t, y)
        check_answer(eps_hat, xt)
        # losses.simple_loss without its look at every value: `_update` sees a NaN in the sum,
        # and raises Diverged, where the check would say ValueError and wait for the device.
        return (eps - eps_hat.to(eps.dtype)).square().flatten(1).mean(1)

    def _by_bucket(self, losses: Tensor, t: Tensor) -> Tensor:
        """(2, K): sum of the losses and number of images for each range of t."""
        K = self.config.t_buckets
        bucket = (t - 1) * K // self.schedule.T
        both = torch.stack([losses.float(), torch.ones_like(losses, dtype=torch.float32)])
        return torch.zeros((2, K), device=self.device).index_add_(1, bucket, both)

    def _update(self, sums: Tensor, *, start: float) -> Record:
        """One step of the optimizer, then of the average."""
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.grad_clip)
        # One transfer from the device for all numbers of the step.
        grad_norm, *numbers = torch.cat([norm.reshape(1).float(), sums.flatten()]).tolist()
        losses, counts = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
        loss = sum(losses) / sum(counts)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise Diverged(
                f"step {self.step + 1}: loss {loss:g}, gradient norm {grad_norm:g}; the weights "
                "are those of the step before; try: a lower learning_rate or a longer warmup"
            )
        self.step += 1
        rate = learning_rate(self.step, self.config)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.optimizer.step()
        self.ema.update(self.net)
        return Record(
            step=self.step,
            loss=loss,
            bucket_loss=tuple(
                a / b if b else math.nan for a, b in zip(losses, counts, strict=True)
            ),
            grad_norm=grad_norm,
            learning_rate=rate,
            images=int(sum(counts)),
            seconds=time.perf_counter() - start,
        )
