"""A GPU that is none: real numbers on the CPU, under the rules of CUDA or of Apple's "mps".

What is emulated is what may meet what (tensors, 0-d tensors, indices, generators), which dtypes
there are, autocast, and that a device's values must be asked for: every read and every copy is
counted, with the line that asked. Speed, kernels and memory are not. One call, scaled dot product
attention, is replaced by its formula.

Import it before anything that asks torch for a device, with DMLIB_EMULATED_DEVICE set to "cuda"
or "mps"; it changes torch for the whole process, so tests run it in a process of its own:

    import emulator
    emulator.install(capability=(7, 5))
    with emulator.on():
        ...  # x.to("cuda") gives an emulated tensor

Needs torch and a C++ compiler (`compiler()` names it, or None).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GUARD = Path(__file__).with_name("guard.cpp")
KIND = os.environ.get("DMLIB_EMULATED_DEVICE", "cuda")


def compiler() -> str | None:
    """The C++ compiler's path, or None where there is none."""
    return next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


def compiled_guard() -> Path:
    """guard.cpp as a library: compiled once for this torch, this Python and this text."""
    root = Path(importlib.util.find_spec("torch").origin).parent  # its library is linked by path
    version = f"{importlib.metadata.version('torch')} {root} {sys.version} {GUARD.read_text()}"
    name = f"dmlib-guard-{os.getuid()}-{hashlib.sha256(version.encode()).hexdigest()[:16]}.so"
    target = Path(tempfile.gettempdir()) / name
    if not target.exists():
        half = target.with_suffix(f".{os.getpid()}")
        include = [f"-I{root}/include", f"-I{root}/include/torch/csrc/api/include"]
        include += [f"-I{sysconfig.get_paths()['include']}"]
        link = [f"-L{root}/lib", f"-Wl,-rpath,{root}/lib", "-ltorch_cpu", "-lc10"]
        flags = ["-shared", "-fPIC", "-O1", "-std=c++20"]
        command = [compiler(), *flags, *include, str(GUARD), *link, "-o", str(half)]
        subprocess.run(command, check=True)
        half.replace(target)
    return target


# Loaded before torch itself looks for devices.
ctypes.CDLL(str(compiled_guard()), mode=ctypes.RTLD_GLOBAL)

import torch  # noqa: E402
import torch._dynamo  # noqa: E402 (later, it would look for a real device)
import torch._inductor  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

DEVICE, CPU = torch.device(KIND, 0), torch.device("cpu")
READ, COPY = "read", "copy"  # of the device's values; to the device
events: Counter[str] = Counter()
where: Counter[tuple[str, str, str]] = Counter()
# What torch on a GPU lets a 0-d CPU tensor into although it is not marked as pointwise.
SCALARS = {"where", "add_", "mul_", "div_", "sub_", "masked_fill", "masked_fill_", "fill_"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
ASKED_SHAPE = {"nonzero", "masked_select", "unique_dim", "_unique2", "bincount"}
NO_NUMPY = (
    f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
    "host memory first."
)
NO_FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)


class DeviceMixError(RuntimeError):
    """Tensors or a generator of two devices met."""


def site() -> str:
    """The innermost line of dmlib that is running."""
    frame = sys._getframe()
    while frame is not None:
        if "/dmlib/" in frame.f_code.co_filename:
            name = frame.f_code.co_filename.rpartition("/dmlib/")[2]
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


def note(event: str, what: str) -> None:
    events[event] += 1
    where[(event, site(), what)] += 1


class OnDevice(Tensor):
    """A tensor that says that it is on the device; `real` holds its values."""

    @staticmethod
    def __new__(cls, real: Tensor) -> OnDevice:
        if KIND == "mps" and real.dtype == torch.float64:
            raise TypeError(f"{NO_FLOAT64} [{site()}]")
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=DEVICE,
            requires_grad=False,
            dispatch_device=False,
        )
        made.real_values = real
        return made

    def __repr__(self) -> str:
        return f"OnDevice({self.real_values})"

    def untyped_storage(self) -> Any:
        return self.real_values.untyped_storage()

    def tolist(self) -> Any:
        note(READ, "tolist")
        return self.real_values.tolist()

    def __format__(self, spec: str) -> str:
        return self.item().__format__(spec) if self.dim() == 0 else repr(self)

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(NO_NUMPY)

    __array__ = numpy
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _is_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == KIND


def _plain(x: Any) -> Any:
    return x.real_values if isinstance(x, OnDevice) else x


