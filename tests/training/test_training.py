"""Laws of the training loop: what is averaged, what is drawn, and that nothing is lost."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dmlib import checkpoint
from dmlib.models import MLP, NetDenoiser, UNet, UNetConfig, predicts_eps, predicts_v
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr
from dmlib.training import resume
from dmlib.training.__main__ import main
from dmlib.training.batches import shuffled
from dmlib.training.config import TrainConfig
from dmlib.training.device import OneDevice, dtype_of, fast_bfloat16, fast_layout
from dmlib.training.log import RunLog, read_log
from dmlib.training.loop import Diverged, Training
from dmlib.training.recipes import SMOKE
from dmlib.training.record import Numbers, Record

SCHEDULE = cosine_schedule(50)
TINY = UNetConfig(
    image_size=8, widths=(16, 16), blocks=1, attention=(4,), emb_dim=16, num_classes=3, dropout=0.1
)


def make_data(n: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (n, 1, 8, 8), generator=g, dtype=torch.uint8)
    return images, torch.randint(0, 3, (n,), generator=g)


def make_training(steps: int = 12, *, net: nn.Module | None = None, **changes) -> Training:
    torch.manual_seed(0)
    config = TrainConfig(**{"steps": steps, "warmup": 3, "ema_decay": 0.9, **changes})
    net = net or UNet(TINY).to(memory_format=torch.channels_last)
    return Training(predicts_eps(net, SCHEDULE), config=config)


def batches(start: int = 0, size: int = 8):
    return shuffled(*make_data(), batch_size=size, start=start)


def points(n: int = 8, *, dtype=torch.float64, labels: bool = True):
    g = torch.Generator().manual_seed(1)
    while True:
        x0 = torch.randn((n, 2), generator=g, dtype=dtype)
        yield x0, torch.randint(0, 3, (n,), generator=g) if labels else None


def weights(training: Training) -> dict[str, torch.Tensor]:
    tensors, _ = resume.state(training)
    return tensors


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# The loop


def test_record_comes_after_the_optimizers_step():
    training = make_training()
    before = training.net.net.stem.weight.clone()
    run = training.run(batches())
    for step in (1, 2, 3):
        assert next(run).step == training.step == step
    assert not torch.equal(before, training.net.net.stem.weight)


def test_loop_stopped_and_called_again_equals_one_loop():
    one, two = make_training(), make_training()
    torch.manual_seed(7)
    whole = list(one.run(batches()))
    torch.manual_seed(7)
    data = batches()
    first = [r for _, r in zip(range(4), two.run(data), strict=False)]
    # The loop above stands after step 4, its fifth batch not yet taken.
    rest = list(two.run(data))
    assert [r.loss for r in whole] == [r.loss for r in first + rest]
    assert_same(weights(one), weights(two))


def test_loop_ends_with_its_batches():
    training = make_training(accumulation=2)
    data = [b for _, b in zip(range(5), batches(), strict=False)]
    assert [r.step for r in training.run(data)] == [1, 2]


def test_training_lowers_the_loss():
    records = list(make_training(120, warmup=10).run(batches()))
    early, late = (sum(r.loss for r in part) / 20 for part in (records[:20], records[-20:]))
    assert early > 0.7  # the zeroed head starts at E eps^2 = 1
    assert late < 0.75 * early


def test_trained_net_agrees_with_the_exact_denoiser():
    from dmlib.mixture import GaussianMixture
    from dmlib.oracle import MixtureOracle

    schedule = linear_schedule(100, beta_1=1e-3, beta_T=0.1)
    mixture = GaussianMixture(
        torch.tensor([0.3, 0.7]), torch.tensor([[-1.5], [1.0]]), torch.tensor([0.25, 0.35])
    )
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = MLP(1, width=64, depth=2)
    config = TrainConfig(steps=700, warmup=20, learning_rate=4e-3, ema_decay=0.98)
    training = Training(predicts_eps(net, schedule), config=config)
    data = ((mixture.sample(512, generator=g).float(), None) for _ in range(700))
    for _ in training.run(data):
        pass
    oracle = MixtureOracle(mixture, schedule=schedule)
    for t in (5, 20, 50, 90):
        x0 = mixture.sample(2000, generator=g).double()
        bar = schedule.alpha_bar[t]
        eps = torch.randn(x0.shape, generator=g, dtype=torch.float64)
        xt = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
        with torch.no_grad():
            eps_hat = training.ema.net(xt.float(), t).eps_hat
        apart = (eps_hat - oracle(xt, t).eps_hat).square().mean()
        assert apart < 0.02, t


def test_bucket_losses_average_to_the_loss():
    training = make_training(t_buckets=5)
    seen = []
    by_bucket = training._by_bucket
    training._by_bucket = lambda losses, t: seen.append((losses, t)) or by_bucket(losses, t)
    record = next(training.run(batches(size=32)))
    losses, t = seen[0]
    assert record.loss == pytest.approx(losses.mean().item())
    for k in range(5):  # T = 50: t in 1..10, 11..20, ...
        inside = (t >= 10 * k + 1) & (t <= 10 * k + 10)
        assert record.bucket_loss[k] == pytest.approx(losses[inside].mean().item(), rel=1e-5)


def test_every_step_of_1_to_T_is_drawn_equally_often():
    training = make_training()
    x0 = torch.zeros(20_000, 1)
    t = training._draw([(x0, None)])[0][0]
    counts = torch.bincount(t, minlength=51)
    assert counts[0] == 0
    assert len(counts) == 51
    # chi-square with 49 degrees of freedom: above 85.4 once in 1,000 seeds
    assert ((counts[1:] - 400) ** 2 / 400).sum() < 85.4


class Spy(nn.Module):
    """Predicts with one weight and remembers what it was asked."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.asked: list[tuple[torch.Tensor, ...]] = []

    def forward(self, xt, t, y=None):
        self.asked.append((xt, t, y))
        return self.w * xt


