"""What goes between the judge and a student's process: lines of JSON, and nothing that could run.

Numbers travel as bytes with a type and a shape. What arrives from the student's side is read as
data: an unknown thing becomes a placeholder with its type's name.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import select
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dmlib.book.chapters.training.nets import HiddenNet
from dmlib.models.unet import UNetConfig
from dmlib.schedules import NoiseSchedule

LONGEST = 256 * 2**20  # bytes of one line
_TYPES = {
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
    "complex64", "complex128",
}  # fmt: skip
MESSAGE = 2000  # characters of a text


class Broken(Exception):
    """The other side ended, was silent for too long, or sent what is no message."""


class Line:
    """One end of the line: messages are JSON objects, one a line."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes, self._rest = reads, writes, b""

    def send(self, message: dict[str, Any]) -> None:
        """Raises Broken: nobody listens."""
        data = json.dumps(message).encode("ascii") + b"\n"
        try:
            while data:
                data = data[os.write(self._writes, data) :]
        except OSError as error:
            raise Broken(f"the process ended ({error.strerror})") from None

    def receive(self, seconds: float = math.inf) -> dict[str, Any]:
        """The next message.

        Raises:
            Broken: none came in time, or the other side is gone or sends nonsense.
        """
        until = time.monotonic() + seconds
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            left = until - time.monotonic()
            wait = None if math.isinf(left) else max(left, 0)
            if not select.select([self._reads], [], [], wait)[0]:
                raise Broken("it did not come to an end in time")
            chunk = os.read(self._reads, 2**20)
            if not chunk:
                raise Broken("the process ended")
            parts.append(chunk)
            if sum(map(len, parts)) > LONGEST:
                raise Broken("its answer is too large")
        line, _, self._rest = b"".join(parts).partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise Broken("its answer could not be read") from None
        if not isinstance(message, dict):
            raise Broken("its answer could not be read")
        return message


def pack(value: Any, keep: Callable[[Any], int], depth: int = 0) -> Any:
    """Anything as JSON values; what can be called is kept by `keep`, which gives it a number."""
    if depth > 20:
        return {"other": "too deep"}
    if value is None or isinstance(value, (bool, str)):
        return value[:MESSAGE] if isinstance(value, str) else value
    if type(value) in (int, float):
        small = abs(value) < 2**62 if isinstance(value, int) else math.isfinite(value)
        return value if small else {"number": repr(float(value))[:40]}
    if value is ...:
        return {"dots": True}
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return _pack_numbers(value)
    if isinstance(value, (list, tuple)) and len(value) < 100_000:
        return [pack(v, keep, depth + 1) for v in value]
    if isinstance(value, dict) and len(value) < 1000:
        items = [[str(k)[:200], pack(v, keep, depth + 1)] for k, v in value.items()]
        return {"dict": items}
    if isinstance(value, NoiseSchedule):
        return {"schedule": _pack_numbers(value.beta), "name": value.name}
    if isinstance(value, Generator):
        return {"generator": _pack_numbers(value.get_state())}
    if isinstance(value, UNetConfig):
        return {"config": pack(dataclasses.asdict(value), keep, depth + 1)}
    if isinstance(value, HiddenNet):
        return {"net": value.plain()}
    if callable(value):
        return {"handle": keep(value), "kind": type(value).__name__[:100]}
    try:
        return pack(float(value), keep, depth + 1)  # SymPy's numbers, fractions, decimals
    except Exception:  # a student's object may do anything
        return {"other": type(value).__name__[:100]}


def _pack_numbers(value: Any) -> Any:
    plain = isinstance(value, (np.ndarray, np.generic))
    asks = isinstance(value, Tensor) and value.requires_grad
    if isinstance(value, Tensor):
        tensor = Tensor.detach(value).cpu()
        coarse = tensor.dtype == torch.bfloat16
        array = (tensor.float() if coarse else tensor.to_dense()).numpy()
    else:
        array, coarse = np.asarray(value), False
    if array.dtype.name not in _TYPES:
        return {"other": f"array of {array.dtype.name}"}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {
        "numbers": data, "type": array.dtype.name, "shape": list(array.shape), "plain": plain,
        "grad": bool(asks), "bfloat16": coarse,
    }  # fmt: skip


def unpack(data: Any, handle: Callable[[int, str], Any]) -> Any:
    """The value again; `handle` gives what stands for something that can be called there.

    Raises:
        Broken: the data are not what `pack` makes.
    """
    try:
        return _unpack(data, handle)
    except (KeyError, TypeError, ValueError, RuntimeError, RecursionError, MemoryError) as error:
        raise Broken(f"its answer could not be read ({type(error).__name__})") from None


def _unpack(data: Any, handle: Callable[[int, str], Any]) -> Any:
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, list):
        return [_unpack(v, handle) for v in data]
    kind = next(iter(data))
    if kind == "numbers":
        return _unpack_numbers(data)
    if kind == "dict":
        return {str(k): _unpack(v, handle) for k, v in data["dict"]}
    if kind == "dots":
        return ...
    if kind == "number":
        return float(data["number"])
    if kind == "schedule":
        return NoiseSchedule(_unpack_numbers(data["schedule"]), str(data["name"]))
    if kind == "generator":
        return Generator().set_state(_unpack_numbers(data["generator"]))
    if kind == "config":
        fields = _unpack(data["config"], handle)
        return UNetConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    if kind == "net":
        return HiddenNet.from_plain(data["net"])
    if kind == "handle":
        return handle(int(data["handle"]), str(data["kind"]))
    # A placeholder that has nothing but the type's name.
    return type("".join(c for c in str(data["other"]) if c.isalnum() or c in "_ ")[:60], (), {})()


def _unpack_numbers(data: dict[str, Any]) -> Any:
    name, shape = data["type"], tuple(int(n) for n in data["shape"])
    if name not in _TYPES or any(n < 0 for n in shape):
        raise ValueError("unknown numbers")
    raw = base64.b64decode(data["numbers"], validate=True)
    array = np.frombuffer(raw, dtype=name).reshape(shape).copy()
    if data.get("plain"):
        return array
    tensor = torch.from_numpy(array)
    if data.get("bfloat16"):
        tensor = tensor.bfloat16()
    return tensor.requires_grad_() if data.get("grad") and tensor.is_floating_point() else tensor
