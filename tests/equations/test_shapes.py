"""The labelled equations of the chapter on shapes in space, one by one."""

from __future__ import annotations

import math

import torch
from scipy.stats import kstest
from torch.testing import assert_close

from dmlib.applications.point_clouds import completing
from dmlib.data.shapes3d import LAW, SHAPES, draw_parameters, leg_length, shapes, surface
from dmlib.forward import q_sample
from dmlib.metrics.clouds import chamfer, coverage, one_nna
from dmlib.models import CloudNet, predicts_v
from dmlib.oracle import FiniteOracle
from dmlib.schedules import cosine_schedule

F64 = torch.float64
SCHEDULE = cosine_schedule(100)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


def test_eq_leg_law():
    """The distribution function of the printed law, at a fixed width, against drawn chairs."""
    drawn = draw_parameters(torch.zeros(200_000, dtype=torch.int64), generator=seeded())
    assert LAW["chair"]["width"] == (1.6, 2.6)
    for w in (1.8, 2.3):
        leg = drawn[(drawn[:, 0] - w).abs() < 0.01, 4].double()
        p = 0.9 - 0.8 * (w - 1.6)

        def cdf(x, p=p):
            x = torch.as_tensor(x)
            low, high = ((x - 0.9) / 0.7).clamp(0, 1), ((x - 2.1) / 0.7).clamp(0, 1)
            return ((1 - p) * low + p * high).numpy()

        assert kstest(leg.numpy(), cdf).pvalue > 1e-3


def test_eq_leg_reading():
    cloud = randn(3, 20, 3)
    assert_close(leg_length(cloud), -cloud[:, :, 2].min(dim=1).values)


def permuted_training_data():
    """Every order of two small clouds, as a finite data set."""
    clouds = randn(2, 3, 3, seed=1)
    orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    return torch.cat([clouds[:, order] for order in orders])


def test_eq_same_cloud():
    """Points on a shape: what is known of the first is what is known of the last."""
    made = shapes(3000, points=6, kind="chair", generator=seeded(2)).points
    for d in range(3):
        assert kstest(made[:, 0, d].numpy(), made[:, 5, d].numpy()).pvalue > 1e-3


def test_eq_change_places():
    """The exact guess, for data whose law knows no order."""
    oracle = FiniteOracle(permuted_training_data(), schedule=SCHEDULE)
    xt, order = randn(4, 3, 3, seed=3), [2, 0, 1]
    for t in (5, 50, 90):
        moved = oracle(xt[:, order], t).x0_hat
        assert_close(moved, oracle(xt, t).x0_hat[:, order])


def test_eq_cloud_law():
    """Of one shape, points are independent: a pair's mean product is the product of the means.

    Over all shapes they are not.
    """
    label = torch.full((20_000,), SHAPES.index("chair"))
    g = seeded(4)
    one = draw_parameters(label[:1], generator=g).expand(20_000, 5)
    z, _ = surface(label, one, points=2, generator=g)
    same = torch.corrcoef(z[..., 2].T)[0, 1]
    assert abs(float(same)) < 5 / math.sqrt(20_000)
    z = shapes(20_000, points=2, kind="chair", generator=g).points
    down = (z[..., 2] < -1.7).double()  # only on high legs
    assert float(torch.corrcoef(down.T)[0, 1]) > 5 / math.sqrt(20_000)


def test_eq_cloud_guess():
    """Two shapes on a line, each two places: by the shapes' posterior, and by all clouds."""
    shape = torch.tensor([[0.0, 1.0], [1.0, 3.0]], dtype=F64)  # of each shape, its two places
    pairs = [(s, i, j) for s in range(2) for i in range(2) for j in range(2)]
    clouds = torch.stack([torch.stack((shape[s, i], shape[s, j])) for s, i, j in pairs])[..., None]
    t, xt = 40, torch.tensor([[0.4], [0.9]], dtype=F64)
    a, b = SCHEDULE.level(t)
    like = torch.exp(-((xt - a * shape[:, None]) ** 2) / (2 * b**2))  # (shape, point, place)
    posterior = like.sum(2).prod(1)
    posterior = posterior / posterior.sum()
    within = (like * shape[:, None]).sum(2) / like.sum(2)  # E[x_i | x_ti, shape]
    want = (posterior[:, None] * within).sum(0)
    oracle = FiniteOracle(clouds, schedule=SCHEDULE)
    assert_close(oracle(xt[None], t).x0_hat[0, :, 0], want)