def test_labels_are_dropped_as_often_as_asked():
    for share in (0.0, 0.2, 1.0):
        spy = Spy()
        training = make_training(1, net=spy, label_dropout=share)
        next(training.run(points(5000)))
        dropped = (spy.asked[0][2] == 3).double().mean().item()
        # five standard deviations of a share of 5,000
        assert abs(dropped - share) <= 5 * math.sqrt(share * (1 - share) / 5000)


def test_net_sees_xt_of_the_kernel():
    spy = Spy()
    training = make_training(1, net=spy)
    drawn = []
    draw = training._draw
    training._draw = lambda group: drawn.append(draw(group)) or drawn[0]
    x0, y = next(points())
    next(training.run([(x0, y)]))
    (t, eps, _), (xt, asked_t, _) = drawn[0][0], spy.asked[0]
    bar = SCHEDULE.alpha_bar[t][:, None]
    assert torch.equal(asked_t, t)
    torch.testing.assert_close(xt, bar.sqrt() * x0 + (1 - bar).sqrt() * eps)


def test_average_follows_the_step_just_taken():
    spy = Spy()
    training = make_training(1, net=spy, ema_decay=0.999, warmup=0)
    next(training.run(points()))
    assert spy.w.item() != 1
    expected = 2 / 11 * 1.0 + 9 / 11 * spy.w.item()  # d_1 = (1 + 1) / (10 + 1)
    assert training.ema.net.net.w.item() == pytest.approx(expected, rel=1e-12)


def test_gradient_is_cut_and_its_norm_recorded_before():
    loose, tight = make_training(grad_clip=1e9), make_training(grad_clip=1e-3)
    a, b = (next(tr.run(batches())) for tr in (loose, tight))
    assert a.grad_norm == b.grad_norm > 0.01
    norms = [
        torch.stack([p.grad.norm() for p in tr.net.parameters()]).norm().item()
        for tr in (loose, tight)
    ]
    assert norms[0] == pytest.approx(a.grad_norm, rel=1e-4)
    assert norms[1] == pytest.approx(1e-3, rel=1e-2)