def _run(func, args: tuple, kwargs: dict) -> Any:
    """One operation of aten, under the device's rules."""
    name = func._schema.name.removeprefix("aten::")
    flat, _ = tree_flatten((args, kwargs))
    ours = [x for x in flat if isinstance(x, OnDevice)]
    theirs = [x for x in flat if isinstance(x, Tensor) and not isinstance(x, OnDevice)]
    if name == "_local_scalar_dense":
        if ours:
            note(READ, "item, bool, int or float")
        return func(_plain(args[0]))
    if name == "_to_copy":
        return _to_copy(func, args[0], dict(kwargs))
    if name == "copy_":
        target, source = args[:2]
        if isinstance(target, OnDevice) != isinstance(source, OnDevice):
            note(COPY if isinstance(target, OnDevice) else READ, "copy_")
        func(_plain(target), _plain(source))
        return target
    if ours and theirs:
        _check_mix(func, name, args, theirs)
    on_device = bool(ours) or _is_device(kwargs.get("device"))
    _check_generator(name, flat, on_device)
    _count_waits(name, args, ours)
    if name in ("_softmax", "_log_softmax") and args[2]:  # half in, float32 out: CUDA alone
        args = (args[0].float(), args[1], False)
    narrow = None
    if name.endswith("softmax_backward_data") and args[3] != args[0].dtype:  # and back
        args, narrow = (*args[:3], args[0].dtype), args[3]
    made = {k: CPU if k == "device" and v is not None else v for k, v in kwargs.items()}
    with _random_of_device(func, flat, on_device):
        result = func(*tree_map(_plain, args), **tree_map(_plain, made))
    if narrow is not None:
        result = result.to(narrow)
    if not on_device:
        return result
    same = {id(x.real_values): x for x in ours}  # in place and out: the same object again

    def back(x: Any) -> Any:
        if isinstance(x, Tensor):
            known = same.get(id(x))
            return OnDevice(x) if known is None else known
        return x

    events["kernel"] += 1
    return tree_map(back, result)


def _to_copy(func, source: Tensor, kwargs: dict) -> Tensor:
    target = kwargs.get("device")
    was = isinstance(source, OnDevice)
    becomes = was if target is None else _is_device(target)
    late = bool(kwargs.pop("non_blocking", False))
    if becomes and KIND == "mps" and (kwargs.get("dtype") or source.dtype) == torch.float64:
        raise TypeError(f"{NO_FLOAT64} [{site()}]")
    if was and not becomes:
        note("late read" if late else READ, "to the CPU")
    if becomes and not was:
        note("late copy" if late else COPY, "to the device")
    if target is not None:
        kwargs["device"] = CPU
    made = func(_plain(source), **kwargs)
    return OnDevice(made) if becomes else made


def _check_mix(func, name: str, args: tuple, theirs: list[Tensor]) -> None:
    odd = [x for x in theirs if x.dim() > 0]
    if name in INDEXED:
        if isinstance(args[0], OnDevice):
            note(COPY, "index")
            return
        raise DeviceMixError(
            "indices should be either on cpu or on the same device as the indexed tensor (cpu) "
            f"[{name} at {site()}]"
        )
    if name.startswith("set_"):
        return
    together = name.startswith("_foreach") or "fused_adam" in name
    pointwise = torch.Tag.pointwise in func.tags or name in SCALARS
    if odd or together or not pointwise:
        raise DeviceMixError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! [{name} at {site()}]"
        )


def _check_generator(name: str, flat: list, on_device: bool) -> None:
    if not any(isinstance(x, torch._C.Generator) for x in flat):
        return
    given = _generators[-1].type if _generators else "cpu"
    expected = KIND if on_device else "cpu"
    if given != expected:
        raise DeviceMixError(
            f"Expected a '{expected}' device type for generator but found '{given}' "
            f"[{name} at {site()}]"
        )


def _count_waits(name: str, args: tuple, ours: list) -> None:
    if not ours:
        return
    masks = name == "index" and any(
        isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]
    )
    if name in ASKED_SHAPE or masks:
        note(READ, f"the shape of {name}'s answer")
    if name == "equal":
        note(READ, "equal")


_generators: list[torch.device] = []
_device_state = [torch.Generator().manual_seed(0).get_state()]


@contextlib.contextmanager
def _random_of_device(func, flat: list, on_device: bool) -> Iterator[None]:
    """The device draws from a global generator of its own."""
    seeded = torch.Tag.nondeterministic_seeded in func.tags
    if not (on_device and seeded) or any(isinstance(x, torch._C.Generator) for x in flat):
        yield
        return
    cpu = torch.default_generator.get_state()
    torch.default_generator.set_state(_device_state[0])
    yield
    _device_state[0] = torch.default_generator.get_state()
    torch.default_generator.set_state(cpu)


def _seed_device(seed: int) -> None:
    _device_state[0] = torch._C.Generator().manual_seed(int(seed)).get_state()


