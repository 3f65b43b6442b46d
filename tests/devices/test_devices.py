"""Laws of the reader's own machine: what runs on a CPU runs on CUDA and on Apple silicon.

No GPU is needed: emulator.py follows the devices' rules on the CPU, in a process of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
MACHINES = {"t4": ("cuda", "7.5"), "a100": ("cuda", "8.0"), "apple": ("mps", "0.0")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not any(map(shutil.which, ("c++", "g++", "clang++"))),
        reason="the emulated device needs a C++ compiler (apt-get install g++)",
    ),
]


def emulate(script: str, machine: str, *arguments: str) -> str:
    """What a script prints on the emulated machine; its last line is JSON."""
    kind, capability = MACHINES[machine]
    own = {"DMLIB_EMULATED_DEVICE": kind, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), capability, *arguments],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.strip(), done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", params=MACHINES)
def machine(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def found(machine, tmp_path_factory) -> dict:
    """What the scenes found; several test processes share one run of them."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    kept = folder / f"scenes_{machine}.json"
    with (folder / f"scenes_{machine}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_text(emulate("scenes.py", machine).splitlines()[-1])
    return json.loads(kept.read_text())


def test_every_scene_is_played_to_its_end(found):
    errors = [f"{name}: {x['error']}" for name, x in found.items() if "error" in x]
    assert not errors, "\n".join(errors)


def test_a_training_step_waits_for_nothing_but_the_numbers_of_the_step_before(found, machine):
    """One copy of the numbers, which is read a step later; one of images, one of labels."""
    late = {} if machine == "apple" else found["reads_and_copies_of_a_float16_step"]
    for step in filter(None, (found["reads_and_copies_of_a_training_step"], late)):
        where = step.pop("where")
        if machine == "apple":  # no copy there that nobody waits for
            assert step == {"read": 1, "copy": 2}, where
        else:
            assert step == {"late read": 1, "late copy": 2}, where


def test_a_sampling_step_reads_nothing_and_copies_nothing(found):
    for rule, step in found["reads_and_copies_of_a_sampling_step"].items():
        assert step == {"where": []}, rule


def test_sixteen_bits_train_as_float32_does(found, machine):
    """Relative difference of the loss; one rounding of bfloat16 is 0.4 %, of float16 0.05 %."""
    off = found["float16_and_bfloat16_train_as_float32_does"]
    auto = {"t4": "torch.float16", "a100": "torch.bfloat16", "apple": "torch.float32"}
    assert off.pop("auto") == auto[machine]
    assert off.pop("fell")
    assert 0 < off["bfloat16"] < 4e-3
    if machine != "apple":
        assert 0 < off["float16"] < 5e-4


def test_a_step_that_is_not_finite_changes_no_weight_and_is_not_saved(found):
    left = found["a_bad_step_changes_no_weight"]
    assert left["same"]
    assert left["refused"]
    assert left["said"].startswith("step 5: loss nan")


def test_a_run_goes_on_bit_for_bit_and_on_another_device(found, machine):
    runs = found["a_run_goes_on_bit_for_bit_and_on_another_device"]
    assert runs[MACHINES[machine][0]] == [True, 6, 0]
    assert runs["cpu"][1:] == [6, 0]


def test_a_session_leaves_the_readers_generators_alone_and_good_weights(found):
    left = found["a_session_trains_stops_and_leaves_the_readers_random_numbers_alone"]
    assert left["dropout"] > 0
    assert left["untouched"]
    assert left["weights"]
    assert left["outcomes"] == ["done", "done"]
    assert left["grids"] == [f"grid_{step:07d}.npz" for step in (3, 4, 6)]


def test_previews_change_no_weight(found):
    assert found["previews_change_no_weight"] == {"same": True}


def test_metrics_take_samples_on_the_device_and_data_on_the_cpu(found):
    left = found["metrics_take_samples_on_the_device_and_data_on_the_cpu"]
    assert left.pop("recognised") > 0.85  # real garments
    assert left == {"neighbours": True, "features": True, "finite": True}


def test_samples_come_from_generators_of_either_device(found, machine):
    kind = MACHINES[machine][0]
    expected = [20, 1, 28, 28, kind, kind]
    assert found["samples_come_from_generators_of_either_device"] == [expected, expected]


def test_figures_take_a_network_on_the_device(found, machine):
    expected = {"bytes": 4 * 784, "stayed": MACHINES[machine][0]}
    assert found["figures_take_a_network_on_the_device"] == expected


def test_a_recipe_fits_the_machine(found, machine):
    chosen = {"t4": "t4", "a100": "t4", "apple": "cpu"}  # 15 GiB are too few for BIG
    assert found["recipes_fit_the_machine"]["chosen"] == chosen[machine]


def test_the_memory_of_big_does_not_count_its_weights_once_an_image(found, machine):
    if machine != "a100":
        pytest.skip("BIG is for GPUs that have bfloat16")
    assert 6.3 < found["recipes_fit_the_machine"]["big"] < 7.3  # GiB


def test_every_public_function_answers_on_the_device_as_on_the_cpu(machine):
    calls = json.loads(emulate("calls.py", machine).splitlines()[-1])
    assert not calls["failed"], "\n".join(calls["failed"].values())
    assert not calls["unknown"], "calls.py must know an argument for each parameter"
    assert len(calls["called"]) > 60


# Minutes: the weekly workflow asks for all of them, a push for those that compute most.
EVERY = os.environ.get("DMLIB_EVERY_NOTEBOOK") == "1"


@pytest.mark.notebooks
def test_all_cells_of_the_training_notebook_run(machine):
    if machine == "a100" and not EVERY:
        pytest.skip("asked for by DMLIB_EVERY_NOTEBOOK=1, every week; the scenes run on it always")
    notebook = ROOT / "notebooks" / "05_training.ipynb"
    *failed, ran = emulate("notebooks.py", machine, str(notebook)).splitlines()
    assert json.loads(ran)["05_training"] > 20, failed
    assert not [line for line in failed if ", cell " in line], "\n".join(failed)


@pytest.mark.notebooks
@pytest.mark.skipif(not EVERY, reason="every week; what they call runs in the scenes and calls")
def test_all_cells_of_the_other_notebooks_run():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    others = [str(n) for n in notebooks if n.stem != "05_training"]
    *failed, ran = emulate("notebooks.py", "t4", *others).splitlines()
    assert len(json.loads(ran)) == len(others)
    assert not [line for line in failed if ", cell " in line], "\n".join(failed)