def test_optimizer_uses_the_rate_of_the_warm_up():
    training = make_training(warmup=4, learning_rate=0.01)
    run = training.run(batches())
    for expected in (0.0025, 0.005, 0.0075, 0.01):
        assert next(run).learning_rate == pytest.approx(expected)
        assert training.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_accumulated_batches_equal_one_big_batch():
    def trained(size: int, accumulation: int) -> Training:
        torch.manual_seed(0)
        net = MLP(2, width=16, num_classes=3).double()
        training = make_training(4, net=net, accumulation=accumulation)
        small = (
            (x0[i : i + size], y[i : i + size]) for x0, y in points(8) for i in range(0, 8, size)
        )
        training.records = list(training.run(small))
        return training

    big, cut = trained(8, 1), trained(2, 4)
    for a, b in zip(big.records, cut.records, strict=True):
        assert a.images == b.images == 8
        assert a.loss == pytest.approx(b.loss, rel=1e-6)
    for p, q in zip(big.net.parameters(), cut.net.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


def test_nan_stops_before_it_reaches_the_weights():
    spy = Spy()
    training = make_training(net=spy)
    run = training.run(points())
    next(run)
    kept, averaged = spy.w.item(), training.ema.net.net.w.item()
    with torch.no_grad():
        spy.register_forward_hook(lambda *a: a[2] * math.nan)
    with pytest.raises(Diverged, match="step 2: loss nan"):
        next(run)
    assert (spy.w.item(), training.ema.net.net.w.item(), training.step) == (kept, averaged, 1)


def test_weighting_v_is_the_squared_error_of_v():
    def gradient(weighting: str) -> tuple[float, Training, list]:
        spy, drawn = Spy(), []
        training = make_training(1, net=spy, weighting=weighting, grad_clip=1e9)
        draw = training._draw
        training._draw = lambda group: drawn.append(draw(group)) or drawn[0]
        training.record = next(training.run(points(64)))
        return spy.w.grad.item(), training, [*drawn[0][0], spy.asked[0][0]]

    plain, weighted = gradient("simple"), gradient("v")
    t, eps, _, xt = weighted[2]
    bar = SCHEDULE.alpha_bar[t][:, None]
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    x0 = next(points(64))[0]
    v = bar.sqrt() * eps - (1 - bar).sqrt() * x0
    eps_hat = w * xt
    v_hat = (eps_hat - (1 - bar).sqrt() * xt) / bar.sqrt()
    (v - v_hat).square().mean().backward()
    assert weighted[0] == pytest.approx(w.grad.item(), rel=1e-6)
    assert plain[0] != pytest.approx(weighted[0], rel=0.1)
    # What is reported is L_simple, whatever was minimised.
    assert plain[1].record.loss == weighted[1].record.loss


@pytest.mark.parametrize("weighting", ["simple", "v"])
def test_a_network_that_predicts_v_is_trained_at_zero_terminal_snr(weighting):
    """What it says of x_T, which is all noise, is the mean of the data: v = -E x_0."""
    schedule = zero_terminal_snr(cosine_schedule(20))
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = TrainConfig(
        steps=400, warmup=20, learning_rate=4e-3, ema_decay=0.98, weighting=weighting
    )
    training = Training(predicts_v(MLP(1, width=32, depth=2), schedule), config=config)
    data = ((0.5 + 0.3 * torch.randn((256, 1), generator=g), None) for _ in range(400))
    records = list(training.run(data))
    assert all(math.isfinite(r.loss) for r in records)
    assert records[-1].bucket_loss[-1] < records[-1].bucket_loss[0]  # the noise is x_t itself
    xT = torch.randn((1000, 1), generator=g)
    guess = training.ema.net(xT, 20)
    assert torch.equal(guess.eps_hat, xT)
    if weighting == "v":  # L_simple has nothing to say of x_0 where x_t is all noise
        assert abs(guess.x0_hat.mean() - 0.5) < 0.1


def test_what_is_trained_is_a_denoiser_and_stays_one():
    training = make_training(1)
    for net in (training.net, training.ema.net):
        assert isinstance(net, NetDenoiser)
        assert net.path is training.schedule or net.path.T == training.schedule.T


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_network_computes_in_the_precision_and_keeps_float32(dtype):
    training = make_training(precision=str(dtype).removeprefix("torch."))
    seen = []
    training.net.net.head.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    next(training.run(batches()))
    assert seen == [dtype]
    assert {p.dtype for p in training.net.parameters()} == {torch.float32}


@pytest.mark.parametrize("fast", [True, False])
def test_images_and_weights_lie_in_the_fast_layout(monkeypatch, fast):
    monkeypatch.setattr("dmlib.training.device.fast_bfloat16", lambda device: fast)
    layout = torch.contiguous_format if fast else torch.channels_last
    training = make_training(precision="auto")
    seen = []
    training.net.register_forward_pre_hook(lambda net, args: seen.append(args[0]))
    next(training.run(batches()))
    assert seen[0].is_contiguous(memory_format=layout)
    assert fast_layout("cpu", training.dtype) is layout
    assert fast_layout("cuda", training.dtype) is torch.channels_last
    for net in (training.net, training.ema.net):
        weight = net.net.middle[0].block.conv_1.weight  # (C, C, 3, 3): the two orders differ
        assert weight.is_contiguous() == fast


@pytest.mark.parametrize(("avx", "amx"), [(False, False), (True, False), (False, True)])
def test_a_cpu_has_bfloat16_by_either_instruction_set(monkeypatch, avx, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert fast_bfloat16("cpu") == (avx or amx)


def test_a_torch_that_cannot_tell_counts_as_without_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not fast_bfloat16("cpu")
    assert not fast_bfloat16("meta")


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((6, 1), torch.float32),
        ((7, 0), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_a_gpu_computes_in_what_it_has_units_for(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert dtype_of("auto", "cuda") is dtype
    assert dtype_of("float32", "cuda") is torch.float32


def test_float16_is_refused_where_nobody_scales():
    with pytest.raises(ValueError, match=r'^precision "float16" must be on cpu or cuda, got .*mps'):
        dtype_of("float16", "mps")
    assert dtype_of("auto", "mps") is torch.float32


def test_wrong_batches_are_refused():
    with pytest.raises(ValueError, match="batches hold labels"):
        next(make_training(net=MLP(2, width=16).double()).run(points()))
    a, b = next(points(8)), next(points(4))
    with pytest.raises(ValueError, match="batches of one step must have one shape"):
        next(make_training(net=Spy(), accumulation=2).run([a, b]))


class Answering(nn.Module):
    """Answers with whatever `change` makes of its guess."""

    def __init__(self, change) -> None:
        super().__init__()
        self.w, self.change = nn.Parameter(torch.ones(1)), change

    def forward(self, xt, t, y=None):
        return self.change(self.w * xt)


@pytest.mark.parametrize(
    ("shape", "change", "got"),
    [
        ((8, 1), lambda h: h.squeeze(-1), r"\(8,\)"),
        ((8, 1, 6, 6), lambda h: h[:, 0], r"\(8, 6, 6\)"),
        ((8, 3, 6, 6), lambda h: h[:, :1], r"\(8, 1, 6, 6\)"),
        ((8, 3, 6, 6), lambda h: (h, None), "tuple"),
    ],
    ids=["points without their axis", "images without channel", "one channel of three", "tuple"],
)
def test_an_answer_of_another_shape_is_refused_not_broadcast(shape, change, got):
    training = make_training(net=Answering(change))
    expected = rf"^net must answer .* {re.escape(str(shape))}, got {got}"
    with pytest.raises(ValueError, match=expected):
        next(training.run([(torch.zeros(shape), None)]))
    assert training.step == 0


X0 = torch.zeros(4, 1, 8, 8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (X0, r"^batches must yield pairs \(x0, y\), got a tensor \(4, 1, 8, 8\)"),
        ([X0], r"^batches must yield pairs \(x0, y\), got list of 1; try: yield \(x0, None\)"),
        ((X0.numpy(), None), r"^x0 must be a torch.Tensor, got ndarray"),
        ((X0.to(torch.uint8), None), r"^x0 must be floating point .* got torch.uint8; try: x0.f"),
        ((X0[0, 0, 0], None), r"^x0 must have shape \(B, ...\) with B >= 1, got \(8,\)"),
        ((X0[:0], None), r"^x0 must have shape \(B, ...\) with B >= 1, got \(0, 1, 8, 8\)"),
        ((X0, [0, 1, 2, 0]), r"^y must be an int64 tensor \(4,\) or None, got list of 4"),
        ((X0, torch.zeros(4)), r"^y must be .* got a tensor \(4,\) of torch.float32"),
        ((X0, torch.zeros((4, 1)).long()), r"^y must be .* got a tensor \(4, 1\)"),
        ((X0, torch.tensor([1, 2, 3, 1])), r"^y must be in 0..2, got values from 1 to 3 .*y - 1"),
        ((X0, torch.tensor([0, -1, 2, 1])), r"^y must be in 0..2, got values from -1 to 2"),
    ],
)
def test_a_batch_that_is_none_is_refused_before_it_is_trained_on(batch, message):
    training = make_training(accumulation=2)
    good = (X0, torch.tensor([0, 1, 2, 2]))
    with pytest.raises(ValueError, match=message):
        next(training.run([good, batch]))
    assert training.step == 0


def test_a_data_loader_feeds_a_training():
    from torch.utils.data import DataLoader, TensorDataset

    images, labels = make_data(12)
    pairs = TensorDataset(images / 127.5 - 1, labels)
    assert [r.step for r in make_training().run(DataLoader(pairs, batch_size=6))] == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient_accumulation_steps": 4}, r"steps = 1, got 4.*TrainConfig\(accumulation=4\)"),
        ({"mixed_precision": "fp16"}, r'"bf16", got .fp16.*TrainConfig\(precision="float16"\)'),
    ],
)
def test_an_accelerator_that_scales_by_itself_is_refused(change, message):
    accelerator = OneDevice()
    for name, value in change.items():
        setattr(accelerator, name, value)
    with pytest.raises(ValueError, match=f"^accelerator must have .*{message}"):
        Training(
            predicts_eps(Spy(), SCHEDULE), config=TrainConfig(steps=1), accelerator=accelerator
        )


@pytest.mark.parametrize("plain", [Spy(), lambda xt, t: xt, None], ids=["net", "function", "None"])
def test_a_plain_network_is_refused_for_it_has_no_path(plain):
    with pytest.raises(ValueError, match=r"^denoiser must be one, .*try: predicts_v\(net, sched"):
        Training(plain, config=TrainConfig(steps=1))


def test_an_accelerators_own_settings_are_what_is_looked_at():
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    with pytest.raises(ValueError, match=r"^accelerator must have gradient_accumulation_steps = 1"):
        Training(
            predicts_eps(Spy(), SCHEDULE), config=TrainConfig(steps=1), accelerator=accelerator
        )
    with pytest.raises(ValueError, match=r"^accelerator must be .*try: OneDevice\('cpu'\)"):
        Training(predicts_eps(Spy(), SCHEDULE), config=TrainConfig(steps=1), accelerator="cpu")


# The batches


def test_every_image_is_seen_once_an_epoch_and_orders_differ():
    images = torch.arange(12)[:, None].float()
    data = shuffled(images, None, batch_size=4)
    epochs = [torch.cat([next(data)[0] for _ in range(3)]).flatten() for _ in range(3)]
    for epoch in epochs:
        assert epoch.sort().values.equal(images.flatten())
    assert not epochs[0].equal(epochs[1])


@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_batches_can_be_entered_anywhere(start):
    straight = shuffled(*make_data(20), batch_size=6)
    for _ in range(start):
        next(straight)
    entered = shuffled(*make_data(20), batch_size=6, start=start)
    for _ in range(5):
        for a, b in zip(next(straight), next(entered), strict=True):
            assert torch.equal(a, b)


def test_shares_of_a_batch_make_up_the_batch():
    whole = shuffled(*make_data(20), batch_size=6)
    shares = [shuffled(*make_data(20), batch_size=6, share=(r, 3)) for r in range(3)]
    for _ in range(5):
        parts = [next(s) for s in shares]
        x0, y = next(whole)
        assert torch.cat([p[0] for p in parts]).equal(x0)
        assert torch.cat([p[1] for p in parts]).equal(y)


def test_bytes_become_minus_one_to_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    x0, y = next(shuffled(images, None, batch_size=2))
    assert x0.flatten().sort().values.tolist() == [-1.0, 1.0]
    assert y is None


def test_wrong_batch_sizes_are_refused():
    for arguments in ({"batch_size": 21}, {"batch_size": 0}, {"batch_size": 5, "share": (0, 2)}):
        with pytest.raises(ValueError, match=r"^batch_size must"):
            shuffled(*make_data(20), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": X0.numpy()}, r"^images must be a torch.Tensor, got ndarray; try: torch.as_t"),
        ({"images": [1, 2, 3]}, r"^images must be a torch.Tensor, got list"),
        ({"images": X0.to(torch.int16)}, r"^images must be uint8 or floating point, got torch.int"),
        ({"images": X0[:0]}, r"^images must have shape \(N, ...\) with N >= 1, got \(0, 1, 8, 8\)"),
        ({"labels": [0, 1, 2, 0]}, r"^labels must be a torch.Tensor, got list"),
        ({"labels": torch.zeros(3).long()}, r"^labels must be int64 of shape \(4,\), .*\(3,\)"),
        ({"labels": torch.zeros(4)}, r"^labels must be int64 of shape \(4,\), got torch.float32"),
        ({"start": -1}, r"^start must be .*>= 0, got -1"),
        ({"batch_size": 2.5}, r"^batch_size must be an integer, got 2.5"),
        ({"share": (2, 2)}, r"^share must be .* got \(2, 2\)"),
        ({"share": (-1, 2)}, r"^share must be .* got \(-1, 2\)"),
        ({"share": (0, 0)}, r"^share must be .* got \(0, 0\)"),
    ],
)
def test_data_that_cannot_be_shuffled_is_refused_at_once(change, message):
    settings = {"images": X0, "labels": None, "batch_size": 2, **change}
    with pytest.raises(ValueError, match=message):
        shuffled(settings.pop("images"), settings.pop("labels"), **settings)


