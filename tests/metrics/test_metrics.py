"""Laws of the Fréchet distance, the shipped features and the search for copies."""

import json
import math
import sys
from types import ModuleType
from typing import ClassVar

import pytest
import scipy.linalg
import torch
from torch.testing import assert_close

from dmlib.checkpoint import CheckpointError, read
from dmlib.metrics import (
    FEATURES,
    Features,
    FeatureStats,
    features_of,
    frechet_distance,
    frechet_floor,
    frechet_spread,
    nearest_neighbours,
)
from dmlib.metrics.inception import InceptionFeatures

F64 = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


def skewed(n: int, D: int, seed: int) -> torch.Tensor:
    """Features with another mean and another covariance for each seed."""
    return randn(n, D, seed=seed) @ randn(D, D, seed=seed + 100) + randn(D, seed=seed + 200)


# The Fréchet distance


def test_frechet_equals_the_closed_form_in_one_dimension():
    # d^2 = (m_a - m_b)^2 + (s_a - s_b)^2
    a, b = (
        FeatureStats(torch.tensor([m], dtype=F64), torch.tensor([[s * s]], dtype=F64), 9)
        for m, s in ((1, 2.0), (4, 0.5))
    )
    assert frechet_distance(a, b) == pytest.approx(9 + 2.25, rel=1e-6)


def test_frechet_equals_the_closed_form_for_commuting_covariances():
    rotation, _ = torch.linalg.qr(randn(5, 5))
    va, vb = randn(5, seed=1).exp(), randn(5, seed=2).exp()
    ma, mb = randn(5, seed=3), randn(5, seed=4)
    a, b = (FeatureStats(m, rotation * v @ rotation.T, 9) for m, v in ((ma, va), (mb, vb)))
    expected = ((ma - mb) ** 2).sum() + ((va.sqrt() - vb.sqrt()) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("D", [2, 10, 64])
def test_frechet_equals_scipy_sqrtm(D):
    a, b = FeatureStats.of(skewed(500, D, 1)), FeatureStats.of(skewed(400, D, 2))
    root = scipy.linalg.sqrtm(a.cov.numpy() @ b.cov.numpy())
    mean = float(((a.mean - b.mean) ** 2).sum())
    expected = mean + float(a.cov.trace() + b.cov.trace()) - 2 * root.trace().real
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_a_set_with_itself_is_zero():
    x = skewed(500, 20, 1)
    assert frechet_distance(x, x) < 1e-10
    assert frechet_distance(x, x[torch.randperm(500, generator=seeded(0))]) < 1e-10


def test_frechet_is_symmetric_and_positive():
    a, b = skewed(300, 8, 1), skewed(300, 8, 2)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)
    assert frechet_distance(a, b) > 0


def test_frechet_does_not_change_when_both_sets_are_moved_and_turned():
    a, b = skewed(300, 8, 1), skewed(300, 8, 2)
    rotation, _ = torch.linalg.qr(randn(8, 8, seed=3))
    moved = frechet_distance(a @ rotation + 5, b @ rotation + 5)
    assert moved == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_grows_with_the_square_of_the_scale_and_of_a_shift():
    a, b = skewed(300, 8, 1), skewed(300, 8, 2)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-9)
    shift = torch.zeros(8, dtype=F64)
    shift[0] = 2.0
    assert frechet_distance(a, a + shift) == pytest.approx(4.0, rel=1e-9)


def test_stats_equal_torch_cov_in_float64():
    x = skewed(300, 8, 1).float()
    stats = FeatureStats.of(x)
    assert_close(stats.cov, x.double().T.cov())
    assert_close(stats.mean, x.double().mean(0))
    assert_close(stats.root @ stats.root, stats.cov)


def test_too_few_features_for_their_dimension_are_warned_of_by_name():
    with pytest.warns(
        RuntimeWarning, match="8 features in 8 dimensions have a singular covariance"
    ):
        stats = FeatureStats.of(skewed(8, 8, 1))
    assert frechet_distance(stats, stats) < 1e-10


def test_floor_falls_with_n_and_reaches_the_distance_of_the_sets():
    a, b = randn(4000, 8), randn(4000, 8, seed=1)
    means = [
        float(frechet_floor(a, b, n=n, resamples=10, generator=seeded(0)).mean())
        for n in (50, 400, 4000)
    ]
    assert means[0] > 2 * means[1] > 4 * means[2]
    assert means[2] == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_floor_of_a_shifted_set_is_above_the_floor():
    a, b = randn(4000, 8), randn(4000, 8, seed=1)
    floor = frechet_floor(a, b, n=500, generator=seeded(0))
    assert frechet_distance(a[:500] + 0.3, b) > float(floor.max())


