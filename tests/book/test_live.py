"""Training in a notebook: what is said before, shown meanwhile, kept when something stops it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlib import checkpoint
from dmlib.book import live_view
from dmlib.book.live import announce, train_here
from dmlib.book.recordings import RecordedRun
from dmlib.book.widgets import RunPlayer
from dmlib.checkpoint import CheckpointError
from dmlib.models import UNetConfig
from dmlib.training import model_card
from dmlib.training.batches import sample
from dmlib.training.config import TrainConfig
from dmlib.training.estimate import Estimate, estimate
from dmlib.training.log import read_grids, read_log
from dmlib.training.loop import Diverged, Training
from dmlib.training.outcome import is_out_of_memory
from dmlib.training.recipes import BIG, CPU, SMOKE, T4, Recipe, choose_recipe, in_pieces
from dmlib.training.session import Session
from dmlib.training.stopping import stop_between_steps

TINY = Recipe(
    name="tiny",
    purpose="for tests",
    net=UNetConfig(
        widths=(8,), blocks=1, attention=(), heads=2, emb_dim=8, num_classes=10, patch=4
    ),
    train=TrainConfig(steps=6, warmup=2, ema_decay=0.9),
    batch_size=8,
    data=sample,
    preview_every=4,
    save_every=3,
    log_every=2,
)


def steps(n: int) -> Recipe:
    return replace(TINY, train=replace(TINY.train, steps=n))


def raising(monkeypatch, trouble: BaseException, *, after: int) -> None:
    """Let the training run into trouble after so many steps."""
    run = Training.run

    def troubled(self, batches):
        for record in run(self, batches):
            yield record
            if record.step == after:
                raise trouble

    monkeypatch.setattr(Training, "run", troubled)


# Before it starts


def test_it_says_what_it_will_do_before_it_starts(tmp_path, capsys):
    train_here(TINY, folder=tmp_path / "run", device="cpu")
    said, _, after = capsys.readouterr().out.partition("run this again to go on")
    parameters = sum(p.numel() for p in TINY.make_denoiser().parameters())
    for word in ("tiny", f"{parameters:,} parameters", "6 steps of 8 images", "memory", "about"):
        assert word in said
    assert str(tmp_path / "run") in said
    assert "weights:" in after


def test_estimate_counts_what_autograd_keeps():
    """Twice the batch needs twice the memory, and more blocks need more."""
    small = estimate(TINY, device="cpu")
    double = estimate(replace(TINY, batch_size=16), device="cpu")
    state = 20 * small.parameters
    assert double.memory - state == 2 * (small.memory - state) > 0
    deep = estimate(replace(TINY, net=replace(TINY.net, blocks=2)), device="cpu")
    assert deep.memory - 20 * deep.parameters > small.memory - state
    assert 0 < small.seconds_per_step < 3


def test_estimate_leaves_random_numbers_and_run_alone(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    estimate(TINY, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_that_does_not_fit_is_announced(capsys):
    announce(TINY, Estimate(10, 5_000_000_000, None), device="cpu", folder=Path("here"))
    out = capsys.readouterr().out
    assert "5.0 GB" in out
    assert "not even one step fits" in out


def test_drive_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(ValueError, match="drive=True works on Colab only"):
        train_here(TINY, folder=tmp_path, drive=True)


def test_on_colab_the_run_is_kept_on_drive_if_asked(tmp_path, monkeypatch, capsys):
    from types import ModuleType

    from dmlib.book import live

    drive, colab = ModuleType("google.colab.drive"), ModuleType("google.colab")
    drive.mount, colab.drive = lambda where: mounted.append(where), drive
    mounted: list[str] = []
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(live, "DRIVE", tmp_path)
    assert live._place(TINY, None, drive=True) == tmp_path / "MyDrive/diffusion-book/runs/tiny"
    assert mounted == [str(tmp_path)]
    assert live._place(TINY, None, drive=False) == Path("runs/tiny")
    assert "drive=True" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cuda", "memory", "capability", "expected"),
    [
        (False, 0, (0, 0), CPU),
        (True, 15, (7, 5), T4),
        (True, 40, (8, 0), BIG),
        (True, 8, (8, 6), T4),
    ],
)
def test_the_recipe_follows_the_machine(monkeypatch, cuda, memory, capability, expected):
    from types import SimpleNamespace

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    card = SimpleNamespace(total_memory=memory * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: capability)
    assert choose_recipe() is expected


# Stopped, and gone on with


def test_pieces_make_the_same_step():
    cut = in_pieces(TINY, 4)
    assert (cut.batch_size, cut.train.accumulation) == (2, 4)
    assert in_pieces(cut).batch_size * in_pieces(cut).train.accumulation == 8
    with pytest.raises(ValueError, match="pieces must divide the batch of 8"):
        in_pieces(TINY, 3)


def test_stop_button_waits_for_the_step_and_the_next_call_goes_on(tmp_path, capsys):
    folder = tmp_path / "run"
    pressed = []

    class Pressing(Session):
        def _note(self, record):
            super()._note(record)
            if record.step == 4 and not pressed:
                pressed.append(os.kill(os.getpid(), signal.SIGINT))

    outcome = Pressing(TINY, folder=folder, device="cpu").train()
    assert (outcome.status, outcome.code) == ("stopped", 130)
    assert "stopped after step 4" in outcome.sentence
    found, _ = checkpoint.latest(folder)
    assert found is not None
    assert found.card["step"] == 4
    done = train_here(TINY, folder=folder, device="cpu")
    assert "going on after step 4" in capsys.readouterr().out
    assert done.outcome.status == "done"
    straight = train_here(TINY, folder=tmp_path / "straight", device="cpu")
    for a, b in zip(done.net.parameters(), straight.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_second_stop_acts_at_once_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT)
    with stop_between_steps() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_of_a_launcher_changes_nothing():
    """It passes on what the processes had got themselves."""
    alone = ((False, numbers) for numbers in ("TERM TERM", "INT TERM", "USR1"))
    for patient, numbers in ((True, "INT TERM INT"), *alone):
        with stop_between_steps(patient=patient) as asked:
            try:
                for name in numbers.split():
                    signal.raise_signal(getattr(signal, f"SIG{name}"))
            except KeyboardInterrupt:
                pytest.fail(f"{numbers} acted at once")
            assert asked()


def test_interrupt_in_the_middle_of_an_update_keeps_the_last_whole_step(tmp_path, monkeypatch):
    session = Session(TINY, folder=tmp_path, device="cpu")
    update = session.training.ema.update

    def interrupted(net):
        if session.training.step == 5:
            raise KeyboardInterrupt
        update(net)

    monkeypatch.setattr(session.training.ema, "update", interrupted)
    assert session.train().status == "stopped"
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.card["step"] == 3  # save_every


def test_nan_stops_and_the_last_good_checkpoint_stays(tmp_path, monkeypatch, capsys):
    raising(monkeypatch, Diverged("step 6: loss nan"), after=5)
    trained = train_here(TINY, folder=tmp_path, device="cpu")
    assert trained.outcome.status == "diverged"
    assert "the last good checkpoint is kept in" in capsys.readouterr().out
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.card["step"] == 3
    assert not trained.weights.exists()


def test_nan_before_the_first_checkpoint_says_that_there_is_none(tmp_path, monkeypatch):
    raising(monkeypatch, Diverged("step 3: loss nan"), after=2)
    outcome = Session(TINY, folder=tmp_path, device="cpu").train()
    assert outcome.sentence.endswith(
        f"loss nan; no checkpoint was kept before, a next run in {tmp_path} begins anew"
    )
    assert checkpoint.latest(tmp_path) == (None, [])
    monkeypatch.undo()
    raising(monkeypatch, Diverged("step 5: loss nan"), after=4)
    outcome = Session(TINY, folder=tmp_path, device="cpu").train()
    assert outcome.sentence.endswith(f"last good checkpoint is kept in {tmp_path} (step 3)")
    # Gone on with, and nothing new kept: the one that was found is still there.
    outcome = Session(TINY, folder=tmp_path, device="cpu").train()
    assert outcome.sentence.endswith("(step 3)")


def test_out_of_memory_names_the_recipe_that_fits(tmp_path, monkeypatch, capsys):
    raising(monkeypatch, torch.cuda.OutOfMemoryError("CUDA out of memory."), after=1)
    assert train_here(TINY, folder=tmp_path, device="cpu").outcome.status == "memory"
    out = capsys.readouterr().out
    assert "--batch-size 4 --accumulation 2" in out
    assert "in_pieces(recipe)" in out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: …)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_other_errors_are_not_swallowed(tmp_path, monkeypatch):
    raising(monkeypatch, RuntimeError("shapes cannot be multiplied"), after=1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Session(TINY, folder=tmp_path, device="cpu").train()


def test_a_run_that_is_done_is_only_shown_again(tmp_path):
    train_here(TINY, folder=tmp_path, device="cpu")
    log = (tmp_path / "log.jsonl").read_text()
    again = train_here(TINY, folder=tmp_path, device="cpu")
    assert again.outcome.status == "done"
    assert (tmp_path / "log.jsonl").read_text() == log


def test_weights_that_are_there_keep_what_was_measured_of_them(tmp_path):
    weights = train_here(TINY, folder=tmp_path, device="cpu").weights
    model_card.add_metrics(weights, {"distance": 1.5})
    before = {p.name: p.read_bytes() for p in tmp_path.glob("weights.*")}
    again = train_here(TINY, folder=tmp_path, device="cpu")
    assert again.card["metrics"] == {"distance": 1.5}
    assert {p.name: p.read_bytes() for p in tmp_path.glob("weights.*")} == before
    longer = train_here(steps(8), folder=tmp_path, device="cpu")
    assert (longer.card["metrics"], longer.card["steps"]) == ({}, 8)
    longer.weights.write_bytes(b"spoilt")
    assert train_here(steps(8), folder=tmp_path, device="cpu").card["steps"] == 8


# A folder where nothing can be read


def test_a_run_that_cannot_be_read_is_not_begun_anew_over_itself(tmp_path):
    Session(TINY, folder=tmp_path, device="cpu").train()
    for path in tmp_path.glob("step_*.safetensors"):
        path.write_bytes(b"spoilt")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"no checkpoint can be read \(.*000006.*000003.*try"):
        Session(TINY, folder=tmp_path, device="cpu")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    for path in tmp_path.glob("step_*"):
        path.unlink()
    assert Session(TINY, folder=tmp_path, device="cpu").found is None


def test_a_first_save_that_was_cut_off_stands_in_nobodys_way(tmp_path):
    (tmp_path / "step_000000003.safetensors").write_bytes(b"tensors whose card was never written")
    session = Session(TINY, folder=tmp_path, device="cpu")
    assert len(session.refused) == 1
    assert session.train().status == "done"


# Data of one's own


COLOUR = replace(TINY.net, image_size=8, channels=3, num_classes=3)


def own(**changes) -> Recipe:
    return replace(TINY, net=replace(COLOUR, **changes))


def own_images(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 8, 8), generator=g, dtype=torch.uint8)
    return images, torch.arange(n) % 3


def test_images_of_ones_own_are_trained_on_and_named_in_the_card(tmp_path):
    images, labels = own_images()
    trained = train_here(own(), folder=tmp_path, device="cpu", images=images, labels=labels)
    assert trained.card["data"] == "24 images of one's own"
    assert trained.card["command"] == "dmlib.training.session.Session(recipe, ...)"
    net, _ = checkpoint.load_unet(trained.weights)
    assert net(torch.zeros(1, 3, 8, 8), 5, torch.tensor([2])).x0_hat.shape == (1, 3, 8, 8)
    assert "24 images of one's own" in (tmp_path / "MODEL_CARD.md").read_text()


def test_a_run_in_colour_is_shown_in_colour(tmp_path):
    """Blue pictures: neither the recording nor the figure may show their red channel."""
    images, labels = own_images()
    images[:, :2] = 0
    train_here(own(), folder=tmp_path, device="cpu", images=images, labels=labels)
    run, grids = RecordedRun.of(tmp_path), read_grids(tmp_path)
    assert run.grid.shape[2:] == (8, 8, 3)
    expected = grids[int(run.grid_step[-1])][:, 2]
    assert np.isin(run.grid[-1, ..., 2], expected).all()
    figure = RunPlayer(run)
    assert (figure._data["channels"], figure._data["width"], figure._data["height"]) == (3, 8, 8)


@pytest.mark.parametrize("labels", [None, own_images()[1]], ids=["no labels", "labels"])
def test_a_network_without_classes_gets_no_labels(tmp_path, labels):
    recipe, images = own(num_classes=None), own_images()[0]
    session = Session(recipe, folder=tmp_path, device="cpu", images=images, labels=labels)
    assert session.labels is None
    assert session.train().status == "done"
    assert read_grids(tmp_path)[6].shape == (4, 3, 8, 8)


def test_a_recipe_without_classes_runs_as_it_is(tmp_path):
    recipe = replace(TINY, net=replace(TINY.net, num_classes=None))
    trained = train_here(recipe, folder=tmp_path, device="cpu")
    assert trained.outcome.status == "done"
    assert trained.card["config"]["num_classes"] is None


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (own_images()[0][:, :1], own_images()[1], r"^images must be .*\(N, 3, 8, 8\).*\(24, 1, 8"),
        (own_images()[0].numpy(), own_images()[1], r"^images must be a tensor .* got ndarray"),
        (None, own_images()[1], r"^images must be a tensor .* got NoneType"),
        (own_images()[0], None, r"^labels must be there for the 3 classes .*num_classes=None"),
        (own_images()[0], own_images()[1] + 1, r"^labels must be in 0..2, .*try: labels - 1"),
        (own_images()[0], own_images()[1][:9], r"^labels must be an int64 tensor \(24,\)"),
        (own_images(6)[0], own_images(6)[1], r"^batch_size must be in 1..6 \(the data\), got 8"),
    ],
)
def test_data_that_does_not_fit_the_recipe_is_refused_before_it_begins(
    tmp_path, images, labels, message
):
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        Session(own(), folder=folder, device="cpu", images=images, labels=labels)
    assert not folder.exists()


WORKER = """
    import sys, warnings
    warnings.simplefilter("error")
    import torch
    torch.set_num_threads(1)
    from test_live import Session, steps
    print("ready", flush=True)
    session = Session(steps(40), folder=sys.argv[1], device="cpu")
    outcome = session.train(lambda record: print(record.step, flush=True))
    print(outcome.status, flush=True)
