"""Speed side by side: our U-Net and those of three well-known libraries, at equal size.

    python tools/bench.py [--steps 20] [--batch 64] [--threads 2] [--compile] [--quick]
    python tools/bench.py --threads 1 --cpu-time     on a machine that others use, too

Each measurement is a process of its own, so that memory and settings stay apart. Every library
is measured with each setting (memory format, dtype, compile where asked for), and compared at
its fastest. With --cpu-time a step's time is what its one thread computed, not what it waited for
others. Writes reports/bench.json and reports/bench.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
SIZE = 28
PEERS = ("dmlib", "diffusers", "denoising-diffusion-pytorch", "smalldiffusion")
Call = Callable[[Tensor, Tensor], Tensor]


def dmlib_net() -> tuple[nn.Module, Call]:
    from dmlib.models import UNet, UNetConfig

    net = UNet(UNetConfig(widths=(32, 64, 144), blocks=2, attention=(7,)))
    return net, net


def diffusers_net() -> tuple[nn.Module, Call]:
    from diffusers import UNet2DModel

    net = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 128),
        layers_per_block=2,
        norm_num_groups=8,
        attention_head_dim=32,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    return net, lambda xt, t: net(xt, t).sample


def ddpm_pytorch_net() -> tuple[nn.Module, Call]:
    from denoising_diffusion_pytorch import Unet

    net = Unet(dim=40, dim_mults=(1, 2, 4), channels=1)
    return net, net


def smalldiffusion_net() -> tuple[nn.Module, Call]:
    from smalldiffusion import Unet

    net = Unet(SIZE, 1, 1, ch=32, ch_mult=(1, 2, 4), num_res_blocks=2, attn_resolutions=(7,))
    return net, lambda xt, t: net(xt, t.to(xt.dtype))


MAKERS = dict(
    zip(PEERS, (dmlib_net, diffusers_net, ddpm_pytorch_net, smalldiffusion_net), strict=True)
)


def stub_torchvision() -> torch.library.Library:
    """torchvision's wheel beside a CPU-only torch lacks its operators, and a peer imports it."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return library


