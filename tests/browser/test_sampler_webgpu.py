"""The sampler on a graphics chip: WebAssembly's images, and what happens when the chip fails.

The chip is SwiftShader, a program that imitates one; that is slow, so two images and few steps.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dmlib.book.widgets import Sampler

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from conftest import ARGS  # noqa: E402
from sampler_page import MODEL, Reader, record, serve  # noqa: E402
from widget_harness import page_html  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.times]
FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
CHIP, PROCESSOR = "on your graphics chip (WebGPU)", "on the processor (WebAssembly)"
LEVEL = 2 / 255  # one grey level
PATIENT = 580_000  # ms: where other programs run, SwiftShader compiles for minutes
FILES = {
    "wasm": {"ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz"},
    "webgpu": {"ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm.gz"},
}
# What a test puts at the beginning of the worker's text.
KEEP = """const ask = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...wanted) {
  return (self.chip = await ask.apply(this, wanted));
};"""
REFUSE = "GPUAdapter.prototype.requestDevice = async () => { throw new Error('no device today'); };"


def swapped(html, old, new):
    """The page with the module's text changed; it comes last, after the state."""
    head, found, tail = html.rpartition(old)
    assert found
    return head + new + tail


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of the figure's page, once as it is and once with each fault, for two images."""
    html = swapped(page_html(Sampler().to_html()), "const COUNT = 16;", "const COUNT = 2;")
    worker = "function samplerWorker() {\n"
    faults = {"whole": "", "keep": KEEP, "refuse": REFUSE}
    pages = {name: swapped(html, worker, worker + fault) for name, fault in faults.items()}
    with serve(tmp_path_factory.mktemp("webgpu"), pages) as address:
        yield address


@pytest.fixture(scope="module")
def graphics(launch, site):
    """A browser with a graphics chip; without one nothing here would test anything."""
    browser = launch([arg for arg in ARGS if arg != "--disable-gpu"] + FLAGS)
    page = browser.new_page()
    page.goto(f"{site}/whole.html")
    has = page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())")
    waits = page.evaluate("typeof WebAssembly.Suspending === 'function'")
    page.close()
    if not (has and waits):
        pytest.fail(
            f"this Chromium ({browser.version}) offers no WebGPU adapter with {FLAGS}, or no JSPI"
            f" (adapter {has}, WebAssembly.Suspending {waits}); Chromium 137 and later can do both"
        )
    return browser


@pytest.fixture
def reader(graphics, site):
    """reader(name, backend) -> Reader of the page; asks nobody but this machine."""
    readers = []

    def open_page(name="whole", backend="", browser=graphics, **options):
        readers.append(Reader(browser, f"{site}/{name}.html{backend}", **options))
        return readers[-1]

    yield open_page
    for one in readers:
        one.context.close()
        assert one.foreign == []


@pytest.fixture(scope="module")
def plain(graphics, site):
    """What WebAssembly makes in two and in six steps."""
    page = Reader(graphics, f"{site}/whole.html#backend=wasm")
    made = {steps: page.generate(steps=steps, timeout=PATIENT) for steps in (2, 6)}
    page.context.close()
    assert FILES["wasm"] < set(page.asked)
    assert not FILES["webgpu"] & set(page.asked)
    assert {one["where"] for one in made.values()} == {PROCESSOR}
    return made


def off_by(made, other):
    return np.abs(np.clip(made["xt"], -1, 1) - np.clip(other["xt"], -1, 1)).max()


def only_the_chips_runtime_was_loaded(page):
    assert FILES["webgpu"] < set(page.asked)
    return not FILES["wasm"] & set(page.asked)


