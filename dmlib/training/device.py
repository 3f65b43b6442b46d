"""Numbers and memory as the hardware likes them, and one device that answers as accelerate's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn


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


def fastest_device() -> str:
    """cuda or mps where there is one, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtype_of(precision: str, device: torch.device | str) -> torch.dtype:
    """The dtype that a network computes in (autocast); weights stay float32.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto": bfloat16 where the device
            multiplies in it by itself, float16 on a GPU that has only that (a T4, say), else
            float32.
        device: cpu, cuda, mps, ...

    Raises:
        ValueError: float16 is asked for on a device where its gradients cannot be rescaled.
    """
    device = torch.device(device)
    if precision == "auto":
        if fast_bfloat16(device):
            return torch.bfloat16
        return torch.float16 if fast_float16(device) else torch.float32
    if precision == "float16" and device.type not in ("cpu", "cuda"):
        raise ValueError(
            f'precision "float16" must be on cpu or cuda, got the device {device}; try: "auto"'
        )
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
        precision
    ]


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies in bfloat16 by itself.

    A CPU without the instructions (AVX-512 BF16 or AMX) converts back and forth and is slower than
    in float32; a GPU before Ampere (a T4, say) imitates them, too.

    Args:
        device: cpu, cuda, mps, ...
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return any(
            _cpu_has(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
    return False


def fast_float16(device: torch.device | str) -> bool:
    """Whether the device has units of its own for float16: CUDA GPUs since Volta (V100, T4)."""
    device = torch.device(device)
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def fast_layout(device: torch.device | str, dtype: torch.dtype) -> torch.memory_format:
    """The order of (B, C, H, W) in memory in which the convolutions of a U-Net are fastest.

    channels_last, but for bfloat16 on a CPU: there a training step of the recipe "cpu" took 118 ms
    in channels_last and 92 ms in torch's own order (2 threads of an AMD EPYC with AVX-512 BF16,
    torch 2.13, batch 128).

    Args:
        device: cpu, cuda, mps, ...
        dtype: that the network computes in.
    """
    slow = dtype == torch.bfloat16 and torch.device(device).type == "cpu"
    return torch.contiguous_format if slow else torch.channels_last


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """`x` on the device; on CUDA from page-locked memory, so that nobody waits for the copy."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def _cpu_has(question: str) -> bool:
    # Private in torch, and not there in every version: no answer counts as no.
    ask = getattr(torch.cpu, question, None)
    try:
        return bool(ask is not None and ask())
    except RuntimeError:
        return False
