"""Laws of 16 bits: float16 scales its loss, survives what does not fit, and goes on bit for bit."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from dmlib import checkpoint
from dmlib.models import UNet, UNetConfig, predicts_v
from dmlib.schedules import cosine_schedule
from dmlib.training import resume
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.loop import PATIENCE, Diverged, Training

NET = UNetConfig(
    image_size=8, widths=(16,), blocks=1, attention=(), emb_dim=16, num_classes=3, dropout=0.1
)


def make(precision: str = "float16", *, steps: int = 8, **changes) -> Training:
    torch.manual_seed(0)
    config = TrainConfig(steps=steps, warmup=2, ema_decay=0.9, precision=precision, **changes)
    return Training(predicts_v(UNet(NET), cosine_schedule(50)), config=config)


def batches(start: int = 0):
    g = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (48, 1, 8, 8), generator=g, dtype=torch.uint8)
    return shuffled(images, torch.randint(0, 3, (48,), generator=g), batch_size=8, start=start)


def state(training: Training) -> dict[str, Tensor]:
    tensors, card = resume.state(training)
    numbers = torch.tensor([card["step"], card["lost"], card["scaler"]["scale"]])
    return {name: x.clone() for name, x in tensors.items()} | {"numbers": numbers}


def overflow_at(training: Training, *steps: int) -> None:
    """Blow the gradient up in these steps alone, far beyond 65,504."""

    class Blown(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:
            return grad * 1e30

    def spoil(net: nn.Module, args: tuple, answer: Tensor) -> Tensor:
        return Blown.apply(answer) if training.step + 1 in steps else answer

    training.net.net.register_forward_hook(spoil)


def test_float16_equals_float32_within_its_rounding():
    """float16 keeps 11 bits: 2^-11 = 5e-4 a rounding."""
    runs = [make(p) for p in ("float32", "float16")]
    exact, small = ([r.loss for r in run.run(batches())] for run in runs)
    assert exact == pytest.approx(small, rel=2e-3)
    assert exact != small
    assert runs[1].scaler.get_scale() >= 2.0**15


def test_a_gradient_below_the_smallest_float16_number_is_not_lost():
    """The gradient of a weight of this network is near 1e-8; without scaling it would be 0."""
    gradients = {}
    for precision in ("float32", "float16"):
        training = make(precision)
        training.net.net.register_forward_hook(lambda net, args, answer: answer * 3e-7)
        next(training.run(batches()))
        gradients[precision] = training.net.net.head.weight.grad.abs().max().item()
    assert 0 < gradients["float32"] < 6e-8
    assert gradients["float16"] == pytest.approx(gradients["float32"], rel=0.02)


def test_an_overflow_changes_no_weight_halves_the_scale_and_the_run_goes_on():
    training = make()
    overflow_at(training, 4)
    run = training.run(batches())
    for _ in range(3):
        next(run)
    before, scale = state(training), training.scaler.get_scale()
    record = next(run)
    after = state(training)
    assert not record.finite
    assert all(torch.equal(x, after[k]) for k, x in before.items() if k.startswith(("net.", "opt")))
    assert training.scaler.get_scale() == scale / 2
    assert [r.finite for r in run] == [True] * 4
    assert (training.step, training.lost) == (8, 0)


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_a_run_with_an_overflow_goes_on_bit_for_bit(tmp_path, cut):
    straight = make()
    overflow_at(straight, 4)
    for _ in straight.run(batches()):
        pass
    first = make()
    overflow_at(first, 4)
    for _ in islice(first.run(batches()), cut):
        pass
    checkpoint.save(tmp_path, *resume.state(first), step=cut)
    second = make()
    overflow_at(second, 4)
    resume.restore(second, checkpoint.latest(tmp_path)[0])
    for _ in second.run(batches(start=cut)):
        pass
    expected, found = state(straight), state(second)
    assert all(torch.equal(found[name], x) for name, x in expected.items())


def test_a_run_whose_steps_are_all_lost_has_diverged():
    training = make(steps=100)
    overflow_at(training, *range(3, 101))
    run = training.run(batches())
    for _ in range(2):
        next(run)
    before = state(training)
    with pytest.raises(Diverged, match=rf"^step {2 + PATIENCE}: .*gradient norm (inf|nan)"):
        list(run)
    assert all(torch.equal(x, before[k]) for k, x in state(training).items() if k[:4] == "net.")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_step_that_is_not_finite_is_enough_where_nothing_is_scaled(precision):
    training = make(precision)
    training.net.net.register_forward_hook(
        lambda net, args, answer: answer * float("inf") if training.step == 3 else answer
    )
    with pytest.raises(Diverged, match=r"^step 4"):
        list(training.run(batches()))