class Generator(torch.Generator):
    """A generator that says on which device it draws."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        return super().__new__(cls, "cpu")

    def __init__(self, device: Any = "cpu") -> None:
        self._says = DEVICE if _is_device(device) else CPU

    @property
    def device(self) -> torch.device:
        return self._says


class Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not _touches(args) and not _touches(kwargs.values()) and not _generators:
            return func(*args, **kwargs)  # the CPU's own affair
        return _run(func, args, kwargs)


class Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v, in float32, which keeps no more than a GPU's kernel does."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        return _attend(q.float(), k.float(), v.float()).to(q.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inputs = [x.detach().float().requires_grad_() for x in ctx.saved_tensors]
            out = _attend(*inputs)
        grads = torch.autograd.grad(out, inputs, grad.float())
        return tuple(g.to(x.dtype) for g, x in zip(grads, ctx.saved_tensors, strict=True))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v


def _touches(values: Any) -> bool:
    """Whether anything of the device is among an operation's arguments."""
    for x in values:
        if isinstance(x, OnDevice) or (isinstance(x, torch.device) and x.type == KIND):
            return True
        if isinstance(x, (list, tuple)) and _touches(x):
            return True
    return False


class Functions(TorchFunctionMode):
    """What torch decides above aten: names of devices, generators, attention."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            return Attention.apply(*args[:3])
        if func is Tensor.pin_memory:
            return args[0]
        if args and isinstance(args[0], OnDevice):
            if func is Tensor.tolist:
                return args[0].tolist()
            if func is Tensor.untyped_storage:
                return args[0].untyped_storage()
            if func in (Tensor.numpy, Tensor.__array__):
                raise TypeError(NO_NUMPY)
        args = tuple(_with_index(x) for x in args)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _with_index(kwargs["device"])}
        if func in (torch.tensor, torch.as_tensor) and _is_device(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": CPU}).to(DEVICE)
        given = [x for x in (*args, *kwargs.values()) if isinstance(x, Generator)]
        if not given:
            return func(*args, **kwargs)
        _generators.append(given[0].device)
        try:
            return func(*args, **kwargs)
        finally:
            _generators.pop()


def _with_index(device: Any) -> Any:
    """ "cuda" as cuda:0, which is what a tensor's device is called."""
    named = isinstance(device, str) and device == KIND
    bare = isinstance(device, torch.device) and device.type == KIND and device.index is None
    return DEVICE if named or bare else device


def install(
    *, capability: tuple[int, int] = (8, 0), memory: int = 15 * 2**30, name: str = "emulated GPU"
) -> None:
    """Let torch answer as if the device were there."""
    torch.Generator = Generator
    torch.nn.Module.to = _module_to
    if KIND == "mps":
        torch.backends.mps.is_available = lambda: True
        torch.mps.manual_seed = _seed_device
        torch.mps.get_rng_state = lambda: _device_state[0].clone()
        torch.mps.set_rng_state = lambda state: _device_state.__setitem__(0, state.clone())
        return

    class Properties:
        total_memory, multi_processor_count = memory, 40
        major, minor = capability

    Properties.name = name
    answers = {
        "_lazy_init": lambda: None,
        "_lazy_call": lambda f, **kwargs: f(),
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: capability,
        "get_device_properties": lambda device=None: Properties,
        "get_device_name": lambda device=None: name,
        "is_bf16_supported": lambda *args, **kwargs: True,  # older GPUs imitate it
        "synchronize": lambda *args: note(READ, "synchronize"),
        "get_rng_state": lambda device=None: _device_state[0].clone(),
        "set_rng_state": lambda state, device=None: _device_state.__setitem__(0, state.clone()),
        "manual_seed": _seed_device,
        "manual_seed_all": _seed_device,
        "Event": _Event,
    }
    for key, value in answers.items():
        setattr(torch.cuda, key, value)
    torch._C._cuda_getDeviceCount = lambda: 1


class _Event:
    """Work is done at once here, so an event has always come."""

    def __init__(self, **kwargs: Any) -> None: ...

    def record(self, *args: Any) -> None: ...

    def synchronize(self) -> None: ...

    def query(self) -> bool:
        return True


@contextlib.contextmanager
def on() -> Iterator[None]:
    """Within, torch follows the device's rules."""
    with Functions(), Operations():
        yield


def _module_to(self, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """nn.Module.to, which would write into the storage of parameters that have none."""
    given = [_with_index(x) for x in args], {k: _with_index(v) for k, v in kwargs.items()}
    device, dtype, _, order = torch._C._nn._parse_to(*given[0], **given[1])
    for module in self.modules():
        for name, p in list(module._parameters.items()):
            if p is None:
                continue
            wanted: dict[str, Any] = {"device": device or p.device}
            if dtype is not None and p.is_floating_point():
                wanted["dtype"] = dtype
            if order is not None and p.dim() == 4:
                wanted["memory_format"] = order
            new = p.detach().to(**wanted)
            same = (new.device, new.dtype, new.stride()) == (p.device, p.dtype, p.stride())
            if not same:
                module._parameters[name] = torch.nn.Parameter(new, requires_grad=p.requires_grad)
        for name, b in list(module._buffers.items()):
            if b is not None:
                kind = dtype if b.is_floating_point() else None
                module._buffers[name] = b.to(device=device or b.device, dtype=kind)
    return self