def test_spread_matches_the_spread_over_fresh_samples():
    # Of a 1-D mean shift: d^2 is about (m + noise)^2, its deviation 2 m / sqrt(n).
    n, m = 2000, 1.0
    data = randn(50_000, 1)
    spread = frechet_spread(randn(n, 1, seed=1) + m, data, resamples=300, generator=seeded(0))
    assert float(spread.std()) == pytest.approx(2 * m / math.sqrt(n), rel=0.15)


def test_spread_and_floor_follow_their_generator():
    a, b = randn(300, 4), randn(300, 4, seed=1)
    for f in (
        lambda g: frechet_floor(a, b, n=50, generator=g),
        lambda g: frechet_spread(a, b, generator=g),
    ):
        assert torch.equal(f(seeded(3)), f(seeded(3)))
        assert not torch.equal(f(seeded(3)), f(seeded(4)))


def test_frechet_refuses_bad_input_by_name():
    x = randn(20, 3)
    for bad in (x[0], x[:1], x.long(), x * math.nan):
        with pytest.raises(ValueError, match=r"^features must"):
            frechet_distance(bad, x)
    with pytest.raises(ValueError, match=r"^a and b must have the same D, got 3 and 2"):
        frechet_distance(x, x[:, :2])
    with pytest.raises(ValueError, match=r"^n must be an integer in 2..20, got 21"):
        frechet_floor(x, x, n=21)
    with pytest.raises(ValueError, match=r"^resamples must"):
        frechet_spread(x, x, resamples=0)
    for f in (
        lambda g: frechet_floor(x, x, n=5, generator=g),
        lambda g: frechet_spread(x, x, generator=g),
    ):
        with pytest.raises(ValueError, match=r"^generator must"):
            f(0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mean": torch.zeros(3)}, r"mean must be float64, got torch.float32; try: mean.double"),
        ({"mean": [0.0, 0.0, 0.0]}, "mean must be a torch.Tensor, got list"),
        ({"mean": torch.zeros(3, 1, dtype=F64)}, r"mean must have shape \(D,\), got \(3, 1\)"),
        ({"cov": torch.eye(3)}, "cov must be float64"),
        ({"cov": torch.ones(3, dtype=F64)}, r"cov must have shape \(3, 3\), got \(3,\)"),
        ({"cov": torch.eye(2, dtype=F64)}, r"cov must have shape \(3, 3\), got \(2, 2\)"),
        ({"cov": math.nan * torch.eye(3, dtype=F64)}, "cov must be finite"),
        ({"cov": torch.ones(3, 3, dtype=F64).triu()}, "cov must be symmetric, .* differ by 1"),
        ({"n": 0}, "n must be an integer >= 1"),
        ({"n": 9.0}, "n must be an integer >= 1, got 9.0"),
    ],
)
def test_statistics_refuse_what_is_none_by_name(change, says):
    right = {"mean": torch.zeros(3, dtype=F64), "cov": torch.eye(3, dtype=F64), "n": 9}
    assert frechet_distance(FeatureStats(**right), FeatureStats(**right)) == 0
    with pytest.raises(ValueError, match=f"^{says}"):
        FeatureStats(**{**right, **change})


# The shipped features


def test_shipped_features_are_those_of_their_card():
    card = json.loads(FEATURES.with_suffix(".json").read_text())
    assert read(FEATURES).card["sha256"] == card["sha256"]
    assert FEATURES.stat().st_size < 1_000_000
    assert card["metric"]["test_accuracy"] >= 0.91
    keys = {"origin", "data", "licence", "command", "revision", "device", "date", "seed"}
    assert keys <= card.keys()


