"""The benchmark's report: what it compares, leaves out, and calls the fastest (figures made up)."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "bench"))
import bench


def measured(peer, setting, train, sample):
    return {
        "peer": peer,
        "setting": setting,
        "parameters": 2_700_000,
        "flop_per_image": 3e8,
        "train": [train, train * 1.1, train * 0.9, train],
        "sample": [sample] * 4,
        "peak_mib": 500.0,
        **({} if "compile" in setting else {"profile": {"aten::convolution_backward": 0.5}}),
    }


NETS = [
    measured("dmlib", "float32", 0.4, 0.10),
    measured("dmlib", "float32, channels_last", 0.3, 0.12),
    measured("diffusers", "float32", 0.6, 0.20),
    measured("smalldiffusion", "float32", 0.9, 0.16),
    measured("smalldiffusion", "float32, channels_last, compile", 0.5, 0.3),
]


def test_each_library_is_compared_at_its_fastest():
    rows, ratio = bench.table(NETS, "train")
    assert ratio == pytest.approx(0.3 / 0.5)
    assert [("(its fastest)" in row) for row in rows] == [False, True, True, False, True]
    assert bench.table(NETS, "sample")[1] == pytest.approx(0.10 / 0.16)


def test_report_says_what_was_left_out_and_where_time_goes():
    text = bench.report(
        {
            "machine": "x86_64",
            "left_out": ["bfloat16: imitated"],
            "batch": 32,
            "nets": json.loads(json.dumps(NETS)),
            "import": {"torch": [2.0, 2.0, 2.0], "dmlib": [2.02, 2.02, 2.02]},
            "oracle": {"data": 60_000, "noisy_images_per_second": 90.0},
        }
    )
    assert "Not measured: bfloat16: imitated." in text
    assert "- dmlib (float32, channels_last): aten::convolution_backward 50%" in text
    assert "Each at its fastest, ours takes 0.60 times" in text
    assert "`import dmlib` 2.02 s, `import torch` 2.00 s" in text


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("compiler", [True, False])
def test_settings_are_those_that_the_machine_is_made_for(monkeypatch, fast, compiler):
    monkeypatch.setattr(bench, "fast_bfloat16", lambda device: fast)
    settings, left_out = bench.settings_for("cpu", compiler=compiler, quick=False)
    assert {"float32", "float32, channels_last"} <= set(settings)
    assert any("bfloat16" in s for s in settings) == fast
    kind = "bfloat16" if fast else "float32"
    layouts = [f"{kind}, compile", f"{kind}, channels_last, compile"] if compiler else []
    assert [s for s in settings if "compile" in s] == layouts
    assert len(left_out) == (not fast) + (not compiler)
