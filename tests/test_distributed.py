"""One machine to many: two processes do what one does with the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

WORKER = """
    import sys, warnings
    warnings.simplefilter("error")
    import torch
    from accelerate import Accelerator
    from dmlib.batches import shuffled
    from dmlib.models import UNet, UNetConfig
    from dmlib.schedules import cosine_schedule
    from dmlib.train_config import TrainConfig
    from dmlib.training import Training

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
        UNet(config).double(),
        schedule=cosine_schedule(50),
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
    root = Path(__file__).parent.parent
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


@pytest.mark.slow
def test_command_runs_under_a_launcher(tmp_path):
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "dmlib.train"]
    command += ["--preset", "smoke", "--steps", "2", "--device", "cpu", "--folder", "run"]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "2 steps" in run.stdout
    assert (tmp_path / "run" / "weights.json").exists()