def attention(asks, seen, module):
    """softmax(q k^T / sqrt(D)) v, written head by head."""
    q = module.q(module.norm_q(asks))
    k, v = module.kv(module.norm_kv(seen)).chunk(2, -1)
    size = q.shape[-1] // module.heads
    parts = []
    for head in range(module.heads):
        own = slice(head * size, (head + 1) * size)
        scores = q[..., own] @ k[..., own].mT / math.sqrt(size)
        weight = scores.exp() / scores.exp().sum(-1, keepdim=True)
        parts.append(weight @ v[..., own])
    return module.out(torch.cat(parts, -1))


def block():
    net = CloudNet(width=16, blocks=1, tokens=5, heads=2).double()
    with torch.no_grad():
        for seed, weight in enumerate(net.parameters()):
            weight.add_(0.2 * randn(*weight.shape, seed=seed))
    return net.blocks[0]


def test_eq_points_to_tokens():
    gather, z, h = block().gather, randn(2, 5, 16), randn(2, 9, 16, seed=1)
    assert_close(gather(z, h), attention(z, h, gather))
    assert_close(gather(z, h[:, torch.randperm(9, generator=seeded())]), gather(z, h))


def test_eq_tokens_to_points():
    spread, z, h = block().spread, randn(2, 5, 16), randn(2, 9, 16, seed=1)
    assert_close(spread(h, z), attention(h, z, spread))
    order = torch.randperm(9, generator=seeded())
    assert_close(spread(h[:, order], z), spread(h, z)[:, order])


def test_eq_chamfer():
    x, y = randn(1, 4, 3), randn(1, 5, 3, seed=1)
    there = sum(min(float((p - q) @ (p - q)) for q in y[0]) for p in x[0]) / 4
    back = sum(min(float((p - q) @ (p - q)) for p in x[0]) for q in y[0]) / 5
    assert abs(float(chamfer(x, y)) - there - back) < 1e-12


def test_eq_1nna():
    x, y = randn(6, 2), 0.5 + randn(6, 2, seed=1)
    right = 0
    for own, other in ((x, y), (y, x)):
        for i in range(6):
            among = min(float((own[i] - own[j]).norm()) for j in range(6) if j != i)
            right += among < min(float((own[i] - z).norm()) for z in other)
    table = (torch.cdist(x, x), torch.cdist(y, y), torch.cdist(x, y))
    assert abs(one_nna(*table) - right / 12) < 1e-12


def test_eq_coverage():
    x, y = randn(8, 2), randn(7, 2, seed=1)
    hit = {min(range(7), key=lambda j: float((z - y[j]).norm())) for z in x}
    assert coverage(torch.cdist(x, y)) == len(hit) / 7


def test_eq_told():
    """Two clouds with the same first half reversed: who is told it, knows the other half.

    Points are 0 or 1 in all coordinates; known ones of 0 mean that the others are 1. With the
    loss of the other points, at a time where x_t tells nearly nothing, the network learns it.
    """
    x0 = torch.tensor([0.0, 0, 1, 1]).view(1, 4, 1).expand(2, 4, 3).clone()
    x0[1] = 1 - x0[1]
    x0 = x0.repeat(8, 1, 1)
    known = torch.tensor([True, True, False, False]).expand(16, 4)
    torch.manual_seed(0)
    denoiser = predicts_v(CloudNet(width=16, blocks=1, tokens=4, heads=2), SCHEDULE)
    optimizer, g = torch.optim.Adam(denoiser.parameters(), lr=1e-2), seeded(6)

    def guess():
        eps = torch.randn(x0.shape, generator=g)
        return completing(denoiser, x0, known)(q_sample(x0, 95, eps, schedule=SCHEDULE), 95).x0_hat

    for _ in range(80):
        optimizer.zero_grad()
        (guess() - x0).square()[~known].mean().backward()
        optimizer.step()
    found = guess().detach()
    assert torch.equal(found[known], x0[known])
    assert float((found - x0).abs()[~known].mean()) < 0.25  # 0.5 for whoever is not told