def test_chip_makes_the_images_of_webassembly_and_a_lost_one_is_replaced(reader, plain):
    """To a grey level. When the chip is lost in the middle of a run, the run goes on."""
    page = reader("keep", "#backend=webgpu")
    made = page.generate(steps=2, timeout=PATIENT)
    assert made["where"] == CHIP
    assert 0 < made["off"] <= 0.002
    assert off_by(made, plain[2]) <= LEVEL
    record(
        webgpu_two_images={
            "answer_off_by": made["off"],
            "images_off_by_grey_levels": float(off_by(made, plain[2]) / LEVEL),
            "ms_a_step_on_swiftshader": made["ms"],
            "ms_a_step_on_webassembly": plain[2]["ms"],
        }
    )
    assert only_the_chips_runtime_was_loaded(page)
    assert f"computed\n{CHIP}" in page.page.locator(".sm-facts").inner_text()
    assert page.errors == []
    page.set(steps=6)
    page.press("Generate")
    page.wait("kind === 'live' && state === 'running' && moments > 0", PATIENT)
    page.press("Pause")  # so that the run cannot end before the loss
    page.page.workers[0].evaluate("self.chip.destroy()")
    assert page.numbers()["moments"] < 6
    page.press("Resume")
    page.wait("state === 'ready'", PATIENT)
    made = page.numbers()
    assert made["where"] == PROCESSOR
    assert made["moments"] == 7
    assert off_by(made, plain[6]) <= LEVEL
    # Whether the loss or the runtime's error about it is heard first is chance.
    said = page.status().replace(" (it was lost)", "")
    assert said.startswith("Your graphics chip failed, so the processor computes. Done: 6 steps")
    assert page.workers(1) == 1
    assert only_the_chips_runtime_was_loaded(page)


def test_chip_that_computes_wrongly_is_not_used(reader, plain):
    wrong = np.zeros(2 * 784, "<f4").tobytes()
    page = reader("whole", "#backend=webgpu", instead={"proof.f32": wrong})
    made = page.generate(steps=2, timeout=PATIENT)
    assert made["where"] == PROCESSOR
    assert off_by(made, plain[2]) <= LEVEL
    assert "graphics chip failed (it computes wrongly, off by" in page.status()
    assert only_the_chips_runtime_was_loaded(page)
    assert page.workers(1) == 1


def test_chip_that_gives_no_device_is_not_used(reader, plain):
    page = reader("refuse", "#backend=webgpu")
    made = page.generate(steps=2, timeout=PATIENT)
    assert made["where"] == PROCESSOR
    assert off_by(made, plain[2]) <= LEVEL
    assert "graphics chip failed, so the processor computes" in page.status()
    page.press("Generate")  # the next run does not try the chip again
    page.wait("state === 'ready'", PATIENT)
    assert page.workers(1) == 1
    assert page.asked.count("ort.jspi.bundle.min.mjs") == 2


def test_files_that_do_not_come_say_nothing_against_the_chip(reader):
    page = reader("whole", "#backend=webgpu", missing="unet.onnx.gz")
    page.press("Generate")
    page.wait("state === 'ready'")
    assert page.status().startswith("That failed")
    assert "404" in page.status()
    assert page.workers() == 0
    assert not FILES["wasm"] & set(page.asked)


def test_cancel_leaves_no_worker_while_the_chip_starts(reader):
    page = reader("whole", "#backend=webgpu")
    page.press("Generate")
    page.wait("state === 'loading'")
    page.press("Cancel")
    assert page.workers() == 0
    assert "Cancelled" in page.status()


def test_size_is_said_of_what_will_be_loaded(reader, chromium):
    """The imitated chip counts only when it is asked for; without any it is WebAssembly."""
    said = {}
    for backend in ("#backend=webgpu", "#backend=wasm", ""):
        button = reader("whole", backend).page.get_by_role("button", name="Generate")
        said[backend] = button.inner_text()
    none = reader("whole", "#backend=webgpu", chromium)
    said["none"] = none.page.get_by_role("button", name="Generate").inner_text()
    manifest = json.loads((MODEL / "manifest.json").read_text())
    sizes = {name: one["bytes"]["all"] for name, one in manifest["runtimes"].items()}
    assert f"{sizes['webgpu'] / 1e6:.1f} MB" in said["#backend=webgpu"]
    for backend in ("#backend=wasm", "", "none"):
        assert f"{sizes['wasm'] / 1e6:.1f} MB" in said[backend]


def test_without_a_chip_webassembly_computes_as_ever(reader, chromium, plain):
    page = reader("whole", "#backend=webgpu", chromium)
    made = page.generate(steps=2, timeout=PATIENT)
    assert (made["where"], made["xt"]) == (PROCESSOR, plain[2]["xt"])
    assert "failed" not in page.status()
    assert FILES["wasm"] < set(page.asked)
    assert not FILES["webgpu"] & set(page.asked)
