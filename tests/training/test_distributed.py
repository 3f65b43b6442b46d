"""One machine to many: two processes do what one does with the same batches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from dmlib import checkpoint

WORKER = """
    import sys, warnings
    warnings.simplefilter("error")
    import torch
    from accelerate import Accelerator
    from dmlib.training.batches import shuffled
    from dmlib.models import UNet, UNetConfig, predicts_eps
    from dmlib.schedules import cosine_schedule
    from dmlib.training.config import TrainConfig
    from dmlib.training.loop import Training

    g = torch.Generator().manual_seed(5)
    images = 2 * torch.rand((24, 1, 8, 8), generator=g, dtype=torch.float64) - 1
    labels = torch.randint(0, 3, (24,), generator=g)
    torch.manual_seed(0)
    config = UNetConfig(
        image_size=8, widths=(16,), blocks=1, attention=(), emb_dim=16, num_classes=3
    )
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == int(sys.argv[2])
    training = Training(
        predicts_eps(UNet(config).double(), cosine_schedule(50)),
        config=TrainConfig(steps=6, warmup=2, label_dropout=0.3, accumulation=int(sys.argv[3])),
        accelerator=accelerator,
    )
    share = (accelerator.process_index, accelerator.num_processes)
    size = 8 // int(sys.argv[3])
    records = list(training.run(shuffled(images, labels, batch_size=size, share=share)))
    if accelerator.is_main_process:
        torch.save(
            {
                "net": training.net.state_dict(),
                "ema": training.ema.net.state_dict(),
                "loss": torch.tensor([r.loss for r in records]),
                "norm": torch.tensor([r.grad_norm for r in records]),
                "buckets": torch.tensor([r.bucket_loss for r in records]),
                "images": torch.tensor([r.images for r in records]),
            },
            sys.argv[1],
        )
    accelerator.end_training()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
"""


def launched(folder: Path, *, processes: int, accumulation: int = 1) -> dict:
    script, out = folder / "worker.py", folder / f"{processes}_{accumulation}.pt"
    script.write_text(textwrap.dedent(WORKER))
    root = Path(__file__).parents[2]
    # `accelerate launch` itself starts several CPU processes through MPI only; for GPUs it calls
    # this launcher.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [*launch, str(script), str(out), str(processes), str(accumulation)]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, cwd=folder
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return torch.load(out)


@pytest.mark.slow
def test_two_processes_equal_one_on_the_same_global_batch(tmp_path):
    one = launched(tmp_path, processes=1)
    two = launched(tmp_path, processes=2, accumulation=2)
    assert one["images"].tolist() == two["images"].tolist() == [8] * 6
    for part in ("net", "ema"):
        for name, x in one[part].items():
            torch.testing.assert_close(two[part][name], x, rtol=1e-8, atol=1e-9)
    for part in ("loss", "norm", "buckets"):
        torch.testing.assert_close(two[part], one[part], rtol=1e-5, atol=1e-6, equal_nan=True)


STOPPED = """
    import os, sys
    from dataclasses import replace
    from pathlib import Path
    import torch
    from dmlib.training.recipes import SMOKE
    from dmlib.training.session import Session

    net = replace(SMOKE.net, widths=(8,), attention=(), heads=1, emb_dim=8, patch=4)
    train = replace(SMOKE.train, steps=100_000)
    recipe = replace(
        SMOKE, net=net, train=train, batch_size=8, T=20, preview_every=10**6, save_every=10**6
    )
    session = Session(recipe, folder=sys.argv[1], device="cpu")
    rank = session.accelerator.process_index

    def ready(record):
        if record.step == 5:
            Path(f"{sys.argv[1]}.{rank}").write_text(str(os.getpid()))

    outcome = session.train(ready)
    Path(f"{sys.argv[1]}.{rank}.end").write_text(f"{outcome.status} {session.training.step}")
    torch.distributed.destroy_process_group()
    sys.exit(outcome.code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("asked", [[1], [0], [1, 0, 0, 1]], ids=["one", "main", "all, twice"])
def test_processes_that_are_stopped_stop_at_one_step_and_keep_it(tmp_path, asked):
    script, folder = tmp_path / "stopped.py", tmp_path / "run"
    script.write_text(textwrap.dedent(STOPPED))
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", "2", str(script), str(folder)]
    environment["ACCELERATE_USE_CPU"] = "true"
    files = [tmp_path / f"run.{rank}" for rank in (0, 1)]
    with subprocess.Popen(launch, env=environment, cwd=tmp_path, stderr=subprocess.PIPE) as run:
        while not all(f.exists() and f.read_text() for f in files) and run.poll() is None:
            time.sleep(0.05)
        for rank in asked:
            os.kill(int(files[rank].read_text()), signal.SIGTERM)
            time.sleep(0.02)
        try:
            _, said = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:  # stopped at two steps, they wait for each other
            for file in files:
                os.kill(int(file.read_text()), signal.SIGKILL)
            raise
    ends = [(tmp_path / f"run.{rank}.end") for rank in (0, 1)]
    assert all(end.exists() for end in ends), said.decode()[-3000:]
    (status, step), other = (end.read_text().split() for end in ends)
    assert [status, step] == other
    assert status == "stopped"
    found, refused = checkpoint.latest(folder)
    assert found is not None
    assert (found.card["step"], refused) == (int(step), [])


@pytest.mark.slow
def test_command_runs_under_a_launcher(tmp_path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "dmlib.training"]
    command += ["--recipe", "smoke", "--steps", "2", "--device", "cpu", "--folder", "run"]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "2 steps" in run.stdout
    assert (tmp_path / "run" / "weights.json").exists()