"""


def start_worker(folder: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kernel death", "Slurm"])
def test_run_killed_at_random_goes_on_and_ends_like_one_never_killed(tmp_path, number):
    dice = random.Random(int(number))
    with start_worker(tmp_path / "run") as worker:
        assert worker.stdout is not None
        for _ in range(dice.randint(5, 25)):
            worker.stdout.readline()
        time.sleep(dice.random() * 0.02)
        worker.send_signal(number)
        rest = worker.stdout.read().split()
    if number == signal.SIGTERM:  # it had the time to keep the step that it was at
        found, _ = checkpoint.latest(tmp_path / "run")
        assert found is not None
        assert rest[-1] == "stopped"
        assert found.card["step"] == int(rest[-2])
    ended = train_here(steps(40), folder=tmp_path / "run", device="cpu")
    straight = train_here(steps(40), folder=tmp_path / "straight", device="cpu")
    for a, b in zip(ended.net.parameters(), straight.net.parameters(), strict=True):
        assert torch.equal(a, b)
    log = [line["step"] for line in read_log(tmp_path / "run")]
    assert log == sorted(set(log))
    assert log[-1] == 40


# What is shown


class Page:
    """Stands for a notebook's output: what is displayed, and how often it was replaced."""

    def __init__(self) -> None:
        self.shown: list[list] = []

    def display(self, thing, display_id):
        self.shown.append([thing])
        page, place = self, len(self.shown) - 1

        class Handle:
            def update(self, thing):
                page.shown[place].append(thing)

        return Handle()


