"""The widgets' Python side: state, forms, numbers."""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
import traitlets
from scipy import stats
from torch.testing import assert_close

from dmlib.book.widgets import ChainVsKernel, ForwardPlayer, Prediction, ScheduleExplorer
from dmlib.book.widgets.base import pack
from dmlib.book.widgets.rng import normal, uniform
from dmlib.schedules import cosine_schedule, linear_schedule


def _images(n=3, side=28):
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


@pytest.fixture(params=["ForwardPlayer", "ScheduleExplorer", "ChainVsKernel"])
def widget(request):
    if request.param == "ChainVsKernel":
        return ChainVsKernel()
    return {"ForwardPlayer": ForwardPlayer, "ScheduleExplorer": ScheduleExplorer}[request.param](
        _images()
    )


def test_mimebundle_has_html_png_and_a_sentence(widget):
    forms, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} <= set(forms)
    assert base64.b64decode(forms["image/png"]).startswith(b"\x89PNG")
    assert forms["text/plain"].endswith(".")


def test_live_view_only_in_a_kernel_and_alone_in_colab(widget, monkeypatch):
    mime = "application/vnd.jupyter.widget-view+json"
    assert mime not in widget._repr_mimebundle_()[0]
    monkeypatch.setattr("dmlib.book.widgets.base.has_kernel", lambda: True)
    forms = widget._repr_mimebundle_()[0]
    assert forms[mime]["model_id"] == widget.model_id
    assert "text/html" in forms
    monkeypatch.setattr("dmlib.book.widgets.base.in_colab", lambda: True)
    forms = widget._repr_mimebundle_()[0]
    assert set(forms) == {mime, "text/plain", "image/png"}


def test_state_does_not_carry_the_module_a_second_time(widget):
    assert {"_data", "t" if hasattr(widget, "t") else "T"} <= set(widget.state())
    assert str(widget._esm) not in widget.state().values()


def test_html_runs_the_very_module_that_jupyter_runs(widget):
    script = re.search(r"<script>\n(.*)</script>", widget.to_html(), re.S)[1]
    module = str(widget._esm).replace("export default { render };", "")
    mount = f'mountStatic("{type(widget).__name__}", render);'
    assert script == f"(() => {{\n{module}\n{mount}\n}})();\n"


def test_module_is_valid_and_cannot_end_its_script_element(widget, tmp_path):
    source = str(widget._esm)
    assert "</script" not in source.lower()
    assert "<!--" not in source
    assert "import " not in source
    if node := shutil.which("node"):
        path = tmp_path / "module.mjs"
        path.write_text(source, encoding="utf-8")
        subprocess.run([node, "--check", path], check=True)


def test_data_cannot_end_the_script_element():
    nasty = "</script><img src=x onerror=alert(1)><!--"
    html = ForwardPlayer(_images(1), names=[nasty]).to_html()
    assert nasty not in html
    state = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1]
    assert json.loads(state)["_data"]["names"] == [nasty]


def test_html_asks_nothing_of_others(widget):
    html = re.sub(r'"data:image/png;base64,[^"]*"', "", widget.to_html())
    assert re.findall(r"https?://|//cdn|@import|url\(", html) == []


def test_data_stay_within_300_kB(widget):
    assert len(json.dumps(widget._data)) < 300_000
    with pytest.raises(ValueError, match="data must be at most 300000 bytes"):
        ForwardPlayer(_images(300))


def test_html_of_equal_widgets_is_equal():
    assert ForwardPlayer(_images()).to_html() == ForwardPlayer(_images()).to_html()


def test_observe_and_link_work():
    one, other = ForwardPlayer(_images()), ForwardPlayer(_images())
    traitlets.link((one, "t"), (other, "t"))
    seen = []
    other.observe(lambda change: seen.append(change["new"]), "t")
    one.t = 700
    assert (other.t, seen) == (700, [700])


