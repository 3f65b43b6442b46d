"""Speed side by side: our U-Net and those of three well-known libraries, at equal size.

    make bench                                       all of it, 15 to 40 minutes on two cores
    python tools/bench/bench.py --quick                    float32 with channels_last only
    python tools/bench/bench.py --threads 1 --cpu-time     on a machine that others use, too

Each measurement is a process of its own, so that memory and settings stay apart. Every library is
measured with each setting that the machine is made for (memory format, dtype, compile), and
compared at its fastest. With --cpu-time a step's time is what its one thread computed, not what
it waited for others. Writes reports/bench.json and reports/bench.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_nets import MAKERS, PEERS, SIZE, stub_torchvision
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from dmlib.training.device import fast_bfloat16

ROOT = Path(__file__).parents[2]


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
    if "compile" not in setting:
        result["profile"] = where_time_goes(train, device=args.device)
    net.eval()
    result["sample"] = timed(step_of_sampling, steps=args.steps, device=args.device, clock=clock)
    result["peak_mib"] = peak_mib(args.device)
    del kept_alive
    return result


def where_time_goes(work: Callable[[], object], *, device: str) -> dict[str, float]:
    """Share of the computing time of each operator itself, the largest first."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as seen:
        for _ in range(3):
            work()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    times = {row.key: getattr(row, field) for row in seen.key_averages()}
    total = sum(times.values())
    largest = sorted(times, key=times.__getitem__, reverse=True)[:8]
    return {name: times[name] / total for name in largest}


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


def fastest(results: list[dict], work: str) -> dict[str, dict]:
    """Of each library the measurement with the smallest median."""
    best: dict[str, dict] = {}
    for r in sorted(results, key=lambda r: statistics.median(r[work])):
        best.setdefault(r["peer"], r)
    return best


def table(results: list[dict], work: str) -> tuple[list[str], float]:
    """Markdown rows of all measurements, and our best time over the best of the others."""
    best = fastest(results, work)
    rows = [
        f"| {r['peer']} | {r['setting']}{' (its fastest)' if best[r['peer']] is r else ''} "
        f"| {spread(r[work])} | {r['parameters']:,} | {r['flop_per_image'] / 1e6:.0f} "
        f"| {r['peak_mib']:.0f} |"
        for r in results
    ]
    times = {p: statistics.median(r[work]) for p, r in best.items()}
    others = [seconds for p, seconds in times.items() if p != "dmlib"]
    return rows, times["dmlib"] / min(others)


def report(found: dict) -> str:
    """All of it as Markdown."""
    lines = ["# Speed", "", found["machine"], ""]
    lines += [f"Not measured: {'; '.join(found['left_out'])}.", ""] if found["left_out"] else []
    for work, title in (("train", "Training step"), ("sample", "Sampling step")):
        rows, ratio = table(found["nets"], work)
        lines += [f"## {title}, batch {found['batch']}, 1 × {SIZE} × {SIZE}", ""]
        lines += ["| library | setting | ms | parameters | MFLOP/image | peak MiB |"]
        lines += ["|---|---|---|---|---|---|", *rows, ""]
        lines += [f"Each at its fastest, ours takes {ratio:.2f} times the best of the others.", ""]
    lines += ["Milliseconds: median (quartiles). Peak: of the process, training and sampling.", ""]
    lines += ["## Where a training step's time goes", ""]
    eager = [r for r in found["nets"] if "profile" in r]
    for peer, r in fastest(eager, "train").items():
        parts = ", ".join(f"{name} {share:.0%}" for name, share in r["profile"].items())
        lines += [f"- {peer} ({r['setting']}): {parts}"]
    lines += ["", "## Import and oracle", ""]
    ours, torchs = (statistics.median(found["import"][m]) for m in ("dmlib", "torch"))
    lines += [f"`import dmlib` {ours:.2f} s, `import torch` {torchs:.2f} s (median).", ""]
    oracle = found["oracle"]
    lines += [
        f"Exact denoiser of {oracle['data']:,} images: "
        f"{oracle['noisy_images_per_second']:.0f} noisy images/s.",
        "",
    ]
    return "\n".join(lines)


def settings_for(device: str, *, compiler: bool, quick: bool) -> tuple[list[str], list[str]]:
    """The settings worth measuring on this machine, and why the others are left out."""
    if quick:
        return ["float32, channels_last"], ["all but float32 with channels_last: --quick"]
    settings, left_out = ["float32", "float32, channels_last"], []
    if fast_bfloat16(device):
        settings += ["bfloat16", "bfloat16, channels_last"]
    else:
        left_out.append("bfloat16: this device imitates it, which is slower than float32")
    if compiler:
        settings += [f"{setting}, compile" for setting in settings[-2:]]
    else:
        left_out.append("compile: no C++ compiler here")
    return settings, left_out


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpu-time", action="store_true", help="with --threads 1 on the CPU")
    parser.add_argument("--quick", action="store_true", help="float32 with channels_last only")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SETTING"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cpu_time and (args.threads != 1 or args.device != "cpu"):
        parser.error("--cpu-time counts one thread on the CPU: add --threads 1 --device cpu")
    return args


def measure_all(settings: list[str], args: argparse.Namespace) -> list[dict]:
    """Every library with every setting, each in a process of its own."""
    own = ["--steps", args.steps, "--batch", args.batch, "--threads", args.threads]
    own += ["--device", args.device, *(["--cpu-time"] if args.cpu_time else [])]
    # Round after round, so that a busy spell of the machine hits all libraries alike.
    rounds = [(peer, setting) for setting in settings for peer in PEERS]
    nets = []
    for number, (peer, setting) in enumerate(rounds, start=1):
        command = [sys.executable, __file__, *map(str, own), "--one", peer, setting]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(command, capture_output=True, text=True, env=environment)
        print(f"{number}/{len(rounds)} {peer}, {setting}: ", end="")
        if run.returncode:
            print(f"failed: {run.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        nets.append(json.loads(run.stdout.splitlines()[-1]))
        print(", ".join(f"{w} {spread(nets[-1][w])} ms" for w in ("train", "sample")), flush=True)
    return nets


def main() -> None:
    args = parse()
    if args.one:
        print(json.dumps(measure(*args.one, args)))
        return
    compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    settings, left_out = settings_for(args.device, compiler=compiler, quick=args.quick)
    nets = measure_all(settings, args)
    found = {
        "machine": f"{platform.machine()}, {args.threads} threads, {args.device}, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, "
        f"{'CPU time of the thread' if args.cpu_time else 'wall time'}",
        "batch": args.batch,
        "left_out": left_out,
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