def test_bar_and_picture_replace_one_another_in_place(tmp_path, monkeypatch):
    import IPython.display

    page = Page()
    monkeypatch.setattr(IPython.display, "display", page.display)
    monkeypatch.setattr(live_view, "in_notebook", lambda: True)
    monkeypatch.setattr(live_view, "EVERY_SECONDS", 0.0)
    train_here(TINY, folder=tmp_path, device="cpu")
    assert len(page.shown) == 2  # one bar, one picture
    bars, pictures = sorted(page.shown, key=lambda x: hasattr(x[0], "_repr_png_"))
    assert len(bars) == 6
    assert "6/6" in repr(bars[-1])
    assert "images/s" in repr(bars[-1])
    assert 'value="6" max="6"' in bars[-1]._repr_html_()
    assert len(pictures) >= 2
    assert pictures[-1]._repr_png_().startswith(b"\x89PNG")
    assert pictures[-1]._repr_png_() != pictures[0]._repr_png_()


def test_smoothing_is_a_mean_of_what_came_before():
    values = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    assert live_view.smoothed(values, 0.4).tolist() == [1.0, 1.5, 2.5, 3.0, 5.0]
    assert np.isnan(live_view.smoothed(np.array([np.nan]))).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shows_each_class_in_a_column(channels):
    from matplotlib.figure import Figure

    images = np.repeat(np.arange(10, dtype=np.uint8) * 25, 4)[:, None, None, None]
    images = np.broadcast_to(images, (40, channels, 6, 6))
    axes = live_view.samples(Figure().subplots(), images)
    sheet = np.asarray(axes.get_images()[0].get_array())
    levels = sheet.reshape(*sheet.shape[:2], -1)[..., 0]
    levels = (levels + 1) * 127.5 if channels == 1 else levels
    assert levels[3::8, 3::8].round().tolist() == [[25.0 * k for k in range(10)]] * 4