@pytest.mark.parametrize(
    ("name", "value"), [("t", 1001), ("t", -1), ("schedule", "none"), ("image", 3), ("seed", 0)]
)
def test_state_out_of_range_is_refused(name, value):
    player = ForwardPlayer(_images())
    with pytest.raises(traitlets.TraitError):
        setattr(player, name, value)


def test_forward_player_shows_q_sample_of_image_and_noise():
    player = ForwardPlayer(_images(), t=400)
    a = linear_schedule().alpha_bar[400]
    x0 = torch.from_numpy(_images()[0].astype(np.float64)) / 127.5 - 1
    eps = torch.randn(1, 28, 28, generator=torch.Generator().manual_seed(1)).half().double()
    assert_close(player.xt()[0], a.sqrt() * x0 + (1 - a).sqrt() * eps)


def test_explorer_moves_the_other_variance_along():
    explorer = ScheduleExplorer(_images())
    explorer.beta_1 = 0.05
    assert explorer.beta_T == 0.05
    explorer.beta_T = 0.01
    assert explorer.beta_1 == 0.01
    explorer.schedule()


def test_chain_particles_follow_the_kernels_density():
    chain = ChainVsKernel(t=60)
    a = float(linear_schedule(200, beta_1=5e-4, beta_T=0.1).alpha_bar[60])
    parts = [
        (w, a**0.5 * m, (a * s**2 + 1 - a) ** 0.5)
        for w, m, s in ((0.3, -1.5, 0.25), (0.7, 1, 0.35))
    ]

    def cdf(x):
        return sum(w * stats.norm.cdf(x, m, s) for w, m, s in parts)

    # n = 2000, seed 1: the gap stays below 1.63 / sqrt(n) in 99 of 100 draws.
    assert stats.kstest(chain.particles().numpy(), cdf).statistic < 1.63 / 2000**0.5
    x = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64)
    expected = sum(w * stats.norm.pdf(x.numpy(), m, s) for w, m, s in parts)
    assert_close(chain.density(x), torch.as_tensor(expected))


def test_chain_takes_any_schedule_and_checks_t():
    assert ChainVsKernel(cosine_schedule(50), t=50).particles().shape == (2000,)
    with pytest.raises(ValueError, match=r"t must be in 0\.\.50, got 51"):
        ChainVsKernel(cosine_schedule(50), t=51)
    with pytest.raises(traitlets.TraitError, match=r"t must be in 0\.\.50"):
        ChainVsKernel(cosine_schedule(50), t=0).t = 51


def test_rng_is_uniform_normal_and_uncorrelated():
    n = np.arange(100_000)
    # By chance a bound is passed in one seed of a thousand: 1.95 / sqrt(n), 3.3 deviations.
    assert stats.kstest(uniform(7, n), "uniform").statistic < 1.95 / len(n) ** 0.5
    z = normal(7, n)
    assert stats.kstest(z, "norm").statistic < 1.95 / len(n) ** 0.5
    for lag in (1, 2, 2000):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 3.3 / len(n) ** 0.5
    assert abs(np.corrcoef(z, normal(8, n))[0, 1]) < 3.3 / len(n) ** 0.5


def test_prediction_refuses_a_missing_answer():
    with pytest.raises(ValueError, match=r"answer must be in 0\.\.1, got 2"):
        Prediction("?", ("a", "b"), 2, "because")
    with pytest.raises(ValueError, match="options must be at least two, got 1"):
        Prediction("?", ("a",), 0, "because")


def test_pack_refuses_other_dtypes():
    with pytest.raises(ValueError, match=r"array must have a dtype of .*, got int32"):
        pack(np.zeros(2, np.int32))


@pytest.mark.parametrize(
    ("images", "names", "message"),
    [
        (np.zeros((2, 28, 28)), None, "images must be uint8"),
        (np.zeros((2, 28, 27), np.uint8), None, "images must be uint8"),
        (np.zeros((2, 28, 28), np.uint8), ["one"], "names must be as many as images, 2, got 1"),
    ],
)
def test_bad_images_are_refused(images, names, message):
    with pytest.raises(ValueError, match=message):
        ForwardPlayer(images, names=names)