# Stop and go on


def test_resumed_run_equals_uninterrupted_run_bit_for_bit(tmp_path):
    torch.manual_seed(3)
    straight = make_training()
    whole = list(straight.run(batches()))
    first = make_training()
    records = [r for _, r in zip(range(5), first.run(batches()), strict=False)]
    checkpoint.save(tmp_path, *resume.state(first), step=first.step)
    torch.manual_seed(99)
    second = make_training()
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    resume.restore(second, found)
    records += list(second.run(batches(start=second.step)))
    assert [r.loss for r in records] == [r.loss for r in whole]
    assert [r.grad_norm for r in records] == [r.grad_norm for r in whole]
    assert_same(weights(second), weights(straight))


WORKER = """
    import sys, warnings
    warnings.simplefilter("error")
    from dmlib import checkpoint
    from dmlib.training import resume
    from test_training import batches, make_training
    training = make_training(60)
    found, _ = checkpoint.latest(sys.argv[1])
    if found is not None:
        resume.restore(training, found)
    for record in training.run(batches(start=training.step)):
        if record.step % 4 == 0:
            checkpoint.save(sys.argv[1], *resume.state(training), step=record.step)
        print(record.step, flush=True)
"""


def start_worker(folder: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    dice = random.Random(11)
    for _ in range(3):
        with start_worker(tmp_path) as worker:
            assert worker.stdout is not None
            # Somewhere in the next 20 steps: between two lines, or while a file is written.
            for _ in range(dice.randint(1, 20)):
                worker.stdout.readline()
            time.sleep(dice.random() * 0.02)
            worker.send_signal(signal.SIGKILL)
    with start_worker(tmp_path) as worker:
        out, _ = worker.communicate()
    assert worker.returncode == 0
    assert out.split()[-1] == "60"
    found, _ = checkpoint.latest(tmp_path)
    straight = make_training(60)
    for _ in straight.run(batches()):
        pass
    assert found is not None
    assert_same(found.tensors, {k: x.contiguous() for k, x in weights(straight).items()})


def log_lines(*steps: int) -> list[str]:
    """As `RunLog` writes them."""
    rest = {"loss": 1.0, "buckets": [1.0], "grad_norm": 1.0, "learning_rate": 0.1}
    lines = [{"step": s, "seconds": s / 10, **rest, "images_per_second": 9.0} for s in steps]
    return [json.dumps(line) + "\n" for line in lines]


def a_record(step: int) -> Record:
    numbers = Numbers(torch.tensor(1.0), torch.tensor([[4.0], [8.0]]))
    return Record(step, 0.1, images=8, seconds=1.0, numbers=numbers)


def test_lines_that_a_crash_undid_are_dropped_with_the_first_new_one(tmp_path):
    path, lines = tmp_path / "log.jsonl", log_lines(25, 50, 75)
    before = "".join(lines) + '{"step": 100, "sec'
    path.write_text(before)
    log = RunLog(tmp_path, replace(SMOKE, log_every=1, preview_every=1000), step=50)
    assert path.read_text() == before  # a training that does not begin changes nothing
    assert log.before == 5.0
    for step in (51, 52):
        log.add(a_record(step))
    written = path.read_text().splitlines(keepends=True)
    assert written[:2] == lines[:2]
    assert [json.loads(x)["step"] for x in written] == [25, 50, 51, 52]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl"]


RUBBISH = ["\x00\x00\n", '{"step": 30}\n', "[1, 2]\n", "\xff\n", "\n", "null\n"]


def test_lines_that_cannot_be_read_are_passed_over(tmp_path):
    lines = log_lines(10, 20)
    text = lines[0] + "".join(RUBBISH) + lines[1] + RUBBISH[0]
    (tmp_path / "log.jsonl").write_bytes(text.encode("latin-1"))
    assert [line["step"] for line in read_log(tmp_path)] == [10, 20]
    assert RunLog(tmp_path, SMOKE, step=20).before == 2.0


# The command


@pytest.mark.slow
def test_command_trains_stops_goes_on_and_leaves_weights_with_a_card(tmp_path, capsys):
    folder = ["--recipe", "smoke", "--folder", str(tmp_path), "--device", "cpu"]
    assert main([*folder, "--steps", "2"]) == 0
    assert main([*folder, "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert "going on after step 2" in out
    assert "183,364 parameters" in out
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [2, 4]
    assert lines[0]["seconds"] < lines[1]["seconds"]
    net, card = checkpoint.load_unet(tmp_path / "weights.safetensors")
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    for name, x in net.state_dict().items():  # of the denoiser, with net. in front
        assert torch.equal(x, found.tensors[f"ema.{name}"])
    assert card["steps"] == 4
    assert card["recipe"]["net"] == json.loads(json.dumps(card["config"]))


@pytest.mark.parametrize(
    ("trouble", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "stopped after step 1; same command to go on"),
        (Diverged("step 2: loss nan"), 1, "no checkpoint was kept before, a next run in"),
        (torch.cuda.OutOfMemoryError(), 1, "--batch-size 16 --accumulation 2"),
    ],
    ids=["interrupt", "nan", "memory"],
)
def test_trouble_ends_with_a_sentence_that_helps(
    tmp_path, capsys, monkeypatch, trouble, code, sentence
):
    run = Training.run

    def troubled(self, batches):
        yield next(run(self, batches))
        raise trouble

    monkeypatch.setattr(Training, "run", troubled)
    command = ["--recipe", "smoke", "--folder", str(tmp_path), "--device", "cpu"]
    assert main([*command, "--steps", "5"]) == code
    assert sentence in capsys.readouterr().out
    found, _ = checkpoint.latest(tmp_path)
    assert (found is not None) == (code == 130)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "foo"], "argument --recipe: invalid choice: 'foo'"),
        (["--steps", "0"], "error: steps must be "),
        (["--batch-size", "0"], "batch_size must be an integer >= 1, got 0"),
        (["--batch-size", "4000"], "batch_size must be in 1..2000 (the data), got 4000"),
        (["--accumulation", "0"], "error: accumulation must be "),
        (["--device", "gpu"], "argument --device: cannot compute on 'gpu': "),
        (["--device", "meta"], "argument --device: cannot compute on 'meta': "),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_wrong_arguments_get_a_usage_line(tmp_path, capsys, arguments, message):
    command = ["--recipe", "smoke", "--folder", str(tmp_path), "--device", "cpu", *arguments]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m dmlib.training")
    assert message in said
    assert not list(tmp_path.iterdir())


def test_another_runs_folder_gets_a_usage_line(tmp_path, capsys):
    checkpoint.save(tmp_path, *resume.state(make_training()), step=0)
    with pytest.raises(SystemExit):
        main(["--recipe", "smoke", "--folder", str(tmp_path), "--device", "cpu"])
    assert "step_000000000.safetensors: trained with the schedule" in capsys.readouterr().err


def test_restore_refuses_a_path_and_says_how_to_read_it(tmp_path):
    with pytest.raises(ValueError, match=r"must be a Checkpoint, got \w+Path; try: dmlib\.ch"):
        resume.restore(make_training(), tmp_path)