def test_log_holds_every_step_once(tmp_path):
    train_here(TINY, folder=tmp_path, device="cpu")
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert sorted(read_grids(tmp_path)) == [4, 6]
    assert all(len(line["buckets"]) == 10 for line in lines)


# What is left


def test_card_says_what_was_run_and_takes_metrics(tmp_path):
    trained = train_here(TINY, folder=tmp_path, device="cpu")
    card = trained.card
    assert card["images_seen"] == 48
    assert card["finished"] is True
    assert card["metrics"] == {}
    assert card["command"].startswith("python -m dmlib.training --recipe tiny --steps 6")
    assert card["precision"] == "float32"
    net, _ = checkpoint.load_unet(trained.weights)
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert "Nothing measured yet" in text
    model_card.add_metrics(trained.weights, {"Fréchet distance, n = 8": 1.5})
    again, card = checkpoint.load_unet(trained.weights)
    assert card["metrics"] == {"Fréchet distance, n = 8": 1.5}
    assert "| Fréchet distance, n = 8 | 1.5 |" in (tmp_path / "MODEL_CARD.md").read_text()
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert json.loads((tmp_path / "weights.json").read_text())["sha256"] in text


def test_smoke_recipe_is_the_one_that_needs_no_download():
    assert SMOKE.data is sample
