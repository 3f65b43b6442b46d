"""A second right answer to each exercise, written differently from the chapter's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dmlib.book.chapters.introduction.understand import CALL_SECONDS
from dmlib.book.chapters.kernel.build import CLIP
from dmlib.book.chapters.kernel.open import _means
from dmlib.book.chapters.reverse.understand import _toy
from dmlib.book.chapters.training.open import Net
from dmlib.book.chapters.unet.count import PARTS
from dmlib.book.chapters.unet.understand import CHANNELS_MIDDLE, PERIOD, SIZE, STEPS, WIDTHS
from dmlib.forward import q_posterior, q_step
from dmlib.models.blocks import ResidualBlock
from dmlib.models.unet import UNet, UNetConfig
from dmlib.schedules import NoiseSchedule, at, linear_schedule


def _rows(xt: Tensor, noise: Tensor, generator: Generator) -> Tensor:
    """Random waves over (x_t, its noise); the same ones for the same state of the generator."""
    directions = 1.5 * torch.randn(3, 200, generator=generator)
    phases = 6.3 * torch.rand(200, generator=generator)
    waves = torch.cos(torch.cat([xt, 2 * noise], 1) @ directions + phases)
    return torch.cat([waves, xt, noise * xt], 1)


def continuous_2() -> float:
    # The chain with very many steps, one after the other.
    kept = 1.0
    for i in range(50_000):
        ds = 0.5 / 50_000
        kept -= (0.1 + 19.9 * (i + 0.5) * ds) / 2 * kept * ds
    return kept


def continuous_4(v0: Tensor, beta_0: float, beta_1: float, s: float) -> tuple[Tensor, float]:
    # The factor of the picture first; what is missing in 1 - a^2 is (1 - a)(1 + a).
    a = math.exp(-s * (2 * beta_0 + s * (beta_1 - beta_0)) / 4)
    return v0 * a**2, (1 - a) * (1 + a)


def continuous_5(
    x: Tensor, m: float, v: float, a: float, b: float, f: float, g: float
) -> tuple[Tensor, Tensor]:
    # By way of the log density, differentiated by PyTorch.
    x = x.detach().requires_grad_()
    density = torch.distributions.Normal(a * m, (v * a**2 + b * b) ** 0.5).log_prob(x)
    (score,) = torch.autograd.grad(density.sum(), x)
    return x.detach() * f, -score * g * g / 2


def continuous_6(
    xs: Tensor, s: float, u: Tensor, x0: Tensor, eps: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # By way of the other end each: eps - x0 is the velocity.
    end = xs + (1 - s) * u
    return end - u, end, (xs - (1 - s) * x0) / s - x0, eps - (xs - s * eps) / (1 - s)


def continuous_7(x: Tensor, z: Tensor, beta: float, ds: float) -> Tensor:
    variance = beta * ds
    return (1 - variance / 2) * x + variance**0.5 * z


def continuous_8(
    x: Tensor, eps_hat: Tensor, z: Tensor, h: float, churn: float, f: float, g: float, b: float
) -> Tensor:
    # The flow, and then noise that is taken away again.
    flow = f * x + g**2 / (2 * b) * eps_hat
    fresh = churn * g * h**0.5
    return x - h * flow - fresh**2 / (2 * b) * eps_hat + fresh * z


def continuous_9(velocity: Callable[..., Tensor], x1: Tensor, steps: int) -> Tensor:
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
    for s, s_next in pairwise(times):
        trial = x1 + (s_next - s) * velocity(x1, s)
        again = trial + (s_next - s) * velocity(trial, s_next)
        x1 = (x1 + again) / 2
    return x1


def continuous_10(velocity: Callable[..., Tensor], x1: Tensor) -> Tensor:
    # Adams and Bashforth: the last velocity is kept, so that one look a step is enough.
    times, before = [(1 - i / 10) ** 1.5 for i in range(11)], None
    for s, s_next in pairwise(times):
        u = velocity(x1, s)
        if before is None:
            ahead = u
        else:
            s_before, u_before = before
            ahead = u + (s_next - s) / (s - s_before) / 2 * (u - u_before)
        x1, before = x1 + (s_next - s) * ahead, (s, u)
    return x1


def forward_3(x_prev: Any, beta_t: Any, eps: Any) -> Any:
    alpha_t = 1 - beta_t
    return x_prev * alpha_t**0.5 + eps * (1 - alpha_t) ** 0.5


def forward_5(T: int, beta_1: float, beta_T: float) -> list[float]:
    return [0.0] + [beta_1 + (beta_T - beta_1) * (t - 1) / (T - 1) for t in range(1, T + 1)]


def forward_6(x0: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    chain = torch.zeros_like(eps)
    chain[0] = x0
    for t in range(1, len(eps)):
        chain[t] = q_step(chain[t - 1], t, eps[t], schedule=schedule)
    return chain


def forward_7(x_prev: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    rows = [
        math.sqrt(1 - b) * x + math.sqrt(b) * e
        for x, b, e in zip(x_prev, schedule.beta[t].tolist(), eps, strict=True)
    ]
    return torch.stack(rows)


def forward_4(variance_prev: float, beta_t: float) -> tuple[float, float]:
    return variance_prev - beta_t * variance_prev, math.sqrt(beta_t) ** 2


def forward_8(xt: Tensor, x_prev: Tensor, beta_t: float) -> tuple[Tensor, Tensor]:
    q = torch.distributions.Normal((1 - beta_t) ** 0.5 * x_prev, beta_t**0.5)
    constant = q.log_prob(q.mean).sum(1)
    return q.log_prob(xt).sum(1) - constant, constant.mean()


def forward_9(T: int) -> list[float]:
    # beta grows by a constant factor, from 1e-4 to 0.3.
    return [0.0] + [1e-4 * 3000 ** ((t - 1) / (T - 1)) for t in range(1, T + 1)]


def forward_2() -> float:
    return 1 + math.ceil((0.01 - 1e-4) / (0.02 - 1e-4) * 999)


def intro_4(images: Tensor) -> Tensor:
    return 2.0 * (images.double() / 255) - 1.0


def intro_6(moves: Tensor) -> Tensor:
    position = torch.zeros(moves.shape[0], dtype=moves.dtype)
    result = []
    for k in range(moves.shape[1]):
        position = position + moves[:, k]
        result.append((position * position).sum() / len(position))
    return torch.stack(result)


def intro_7(a: Tensor, b: Tensor) -> Tensor:
    pairs = zip(a.flatten(1), b.flatten(1), strict=True)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])


def intro_5(variance: float, noise_variance: float) -> float:
    return math.log1p(noise_variance / variance) / 2


def intro_8(x0: Tensor, strength: float, generator: Generator) -> Tensor:
    keep = torch.rand(x0.shape, generator=generator) >= strength
    return x0 * keep


def intro_3() -> float:
    return sum(CALL_SECONDS for _ in range(1000))


def kernel_2(beta: Any) -> Tensor:
    product, result = 1.0, []
    for b in beta:
        product *= 1.0 - float(b)
        result.append(product)
    return torch.tensor(result, dtype=torch.float64)


def kernel_3(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    rows = zip(x0, t.tolist(), eps, strict=True)
    bar = schedule.alpha_bar.tolist()
    return torch.stack([bar[i] ** 0.5 * x + (1 - bar[i]) ** 0.5 * e for x, i, e in rows])


def kernel_7(alpha_bar: Any) -> list[float]:
    return [0.0] + [min(float(1 - after / before), CLIP) for before, after in pairwise(alpha_bar)]


def kernel_4(beta_1: float, beta_2: float) -> tuple[float, float, float]:
    a_1, a_2 = 1 - beta_1, 1 - beta_2
    whole = 1 - a_1 * a_2
    return a_1**0.5 * a_2**0.5, whole - beta_2, beta_2


def kernel_5(log_snr: Tensor) -> Tensor:
    snr = log_snr.exp()
    return snr / (1 + snr)


def kernel_9(alpha_bar: Tensor, factor: float) -> Tensor:
    return torch.sigmoid(torch.logit(alpha_bar) + math.log(factor))


def kernel_10(
    x0: Tensor, labels: Tensor, t: int, schedule: NoiseSchedule, generator: Generator
) -> float:
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    bar = float(schedule.alpha_bar[t])
    xt = math.sqrt(bar) * x0 + math.sqrt(1 - bar) * eps
    # All kinds have the same contrast: the nearest mean is the one with the largest product.
    guess = (xt.flatten(1) @ _means(x0, labels).T).argmax(1)
    return int((guess == labels).sum()) / len(labels)


def kernel_8(x0: Tensor, alpha_bar_T: float) -> tuple[Tensor, Tensor]:
    from torch.distributions import Normal, kl_divergence

    sd, one = torch.tensor((1 - alpha_bar_T) ** 0.5), torch.tensor(1.0)
    q = Normal(alpha_bar_T**0.5 * x0, sd.to(x0.dtype))
    whole = kl_divergence(q, Normal(one - one, one)).sum(1)
    mean = (q.mean**2).sum(1) / 2
    return mean, (whole - mean).mean()


def kernel_1() -> float:
    s = 0.008
    root = math.sqrt(0.5) * math.cos(math.pi / 2 * s / (1 + s))
    return 500 * (math.acos(root) * 2 / math.pi * (1 + s) - s)


def reverse_11(xt: Tensor, eps_hat: Tensor, t: int, t_prev: int, schedule: NoiseSchedule) -> Tensor:
    # Beside the unscaled picture: y = x / sqrt(bar), with noise of the size 1 / sqrt(SNR).
    size_t, size_prev = 1 / schedule.snr[t] ** 0.5, 1 / schedule.snr[t_prev] ** 0.5
    y = xt / schedule.alpha_bar[t] ** 0.5 + (size_prev - size_t) * eps_hat
    return y * schedule.alpha_bar[t_prev] ** 0.5


def reverse_4(xt: Tensor, variance_prev: float, beta_t: float) -> tuple[Tensor, float]:
    precision = 1 / variance_prev + (1 - beta_t) / beta_t
    return (1 - beta_t) ** 0.5 / beta_t / precision * xt, 1 / precision


def reverse_5(x0: Tensor, xt: Tensor, bar_s: float, bar_t: float) -> tuple[float, Tensor]:
    # From mean and variance, which one gets by way of the noise: A = 1 / variance, B = mean / v.
    alpha = bar_t / bar_s
    variance = (1 - alpha) * (1 - bar_s) / (1 - bar_t)
    eps = (xt - bar_t**0.5 * x0) / (1 - bar_t) ** 0.5
    mean = (xt - (1 - alpha) / (1 - bar_t) ** 0.5 * eps) / alpha**0.5
    return 1 / variance, mean / variance


def reverse_9(t: Tensor, schedule: NoiseSchedule) -> Tensor:
    snr = schedule.alpha_bar / (1 - schedule.alpha_bar)
    return (snr[t - 1] / snr[t] - 1) / 2


def reverse_12(
    net: Callable[..., Tensor], xT: Tensor, schedule: NoiseSchedule, generator: Generator
) -> Tensor:
    # Euler's method beside the unscaled picture, at equal ratios of the noise.
    sizes = schedule.snr[1:] ** -0.5
    wanted = torch.logspace(math.log10(30), math.log10(0.05), 12, dtype=torch.float64)
    times = [int((sizes - w).abs().argmin()) + 1 for w in wanted] + [0]
    y = xT * (1 + wanted[0] ** 2) ** 0.5
    for t, t_prev in pairwise(times):
        size, next_size = schedule.snr[t] ** -0.5, schedule.snr[t_prev] ** -0.5
        y = y + (next_size - size) * net(y * schedule.alpha_bar[t] ** 0.5, t)
    return y


def reverse_8(
    xt: Tensor, eps_hat: Tensor, noise: Tensor, t: int, schedule: NoiseSchedule
) -> Tensor:
    bar_t = schedule.alpha_bar[t]
    x0_hat = (xt - (1 - bar_t) ** 0.5 * eps_hat) / bar_t**0.5
    mean, _ = q_posterior(x0_hat, xt, t, schedule=schedule)
    return mean + (t > 1) * schedule.beta[t] ** 0.5 * noise


def reverse_10(v: Tensor, xt: Tensor, t: int, schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
    # a and b are cosine and sine of one angle: x_0 is x_t, turned back by it.
    angle = torch.arccos(schedule.alpha_bar[t] ** 0.5)
    x0 = angle.cos() * xt - angle.sin() * v
    return x0, (angle.cos() * x0 - xt) / angle.sin() ** 2


def reverse_3(xt: Tensor, eps_hat: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    # x_t / sqrt(bar) is x_0 and the noise of the variance 1 / SNR.
    rows = [
        x / schedule.alpha_bar[i] ** 0.5 - e / schedule.snr[i] ** 0.5
        for x, e, i in zip(xt, eps_hat, t, strict=True)
    ]
    return torch.stack(rows)


def reverse_6(schedule: NoiseSchedule) -> list[float]:
    table = [0.0, 0.0]
    for t in range(2, schedule.T + 1):
        precision = schedule.alpha[t] / schedule.beta[t] + 1 / (1 - schedule.alpha_bar[t - 1])
        table.append(float(1 / precision))
    return table


def reverse_7(x0: Tensor, xt: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    # By way of the noise that leads from x_0 to x_t.
    beta_t, bar_t = at(schedule.beta, t, x0), at(schedule.alpha_bar, t, x0)
    eps = (xt - bar_t.sqrt() * x0) / (1 - bar_t).sqrt()
    return (xt - beta_t / (1 - bar_t).sqrt() * eps) / (1 - beta_t).sqrt()


def reverse_2() -> float:
    # Bayes' rule on a grid of x_{t-1}, one row a beta.
    beta = torch.linspace(0.01, 0.5, 99, dtype=torch.float64)[:, None]
    x = torch.linspace(-5, 5, 401, dtype=torch.float64)
    prior = _toy().diffused(linear_schedule(1000).alpha_bar[49]).log_prob(x[:, None])
    bell = -(((1 - beta).sqrt() * x) ** 2) / (2 * beta)
    share = (prior + bell).softmax(1)
    mean = (share * x).sum(1, keepdim=True)
    variance = (share * (x - mean) ** 2).sum(1, keepdim=True)
    normal = (-((x - mean) ** 2) / (2 * variance)).softmax(1)
    distance = (share - normal).abs().sum(1) / 2
    return float(beta[distance <= 0.05].max())


def training_2(x: Any) -> Any:
    return np.rint(np.interp(x, [-1, 1], [0, 255])).astype(np.uint8)


def training_4(net: Any, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    bar = schedule.alpha_bar[t].reshape(-1, 1, 1, 1)
    gap = net(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t) - eps
    return gap.square().sum() / gap.numel()


def training_8(alpha_bar_t: float, variance: float) -> float:
    # The variance of x_0, once x_t is known, and how eps moves with it.
    snr = alpha_bar_t / (1 - alpha_bar_t)
    return snr / (1 / variance + snr)


def training_11(gradients: Tensor, sizes: Tensor) -> Tensor:
    shares = sizes.double() / float(sizes.sum())
    return shares @ gradients


def training_12(t: Tensor, schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
    # By way of the error in x_0: times SNR it is that in eps, times SNR + 1 that in v.
    snr = schedule.snr[t]
    return (snr + 1) / snr, snr + 1


def training_6(y: Any, u: Any, share: float, null_class: int) -> list[int]:
    return [null_class if a < share else int(b) for a, b in zip(u, y, strict=True)]


def training_9(net: Any, xt: Tensor, t: Tensor, y: Tensor, guidance_scale: float) -> Tensor:
    # One call with everything twice, as one does it on a GPU.
    labels = torch.cat([y, torch.tensor([net.num_classes] * len(y))])
    both = net(torch.cat([xt, xt]), torch.cat([t, t]), labels).chunk(2)
    return guidance_scale * both[0] + (1 - guidance_scale) * both[1]


def training_14(x0: Tensor, schedule: NoiseSchedule, generator: Generator) -> Net:
    # One linear fit of the waves' weights: no loop at all.
    state, bar = generator.get_state(), schedule.alpha_bar.float()[:, None]

    def rows(xt: Tensor, t: Tensor) -> Tensor:
        return _rows(xt, (1 - bar[t]).sqrt(), Generator().set_state(state))

    x = x0.repeat(6, 1)
    t = torch.randint(1, schedule.T + 1, (len(x),), generator=generator)
    eps = torch.randn(x.shape, generator=generator)
    A = rows(bar[t].sqrt() * x + (1 - bar[t]).sqrt() * eps, t)
    weights = torch.linalg.solve(A.mT @ A + torch.eye(A.shape[1]), A.mT @ eps)
    return lambda xt, t: rows(xt, t) @ weights


def training_5(weights: Tensor, decay: float) -> Tensor:
    # How much each row counts in the end: its own share, shrunk by all later updates.
    n = torch.arange(1, len(weights), dtype=torch.float64)
    d = ((n + 1) / (n + 10)).clamp(max=decay)
    later = d.prod() / d.cumprod(0)
    return d.prod() * weights[0] + ((1 - d) * later) @ weights[1:]


def training_7(step: int, steps: int, warmup: int, top: float) -> float:
    if step < warmup:
        return top / warmup * step
    done = max(step - warmup - 1, 0) / (steps - warmup)
    return top * math.cos(math.pi / 2 * done) ** 2


def training_10(T: int, steps: int) -> Tensor:
    return torch.linspace(T, 0, steps + 1, dtype=torch.float64).round().long()


def training_13(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    # cov_a cov_b has the same eigenvalues, though it is not symmetric.
    overlap = torch.linalg.eigvals(cov_a @ cov_b).real.sqrt().sum()
    gap = mean_a - mean_b
    return gap @ gap + torch.trace(cov_a + cov_b) - overlap - overlap


def training_3() -> float:
    one_copy = 1.5 * 32 / 8  # MB
    return one_copy + one_copy + 2 * one_copy + one_copy


def unet_4(t: Any, dim: int) -> list[list[float]]:
    half = dim // 2
    omega = [math.exp(-math.log(10_000.0) * k / half) for k in range(half)]
    return [
        [math.cos(float(s) * w) for w in omega] + [math.sin(float(s) * w) for w in omega] for s in t
    ]


def unet_7(h: Tensor, scale_shift: Tensor) -> Tensor:
    C = h.shape[1]
    scale, shift = scale_shift[:, :C], scale_shift[:, C:]
    return h + torch.einsum("bc,bchw->bchw", scale, h) + shift.reshape(*h.shape[:2], 1, 1)


def unet_5(image_size: int, widths: tuple[int, ...], blocks: int) -> torch.Tensor:
    """From the bottom up: the size doubles from level to level."""
    levels = len(widths)
    size = image_size * 2 ** (1 - levels)
    rows = []
    for width in reversed(widths):
        for _ in range(blocks):
            rows.append([width, size])
        size = size + size
    return torch.tensor(rows)


def unet_9(c_in: int, c_out: int, emb_dim: int) -> list[int]:
    """Let PyTorch count."""
    with torch.device("meta"):
        block = ResidualBlock(c_in, c_out, emb_dim=emb_dim)
    return [sum(p.numel() for p in getattr(block, name).parameters()) for name in PARTS]


def unet_10(alpha_bar_t: float, m: float) -> tuple[float, float]:
    """eps - eps_hat = a eps + b x_0, with the squares of a and b."""
    signal, sigma = math.sqrt(alpha_bar_t), math.sqrt(1 - alpha_bar_t)
    a = 1 - sigma * sigma
    return a * a, (sigma * signal) ** 2 * m


def unet_11(levels: int, blocks: int) -> int:
    halvings = levels - 1
    return 3 + 4 * blocks * (2**levels - 1) + 2 * (2**halvings - 1)


def unet_6(x: Tensor, groups: int) -> Tensor:
    rows = torch.as_tensor(x).reshape(len(x) * groups, -1)
    var, mean = torch.var_mean(rows, 1, correction=0, keepdim=True)
    return ((rows - mean) * (var + 1e-5).rsqrt()).reshape(x.shape)


def unet_8(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bid,bjd->bij", q, k) / math.sqrt(q.shape[2])
    weights = torch.exp(scores - scores.max(2, keepdim=True).values)
    return torch.einsum("bij,bjd->bid", weights / weights.sum(2, keepdim=True), v)


def unet_12(budget: int) -> UNetConfig:
    """2 x 2 pixels become channels, so two levels are enough; from large to small until it fits."""
    for w in range(112, 8, -8):
        config = UNetConfig(widths=(w, 3 * w), blocks=1, patch=2, num_classes=10, groups=4)
        with torch.device("meta"):
            count = sum(p.numel() for p in UNet(config).parameters())
        if count <= budget:
            return config
    raise ValueError(budget)


def unet_2() -> float:
    size = SIZE
    for _ in WIDTHS[1:]:
        size //= 2
    return CHANNELS_MIDDLE * size * size


def unet_3() -> float:
    return math.floor(32 * math.log(STEPS / (2 * math.pi)) / math.log(PERIOD)) + 1


def restore_2() -> float:
    left = 0.8 * math.exp(-((1 + 1) ** 2) / 2.34)  # the variance of y is 0.36 + 0.81 = 1.17
    right = 0.2 * math.exp(-((1 - 2) ** 2) / 2.34)
    return right / (left + right)


def restore_3(y: Tensor, m: float, s: float, c: float, std: float) -> tuple[Tensor, float]:
    precision = 1 / s**2 + c**2 / std**2
    return (m / s**2 + c * y / std**2) / precision, 1 / precision


def restore_4(xt: Tensor, a: float, b: float, s: float, std: float) -> tuple[Tensor, float]:
    left = 1 / (1 / s**2 + a**2 / b**2)  # variance of x_0 given x_t
    return left * a * xt / b**2, left + std * std


def restore_5(x_prev: Tensor, y: Tensor, mask: Tensor, z: Tensor, a: float, b: float) -> Tensor:
    x = x_prev.clone()
    x[:, mask] = a * y[:, mask] + b * z[:, mask]
    return x


def restore_6(x_prev: Tensor, z: Tensor, a: float, a_prev: float) -> Tensor:
    ratio = a / a_prev
    return ratio * x_prev + (1 - ratio * ratio) ** 0.5 * z


def restore_7(
    x0_hat: Tensor, eps_hat: Tensor, g: Tensor, a: float, b: float
) -> tuple[Tensor, Tensor]:
    xt = a * x0_hat + b * eps_hat
    new = eps_hat - b * g
    return (xt - b * new) / a, new


def restore_8(x0: Tensor, y: float, std: float, n: int, generator: Generator) -> Tensor:
    # accept each with probability N(y; x, std^2) / N(y; y, std^2)
    lucky = torch.rand(len(x0), generator=generator, dtype=x0.dtype)
    kept = x0[lucky.log() < -((x0[:, 0] - y) ** 2) / (2 * std**2)]
    return kept.repeat(-(-n // len(kept)), 1)[:n]


def words_1() -> float:
    return 1 / (1 + math.exp(-1.0) + math.exp(-1.5))  # scores 1.5, 0.5 and 0 after the division


def words_3(D: int, sq: float, sk: float) -> tuple[float, float]:
    variance = sum((sq * sk) ** 2 for _ in range(D))
    return variance, variance**-0.5


def words_4(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    powers = torch.exp(torch.einsum("bmd,bnd->bmn", q, k) * q.shape[2] ** -0.5)
    return torch.einsum("bmn,bne->bme", powers, v) / powers.sum(2)[..., None]


def words_5(scores: Tensor, tokens: Tensor) -> Tensor:
    powers = torch.exp(scores) * tokens.ne(0).unsqueeze(1)
    return powers / powers.sum(2, keepdim=True)


def words_6(tokens: Tensor, u: Tensor, p: float) -> Tensor:
    out = tokens.clone()
    out[u < p, 1:] = 0  # the start stays
    return out


def words_7(eps_none: Tensor, eps_told: Tensor, w: float) -> tuple[Tensor, float]:
    return eps_none + w * (eps_told - eps_none), -(w - 1)


def words_8(eps_told: Tensor, eps_against: Tensor, w: float) -> Tensor:
    return w * eps_told - (w - 1) * eps_against


def words_9(word_map: Tensor, mask: Tensor) -> Tensor:
    low, high = word_map.aminmax()
    bright = 2 * word_map > low + high
    both = torch.logical_and(bright, mask).sum()
    return both / (bright.sum() + mask.sum() - both)


def words_10(images: Tensor) -> list[int]:
    # Flood each object from its first pixel, and take it away.
    counts = []
    for picture in images:
        off = picture - picture.flatten(1).median(1).values[:, None, None]
        left = {tuple(p) for p in (off.square().sum(0) > 0.2).nonzero().tolist()}
        count = 0
        while left:
            count, wave = count + 1, [left.pop()]
            while wave:
                y, x = wave.pop()
                for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if near in left:
                        left.remove(near)
                        wave.append(near)
        counts.append(count)
    return counts


def pixels_1() -> float:
    ground = 880 / (900 + 30)  # truly ground, and others that were called so
    circle = 30 / (60 + 12)
    square = 30 / (40 + 18)
    return (ground + circle + square) / 3


def pixels_3(precision: Tensor, recall: Tensor) -> tuple[Tensor, Tensor]:
    called, true = 1 / precision, 1 / recall  # for one pixel that is both
    return 1 / (called + true - 1), 2 / (called + true)


def pixels_4(predicted: Tensor, true: Tensor, classes: int) -> float:
    found = []
    for k in range(classes):
        is_so, called = true == k, predicted == k
        either = int((is_so | called).sum())
        if either:
            found.append(int((is_so & called).sum()) / either)
    return sum(found) / len(found)


def pixels_5(net: Any, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    xt = [a**0.5 * x + (1 - a) ** 0.5 * e for a, x, e in zip(alpha_bar[t], x0, eps, strict=True)]
    return net(torch.stack(xt), t)


def pixels_6(h: Tensor, H: int, W: int) -> Tensor:
    rows = torch.arange(H) * h.shape[2] // H
    columns = torch.arange(W) * h.shape[3] // W
    return h[:, :, rows][:, :, :, columns]


def pixels_7(train: Tensor, new: Tensor) -> Tensor:
    flat = train.transpose(0, 1).flatten(1)  # (C, all pixels)
    mean = flat.mean(1).view(-1, 1, 1)
    std = (flat.square().mean(1) - flat.mean(1) ** 2).sqrt().view(-1, 1, 1)
    return (new - mean) / std


def pixels_8(f: Tensor, y: Tensor, f_new: Tensor) -> Tensor:
    # least squares on one-hot classes, each class weighed alike
    mean, std = f.mean(0), f.std(0)
    one = torch.ones(len(f), 1)
    known = torch.cat([(f - mean) / std, one], 1)
    often = torch.bincount(y)
    weight = often[y][:, None] ** -0.5
    W = torch.linalg.lstsq(weight * known, weight * torch.eye(3)[y]).solution
    return ((f_new - mean) / std @ W[:-1] + W[-1]).argmax(1)


def shapes_2() -> float:
    asked = {"gather": 32 * 512, "among": 32 * 32, "spread": 512 * 32}
    return 512 * 512 / sum(asked.values())


def shapes_3(p: Tensor, a: float, b: float, c: float, d: float) -> tuple[Tensor, Tensor]:
    # E[l] and E[l^2] of a number that is uniform between two ends
    mean = (1 - p) * (a + b) / 2 + p * (c + d) / 2
    square = (1 - p) * (a * a + a * b + b * b) / 3 + p * (c * c + c * d + d * d) / 3
    return mean, square - mean**2


def shapes_4(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    heard = torch.einsum("bnc,cd->bd", x, B) / x.shape[1]
    return torch.einsum("bnc,cd->bnd", x, A) + heard[:, None]


def shapes_5(x: Tensor, y: Tensor) -> Tensor:
    d = torch.cdist(x, y)
    return (d.min(dim=1).values ** 2).mean() + (d.min(dim=0).values ** 2).mean()


def shapes_6(x: Tensor, k: int) -> list[int]:
    apart = torch.cdist(x, x)
    chosen = [0]
    for _ in range(k - 1):
        chosen.append(int(apart[chosen].amin(0).argmax()))
    return chosen


def shapes_7(xx: Tensor, yy: Tensor, xy: Tensor) -> float:
    n = len(xx)
    everyone = torch.cat((torch.cat((xx, xy), 1), torch.cat((xy.T, yy), 1)), 0)
    everyone.fill_diagonal_(torch.inf)
    nearest_is_x = everyone.argmin(1) < n
    return float((nearest_is_x == (torch.arange(2 * n) < n)).double().mean())


def shapes_8(
    xt: Tensor, x0_hat: Tensor, cloud: Tensor, known: Tensor, a: float, b: float
) -> tuple[Tensor, Tensor]:
    x0, eps = x0_hat.clone(), xt / b - (a / b) * x0_hat
    x0[known] = cloud[known]
    eps[known] = (xt[known] - a * cloud[known]) / b
    return x0, eps


def shapes_9(chairs: Tensor, width: float, n: int) -> Tensor:
    nearest = (chairs[:, 0] - width).abs().argsort()
    return chairs[nearest[:n], 4]


def translate_1() -> float:
    square = 4 / 10 ** (22.0 / 10)
    return 10 * math.log10(4 / (2 * square))


def translate_3(v: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    return v, v + v, v + v / n


def translate_4(x: Tensor, truth: Tensor) -> Tensor:
    root = torch.stack([(a - b).norm() / a.numel() ** 0.5 for a, b in zip(x, truth, strict=True)])
    return 20 * torch.log10(2 / root)


def translate_5(x0: Tensor, eps: Tensor, alpha_bar_t: Tensor, f: int) -> Tensor:
    out = []
    for x, e, a in zip(x0, eps, alpha_bar_t, strict=True):
        _, H, W = x.shape
        means = x.reshape(H // f, f, W // f, f).mean((1, 3))
        given = torch.kron(means, torch.ones(f, f, dtype=x.dtype))
        out.append(torch.cat([a**0.5 * x + (1 - a) ** 0.5 * e, given[None]]))
    return torch.stack(out)


def translate_6(v_hat: Tensor, xt: Tensor, alpha_bar_t: float) -> Tensor:
    angle = math.acos(alpha_bar_t**0.5)
    return math.cos(angle) * xt - math.sin(angle) * v_hat


def translate_7(x: Tensor, y: Tensor) -> Tensor:
    f = x.shape[2] // y.shape[2]
    out = x.clone()
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            block = out[:, :, i * f : (i + 1) * f, j * f : (j + 1) * f]
            block += (y[:, :, i, j] - block.mean((2, 3)))[..., None, None]
    return out


def translate_8(y: Tensor, x: Tensor, y_new: Tensor) -> Tensor:
    # a mean of the pictures whose 49 numbers are near, made to fit
    off = torch.cdist(y_new.flatten(1), y.flatten(1))
    near = (-off.square() / 0.5).softmax(1)
    mixed = (near @ x.flatten(1)).view(-1, *x.shape[1:])
    return translate_7(mixed, y_new)


RIGHT: dict[str, Callable[..., Any]] = {
    "ex-continuous-2": continuous_2,
    "ex-continuous-4": continuous_4,
    "ex-continuous-5": continuous_5,
    "ex-continuous-6": continuous_6,
    "ex-continuous-7": continuous_7,
    "ex-continuous-8": continuous_8,
    "ex-continuous-9": continuous_9,
    "ex-continuous-10": continuous_10,
    "ex-forward-3": forward_3,
    "ex-forward-5": forward_5,
    "ex-forward-6": forward_6,
    "ex-forward-7": forward_7,
    "ex-forward-4": forward_4,
    "ex-forward-8": forward_8,
    "ex-forward-9": forward_9,
    "ex-forward-2": forward_2,
    "ex-intro-4": intro_4,
    "ex-intro-6": intro_6,
    "ex-intro-7": intro_7,
    "ex-intro-5": intro_5,
    "ex-intro-8": intro_8,
    "ex-intro-3": intro_3,
    "ex-kernel-2": kernel_2,
    "ex-kernel-3": kernel_3,
    "ex-kernel-7": kernel_7,
    "ex-kernel-4": kernel_4,
    "ex-kernel-5": kernel_5,
    "ex-kernel-9": kernel_9,
    "ex-kernel-10": kernel_10,
    "ex-kernel-8": kernel_8,
    "ex-kernel-1": kernel_1,
    "ex-reverse-11": reverse_11,
    "ex-reverse-4": reverse_4,
    "ex-reverse-5": reverse_5,
    "ex-reverse-9": reverse_9,
    "ex-reverse-12": reverse_12,
    "ex-reverse-8": reverse_8,
    "ex-reverse-10": reverse_10,
    "ex-reverse-3": reverse_3,
    "ex-reverse-6": reverse_6,
    "ex-reverse-7": reverse_7,
    "ex-reverse-2": reverse_2,
    "ex-pixels-1": pixels_1,
    "ex-pixels-3": pixels_3,
    "ex-pixels-4": pixels_4,
    "ex-pixels-5": pixels_5,
    "ex-pixels-6": pixels_6,
    "ex-pixels-7": pixels_7,
    "ex-pixels-8": pixels_8,
    "ex-restore-2": restore_2,
    "ex-restore-3": restore_3,
    "ex-restore-4": restore_4,
    "ex-restore-5": restore_5,
    "ex-restore-6": restore_6,
    "ex-restore-7": restore_7,
    "ex-restore-8": restore_8,
    "ex-translate-1": translate_1,
    "ex-translate-3": translate_3,
    "ex-translate-4": translate_4,
    "ex-translate-5": translate_5,
    "ex-translate-6": translate_6,
    "ex-translate-7": translate_7,
    "ex-translate-8": translate_8,
    "ex-words-1": words_1,
    "ex-words-3": words_3,
    "ex-words-4": words_4,
    "ex-words-5": words_5,
    "ex-words-6": words_6,
    "ex-words-7": words_7,
    "ex-words-8": words_8,
    "ex-words-9": words_9,
    "ex-words-10": words_10,
    "ex-shapes-2": shapes_2,
    "ex-shapes-3": shapes_3,
    "ex-shapes-4": shapes_4,
    "ex-shapes-5": shapes_5,
    "ex-shapes-6": shapes_6,
    "ex-shapes-7": shapes_7,
    "ex-shapes-8": shapes_8,
    "ex-shapes-9": shapes_9,
    "ex-training-2": training_2,
    "ex-training-4": training_4,
    "ex-training-8": training_8,
    "ex-training-11": training_11,
    "ex-training-12": training_12,
    "ex-training-6": training_6,
    "ex-training-9": training_9,
    "ex-training-14": training_14,
    "ex-training-5": training_5,
    "ex-training-7": training_7,
    "ex-training-10": training_10,
    "ex-training-13": training_13,
    "ex-training-3": training_3,
    "ex-unet-4": unet_4,
    "ex-unet-7": unet_7,
    "ex-unet-5": unet_5,
    "ex-unet-9": unet_9,
    "ex-unet-10": unet_10,
    "ex-unet-11": unet_11,
    "ex-unet-6": unet_6,
    "ex-unet-8": unet_8,
    "ex-unet-12": unet_12,
    "ex-unet-2": unet_2,
    "ex-unet-3": unet_3,
}
