"""Laws of eps, x0, v and score: one fact in four coordinates."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from dmlib import parameterization
from dmlib.forward import q_sample
from dmlib.mixture import GaussianMixture
from dmlib.models import predicts_v
from dmlib.oracle import MixtureOracle
from dmlib.parameterization import guess_from_eps, guess_from_v, guess_from_x0
from dmlib.schedules import cosine_schedule, linear_schedule, zero_terminal_snr

F64 = torch.float64
NAMES = ("eps", "x0", "v", "score")
PAIRS = [(target, source) for source, target in permutations(NAMES, 2)]
SCHEDULES = [linear_schedule(), cosine_schedule(), linear_schedule(3, beta_1=0.2, beta_T=0.9)]


def convert(target: str, source: str):
    return getattr(parameterization, f"{target}_from_{source}")


def truth(schedule, t, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """x_t and all four of its names, from x0 and eps by definition; float64."""
    g = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, len(t), 3, dtype=F64, generator=g)
    bar = schedule.alpha_bar[t][:, None]
    return {
        "xt": q_sample(x0, t, eps, schedule=schedule),
        "x0": x0,
        "eps": eps,
        "v": bar.sqrt() * eps - (1 - bar).sqrt() * x0,
        "score": -eps / (1 - bar).sqrt(),
    }


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: f"{s.name}{s.T}")
@pytest.mark.parametrize(("target", "source"), PAIRS)
def test_every_direction_finds_the_value_that_made_xt(target, source, schedule):
    t = torch.tensor([1, 2, (schedule.T + 1) // 2, schedule.T])
    known = truth(schedule, t)
    got = convert(target, source)(known[source], known["xt"], t, schedule=schedule)
    # 1/alpha_bar_T is 4e8 for the cosine schedule: there 1e-16 becomes 1e-7.
    rtol = max(1e-9, 1e-15 / float(schedule.alpha_bar[-1]))
    assert_close(got, known[target], rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("target", "source"), PAIRS)
def test_there_and_back_again_is_the_identity(target, source):
    schedule, t = linear_schedule(), torch.tensor([1, 200, 1000])
    value, xt = torch.randn(2, 3, 1, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    there = convert(target, source)(value, xt, t, schedule=schedule)
    assert_close(convert(source, target)(there, xt, t, schedule=schedule), value)


def test_score_is_the_gradient_of_log_q():
    schedule = cosine_schedule(100)
    mixture = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.25, 0.35])
    oracle = MixtureOracle(mixture, schedule=schedule)
    xt = torch.linspace(-2, 2, 9, dtype=F64)[:, None].requires_grad_()
    log_q = mixture.diffused(schedule.alpha_bar[40]).log_prob
    (gradient,) = torch.autograd.grad(log_q(xt).sum(), xt)
    guess = oracle(xt.detach(), 40)
    answers = {"eps": guess.eps_hat, "x0": guess.x0_hat}
    answers["v"] = parameterization.v_from_x0(answers["x0"], xt.detach(), 40, schedule=schedule)
    for name, value in answers.items():
        got = convert("score", name)(value, xt.detach(), 40, schedule=schedule)
        assert_close(got, gradient)


def test_v_is_the_velocity_of_the_circle():
    """x_t = cos(phi) x_0 + sin(phi) eps, v = dx_t/dphi (Salimans & Ho 2022, appendix D)."""
    schedule = cosine_schedule(50)
    t = torch.tensor([3, 25, 49])
    known = truth(schedule, t)
    phi = schedule.alpha_bar[t].sqrt().acos()[:, None].requires_grad_()
    x = phi.cos() * known["x0"] + phi.sin() * known["eps"]
    rows = [torch.autograd.grad(x[:, i].sum(), phi, retain_graph=True)[0] for i in range(3)]
    assert_close(known["v"], torch.cat(rows, 1))


def test_v_answers_where_all_is_noise_and_eps_is_refused():
    schedule = zero_terminal_snr(linear_schedule())
    x0, eps = torch.randn(2, 4, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    # At SNR 0: x_T = eps, v = -x_0.
    assert_close(parameterization.x0_from_v(-x0, eps, 1000, schedule=schedule), x0)
    assert_close(parameterization.eps_from_v(-x0, eps, 1000, schedule=schedule), eps)
    assert_close(parameterization.score_from_v(-x0, eps, 1000, schedule=schedule), -eps)
    assert_close(parameterization.v_from_x0(x0, eps, 1000, schedule=schedule), -x0)
    t = torch.tensor([1, 1000, 5, 999])
    for target, source in (("x0", "eps"), ("v", "eps"), ("x0", "score"), ("v", "score")):
        with pytest.raises(
            ValueError, match=r"^t must be a step with alpha_bar_t > 0, t <= 999: at t = 1000"
        ):
            convert(target, source)(eps, eps, t, schedule=schedule)
        convert(target, source)(eps, eps, 999, schedule=schedule)


def test_eps_from_v_equals_the_network_that_predicts_v():
    schedule, t = cosine_schedule(), torch.tensor([1, 500, 1000])
    xt = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    net = predicts_v(lambda xt, t: torch.full_like(xt, 0.3), schedule)
    expected = parameterization.eps_from_v(torch.full_like(xt, 0.3), xt, t, schedule=schedule)
    assert_close(net(xt, t).eps_hat, expected)


@pytest.mark.parametrize(("target", "source"), PAIRS)
def test_gradients_flow_through(target, source):
    schedule = linear_schedule(20, beta_1=0.02, beta_T=0.3)
    value, xt = torch.randn(2, 2, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([1, 20])

    def both(value, xt):
        return convert(target, source)(value, xt, t, schedule=schedule)

    assert torch.autograd.gradcheck(both, (value.requires_grad_(), xt.requires_grad_()))


@pytest.mark.parametrize("make", [guess_from_eps, guess_from_v, guess_from_x0])
def test_both_halves_of_a_guess_mix_to_xt(make):
    schedule, t = cosine_schedule(), torch.tensor([1, 400, 990])
    said, xt = torch.randn(2, 3, 5, dtype=F64, generator=torch.Generator().manual_seed(0))
    x0_hat, eps_hat = make(said, xt, t, schedule=schedule)
    assert_close(q_sample(x0_hat, t, eps_hat, schedule=schedule), xt)


# Fuzz: the right answer or a ValueError that names the argument.

BAD_VALUES = {
    "list": lambda x: x.tolist(),
    "integers": lambda x: x.long(),
    "shape": lambda x: torch.cat([x, x], -1),
    "batch": lambda x: torch.cat([x, x], 0),
    "meta": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "None": lambda x: None,
}
BAD_TIMES = {
    "0": 0,
    "above T": 11,
    "negative": -1,
    "bool": True,
    "float": 1.0,
    "float tensor": torch.ones(4),
    "wrong batch": torch.ones(5, dtype=torch.int64),
    "two axes": torch.ones(4, 1, dtype=torch.int64),
    "one of them 0": torch.tensor([1, 2, 0, 3]),
    "meta": torch.ones(4, dtype=torch.int64, device="meta"),
    "None": None,
}


@pytest.mark.parametrize(("target", "source"), PAIRS)
def test_bad_input_is_refused_by_name(target, source):
    schedule, x = linear_schedule(10), torch.randn(4, 3)
    function = convert(target, source)
    for spoil in BAD_VALUES.values():
        with pytest.raises(ValueError, match=rf"^({source}|xt) must"):
            function(spoil(x), x, 1, schedule=schedule)
        with pytest.raises(ValueError, match=rf"^({source}|xt) must"):
            function(x, spoil(x), 1, schedule=schedule)
    for t in BAD_TIMES.values():
        with pytest.raises(ValueError, match=r"^t must"):
            function(x, x, t, schedule=schedule)
    with pytest.raises(ValueError, match=r"^xt must have a batch axis"):
        function(torch.tensor(0.0), torch.tensor(0.0), 1, schedule=schedule)


TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 4e-2, torch.float32: 1e-5, F64: 1e-12}


@settings(max_examples=120, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    dtype=st.sampled_from(list(TOLERANCE)),
    shape=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    form=st.sampled_from(["contiguous", "strided", "expanded"]),
    t=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_any_dtype_shape_and_stride_gives_the_float64_answer(pair, dtype, shape, form, t, seed):
    target, source = pair
    schedule = linear_schedule(30, beta_1=0.02, beta_T=0.3)
    g = torch.Generator().manual_seed(seed)
    value, xt = torch.randn(2, *shape, generator=g, dtype=F64).to(dtype)
    if form == "strided":
        xt = torch.stack([xt, xt], -1)[..., 0]
    elif form == "expanded" and shape[0]:
        xt = xt[:1].expand(shape)
    exact = convert(target, source)(value.double(), xt.double(), t, schedule=schedule)
    got = convert(target, source)(value, xt, t, schedule=schedule)
    assert got.dtype == dtype
    scale = 1 + float(exact.abs().max()) if exact.numel() else 1
    assert_close(got.double(), exact, rtol=0, atol=TOLERANCE[dtype] * scale)
