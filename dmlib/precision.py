"""Where bfloat16 is worth while: only where the hardware computes in it."""

from __future__ import annotations

import torch


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


def _cpu_has(question: str) -> bool:
    # Private in torch, and not there in every version: no answer counts as no.
    ask = getattr(torch.cpu, question, None)
    try:
        return bool(ask is not None and ask())
    except RuntimeError:
        return False
