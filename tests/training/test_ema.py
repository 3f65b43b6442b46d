"""Laws of the average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dmlib.training.ema import EMA


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.register_buffer("table", torch.arange(4, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))


def test_average_equals_closed_form():
    generator = torch.Generator().manual_seed(0)
    net = Net()
    net.w.data = torch.randn(3, generator=generator, dtype=torch.float64)
    ema, path = EMA(net, decay=0.8), [net.w.data.clone()]
    for _ in range(30):
        net.w.data = torch.randn(3, generator=generator, dtype=torch.float64)
        ema.update(net)
        path.append(net.w.data.clone())
    # theta_ema = prod(d) theta_0 + sum_n (1 - d_n) prod_{m > n} d_m theta_n
    d = [min(0.8, (1 + n) / (10 + n)) for n in range(1, 31)]
    after = [torch.tensor(d[n:], dtype=torch.float64).prod() for n in range(31)]
    expected = after[0] * path[0]
    for n in range(1, 31):
        expected = expected + (1 - d[n - 1]) * after[n] * path[n]
    torch.testing.assert_close(ema.net.w.data, expected)


def test_weights_of_the_average_add_up_to_one():
    net = Net()
    net.w.data.fill_(2.0)
    ema = EMA(net, decay=0.99)
    for _ in range(50):
        ema.update(net)
    torch.testing.assert_close(ema.net.w.data, net.w.data)


def test_average_does_not_lag_a_step():
    net = Net()
    ema = EMA(net, decay=0.0)
    net.w.data.fill_(5.0)
    ema.update(net)
    assert (ema.net.w == 5.0).all()


def test_buffers_are_copied_not_averaged():
    net = Net()
    ema = EMA(net, decay=0.9)
    net.table *= 7
    net.count += 3
    ema.update(net)
    torch.testing.assert_close(ema.net.table, net.table, rtol=0, atol=0)
    assert ema.net.count == 3


def test_average_shares_nothing_with_the_net_and_asks_for_no_gradient():
    net = Net()
    ema = EMA(net, decay=0.9)
    net.w.data.fill_(1.0)
    assert not ema.net.w.any()
    assert not ema.net.w.requires_grad
    assert not ema.net.training


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"^decay must"):
        EMA(Net(), decay=decay)


@pytest.mark.parametrize("other", [nn.Linear(2, 2), nn.Linear(3, 2), nn.Conv1d(2, 3, 1)])
def test_another_net_is_refused_and_counts_for_nothing(other):
    ema = EMA(nn.Linear(2, 3))
    before = ema.net.weight.clone()
    with pytest.raises(ValueError, match=r"^net must have the parameters .* (bias|weight) must"):
        ema.update(other)
    assert ema.updates == 0
    assert torch.equal(ema.net.weight, before)


def test_another_buffer_is_refused_and_counts_for_nothing():
    ema, other = EMA(Net()), Net()
    other.table = torch.zeros(5, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"table must have the shape \(4,\), got \(5,\)"):
        ema.update(other)
    assert ema.updates == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_average_that_could_never_move_is_refused(dtype):
    """In bfloat16 the number after 1 is 1.0078: a step of 0.0001 of the way gets lost."""
    with pytest.raises(ValueError, match=r"^net must have float32 .*try: net\.float\(\)"):
        EMA(nn.Linear(1, 1).to(dtype))