def test_shipped_features_do_not_depend_on_the_batch():
    # Batch norm in evaluation mode: what is beside an image must not change its features.
    net = Features.trained()
    x = torch.rand(10, 1, 28, 28, generator=seeded(0)) * 2 - 1
    together, alone = features_of(x, net), features_of(x, net, batch_size=1)
    assert together.shape == (10, 64)
    assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_features_of_a_network_in_training_are_those_in_evaluation_and_change_nothing():
    """Batch norm in training mode would mix a batch and move its statistics; dropout would draw."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(9, 5), torch.nn.BatchNorm1d(5), torch.nn.Dropout(0.5)
    )
    x = torch.randn(12, 1, 3, 3)
    net.train()
    net[3].eval()  # one part is frozen, and stays it
    before = {name: value.clone() for name, value in net.state_dict().items()}
    together, alone = features_of(x, net), features_of(x, net, batch_size=1)
    assert [m.training for m in net.modules()] == [True, True, True, True, False]
    assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert_close(together, net.eval()(x).double(), rtol=1e-5, atol=1e-6)


def test_features_refuse_what_is_no_network():
    with pytest.raises(ValueError, match=r"^net must be a torch.nn.Module, got str"):
        features_of(torch.zeros(2, 1, 28, 28), "inception")


def test_features_tell_noise_from_smooth_pictures():
    net = Features.trained()
    grid = torch.linspace(-1, 1, 28)
    tilt = torch.rand(400, 2, 1, 1, 1, generator=seeded(0)) - 0.5
    smooth = (tilt[:, 0] * grid + tilt[:, 1] * grid[:, None]).clamp(-1, 1)
    noise = torch.rand(200, 1, 28, 28, generator=seeded(1)) * 2 - 1
    a, b, c = (features_of(x, net) for x in (smooth[:200], smooth[200:], noise))
    assert frechet_distance(a, c) > 10 * frechet_distance(a, b)


def test_features_refuse_other_shapes_and_damaged_files(tmp_path):
    net = Features.trained()
    for shape in ((2, 28, 28), (2, 3, 28, 28), (2, 1, 32, 32)):
        with pytest.raises(ValueError, match=r"^x must have shape \(N, 1, 28, 28\)"):
            net(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"^x must be"):
        features_of(torch.zeros(0, 1, 28, 28), net)
    copy = tmp_path / FEATURES.name
    copy.write_bytes(FEATURES.read_bytes()[:-1])
    copy.with_suffix(".json").write_text(FEATURES.with_suffix(".json").read_text())
    with pytest.raises(CheckpointError, match="truncated"):
        read(copy)


# Inception, the optional way


def stand_in_for_pytorch_fid(monkeypatch) -> list[torch.Tensor]:
    """A module like pytorch_fid.inception, without its 90 MB; what its network sees is kept."""
    seen = []

    class InceptionV3(torch.nn.Module):
        BLOCK_INDEX_BY_DIM: ClassVar = {2048: 3}

        def __init__(self, blocks, *, normalize_input):
            super().__init__()
            assert (blocks, normalize_input) == ([3], True)

        def forward(self, x):
            seen.append(x)
            return [x.flatten(1)[:, :6, None, None]]

    package, module = ModuleType("pytorch_fid"), ModuleType("pytorch_fid.inception")
    module.InceptionV3 = InceptionV3
    monkeypatch.setitem(sys.modules, "pytorch_fid", package)
    monkeypatch.setitem(sys.modules, "pytorch_fid.inception", module)
    return seen


def test_inception_sees_grey_levels_in_0_to_1_and_three_colours(monkeypatch):
    seen = stand_in_for_pytorch_fid(monkeypatch)
    net = InceptionFeatures()
    levels = torch.arange(256).view(1, 1, 16, 16)
    x = levels / 127.5 - 1
    features = features_of(torch.cat([x, 3 * x]), net)
    assert features.shape == (2, 6)
    assert seen[0].shape == (2, 3, 16, 16)
    assert_close(seen[0][0], (levels[0] / 255).expand(3, -1, -1))
    assert (float(seen[0][1].min()), float(seen[0][1].max())) == (0.0, 1.0)
    for shape in ((1, 16, 16), (1, 2, 16, 16)):
        with pytest.raises(ValueError, match=r"^x must have shape"):
            net(torch.zeros(shape))


def test_without_pytorch_fid_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)
    with pytest.raises(ImportError, match=r"pip install dmlib\[fid\]"):
        InceptionFeatures()


# Copies


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_nearest_neighbours_equal_brute_force(chunk):
    samples, data = randn(20, 1, 4, 4), randn(50, 1, 4, 4, seed=1)
    distance, index = nearest_neighbours(samples, data, chunk=chunk)
    all_pairs = ((samples[:, None] - data) ** 2).flatten(2).mean(2).sqrt()
    assert_close(distance, all_pairs.min(1).values)
    assert torch.equal(index, all_pairs.argmin(1))


def test_copies_are_found_at_distance_zero():
    data = torch.rand(100, 1, 28, 28, generator=seeded(0)) * 2 - 1
    rows = torch.tensor([99, 0, 42])
    distance, index = nearest_neighbours(data[rows], data, chunk=30)
    assert torch.equal(index, rows)
    assert torch.equal(distance, torch.zeros(3, dtype=F64))


def test_nearest_neighbours_refuse_bad_input_by_name():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"^samples must"):
        nearest_neighbours(x[:, :2], x)
    with pytest.raises(ValueError, match=r"^data must"):
        nearest_neighbours(x, x * math.nan)
    with pytest.raises(ValueError, match=r"^chunk must"):
        nearest_neighbours(x, x, chunk=0)