def timed(
    work: Callable[[], object],
    *,
    steps: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds of each of `steps` calls, after a warm-up."""
    seconds = []
    for i in range(steps + 3):
        start = clock()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= 3:
            seconds.append(clock() - start)
    return seconds


def measure(peer: str, setting: str, args: argparse.Namespace) -> dict:
    """One library with one setting, in this process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    kept_alive = stub_torchvision()
    net, call = MAKERS[peer]()
    last = torch.channels_last if "channels_last" in setting else torch.contiguous_format
    small = "bfloat16" in setting
    net = net.to(args.device).to(memory_format=last)
    if "compile" in setting:
        call = torch.compile(call)
    clock = time.process_time if args.cpu_time else time.perf_counter
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    eps, xt = torch.randn((2, args.batch, 1, SIZE, SIZE), device=args.device)
    xt = xt.contiguous(memory_format=last)
    t = torch.randint(1, 1000, (args.batch,), device=args.device)

    def forward() -> Tensor:
        with torch.autocast(args.device, torch.bfloat16, enabled=small):
            return call(xt, t)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        (forward().float() - eps).square().mean().backward()
        optimizer.step()

    @torch.no_grad()
    def step_of_sampling() -> Tensor:
        return xt - 0.01 * forward().float()

    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        MAKERS[peer]()[1](xt[:1].cpu(), t[:1].cpu())
    result = {
        "peer": peer,
        "setting": setting,
        "parameters": sum(p.numel() for p in net.parameters()),
        "flop_per_image": counter.get_total_flops(),
        "train": timed(train, steps=args.steps, device=args.device, clock=clock),
    }
    net.eval()
    result["sample"] = timed(step_of_sampling, steps=args.steps, device=args.device, clock=clock)
    result["peak_mib"] = peak_mib(args.device)
    del kept_alive
    return result


def peak_mib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def import_seconds(module: str, *, times: int) -> list[float]:
    """Seconds to start Python and import `module`."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - start)
    return seconds


def oracle_throughput(*, images: int, threads: int) -> dict:
    """The exact denoiser of a finite data set: noisy images per second."""
    from dmlib.oracle import FiniteOracle
    from dmlib.schedules import cosine_schedule

    torch.set_num_threads(threads)
    g = torch.Generator().manual_seed(0)
    data = 2 * torch.rand((images, 1, SIZE, SIZE), generator=g) - 1
    oracle = FiniteOracle(data, schedule=cosine_schedule(1000))
    xt = torch.randn((16, 1, SIZE, SIZE), generator=g)
    seconds = timed(lambda: oracle(xt, 500), steps=5, device="cpu")
    return {"data": images, "noisy_images_per_second": 16 / statistics.median(seconds)}


def spread(seconds: list[float]) -> str:
    """Median and quartiles in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return f"{1e3 * middle:.1f} ({1e3 * low:.1f}–{1e3 * high:.1f})"


def table(results: list[dict], work: str) -> tuple[list[str], float]:
    """Markdown rows of every library at its fastest, and our time over the fastest other's."""
    best = {}
    for r in results:
        if r["peer"] not in best or statistics.median(r[work]) < statistics.median(
            best[r["peer"]][work]
        ):
            best[r["peer"]] = r
    rows = [
        f"| {p} | {r['parameters']:,} | {r['flop_per_image'] / 1e6:.0f} | {r['setting']} "
        f"| {spread(r[work])} | {r['peak_mib']:.0f} |"
        for p, r in best.items()
    ]
    times = {p: statistics.median(r[work]) for p, r in best.items()}
    others = [seconds for p, seconds in times.items() if p != "dmlib"]
    return rows, times["dmlib"] / min(others)


def report(found: dict) -> str:
    """All of it as Markdown."""
    lines = ["# Speed", "", found["machine"], ""]
    for work, title in (("train", "Training step"), ("sample", "Sampling step")):
        rows, ratio = table(found["nets"], work)
        lines += [f"## {title}, batch {found['batch']}, 1 × {SIZE} × {SIZE}", ""]
        lines += ["| library | parameters | MFLOP/image | fastest setting | ms | peak MiB |"]
        lines += ["|---|---|---|---|---|---|", *rows, ""]
        lines += [f"Ours takes {ratio:.2f} times the fastest of the others.", ""]
    ours, torchs = (statistics.median(found["import"][m]) for m in ("dmlib", "torch"))
    lines += [f"`import dmlib` {ours:.2f} s, `import torch` {torchs:.2f} s (median).", ""]
    oracle = found["oracle"]
    lines += [
        f"Exact denoiser of {oracle['data']:,} images: "
        f"{oracle['noisy_images_per_second']:.0f} noisy images/s.",
        "",
    ]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpu-time", action="store_true", help="with --threads 1 on the CPU")
    parser.add_argument("--compile", action="store_true", help="measure compiled nets, too")
    parser.add_argument("--quick", action="store_true", help="only bfloat16 with channels_last")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SETTING"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cpu_time and (args.threads != 1 or args.device != "cpu"):
        parser.error("--cpu-time counts one thread on the CPU: add --threads 1 --device cpu")
    return args


def main() -> None:
    args = parse()
    if args.one:
        print(json.dumps(measure(*args.one, args)))
        return
    settings = ["bfloat16, channels_last"]
    if not args.quick:
        settings += ["float32", "float32, channels_last", "bfloat16"]
    if args.compile:
        settings += ["bfloat16, channels_last, compile"]
    nets = []
    own = ["--steps", args.steps, "--batch", args.batch, "--threads", args.threads]
    own += ["--device", args.device, *(["--cpu-time"] if args.cpu_time else [])]
    # Round after round, so that a busy spell of the machine hits all libraries alike.
    for setting in settings:
        for peer in PEERS:
            command = [sys.executable, __file__, *map(str, own), "--one", peer, setting]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            run = subprocess.run(command, capture_output=True, text=True, env=environment)
            if run.returncode:
                print(f"{peer}, {setting}: failed: {run.stderr.strip().splitlines()[-1]}")
                continue
            nets.append(json.loads(run.stdout.splitlines()[-1]))
            print(f"{peer}, {setting}: train {spread(nets[-1]['train'])} ms", flush=True)
    found = {
        "machine": f"{platform.machine()}, {args.threads} threads, {args.device}, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, "
        f"{'CPU time of the thread' if args.cpu_time else 'wall time'}",
        "batch": args.batch,
        "nets": nets,
        "import": {m: import_seconds(m, times=3 if args.quick else 9) for m in ("torch", "dmlib")},
        "oracle": oracle_throughput(images=6_000 if args.quick else 60_000, threads=args.threads),
    }
    folder = ROOT / "reports"
    folder.mkdir(exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(found))
    (folder / "bench.md").write_text(report(found))
    print(report(found))


if __name__ == "__main__":
    main()
