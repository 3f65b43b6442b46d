"""Laws of a run in its folder: whatever ends it, the next one ends with the same weights."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlib import checkpoint
from dmlib.checkpoint import CheckpointError, files
from dmlib.checkpoint.files import FolderError, locked
from dmlib.models import UNetConfig
from dmlib.training import log as log_module
from dmlib.training import session as session_module
from dmlib.training.batches import sample
from dmlib.training.config import TrainConfig
from dmlib.training.log import read_grids, read_log
from dmlib.training.recipes import Recipe
from dmlib.training.session import Session

TINY = Recipe(
    name="tiny",
    purpose="for tests",
    net=UNetConfig(
        image_size=8, widths=(8,), blocks=1, attention=(), heads=1, emb_dim=8, patch=4, dropout=0.3
    ),
    train=TrainConfig(steps=4, warmup=1, ema_decay=0.9),
    batch_size=4,
    data=sample,
    T=10,
    preview_every=2,
    save_every=2,
    log_every=2,
)


def pictures(n: int = 12, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 8, 8), generator=g, dtype=torch.uint8)


def session(folder: Path, recipe: Recipe = TINY, **settings) -> Session:
    return Session(recipe, folder=folder, device="cpu", **{"images": pictures(), **settings})


def train(folder: Path, recipe: Recipe = TINY, **settings):
    return session(folder, recipe, **settings).train()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(folder / "weights.safetensors").tensors


def assert_same(a: Path, b: Path) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], x) for name, x in theirs.items())
    assert sorted(p.name for p in a.iterdir()) == sorted(p.name for p in b.iterdir())


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    assert train(folder).status == "done"
    return folder


# Killed

CALLS = ("open", "os.rename", "os.remove", "os.mkdir")


def killed_at(k: int, folder: Path, told) -> None:
    """Train, and die before the k-th operation on a file of the folder; tell whether it came."""
    seen, inside = 0, str(folder)

    def watch(event: str, args: tuple) -> None:
        nonlocal seen
        if event in CALLS and args and str(args[0]).startswith(inside):
            seen += 1
            if seen == k:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    sys.addaudithook(watch)
    told.put((train(folder).status, seen))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside torch's threads
def test_a_run_killed_at_any_file_operation_ends_with_the_same_weights(tmp_path, straight):
    context = multiprocessing.get_context("fork")
    k, last = 0, None
    while last is None:
        k += 1
        folder, told = tmp_path / str(k) / "run", context.Queue()
        worker = context.Process(target=killed_at, args=(k, folder, told))
        worker.start()
        worker.join()
        if worker.exitcode != -signal.SIGKILL:
            last = told.get(timeout=10)
            break
        again = context.Process(target=killed_at, args=(0, folder, told))
        again.start()
        again.join()
        assert told.get(timeout=10)[0] == "done", f"after operation {k}"
        assert_same(folder, straight)
    assert last[0] == "done"
    assert k > 40


def test_what_a_killed_write_left_is_cleared_away(tmp_path, straight):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".grid_0000002.npz.123.tmp").write_bytes(b"half")
    train(folder)
    assert_same(folder, straight)


def test_a_half_written_grid_stops_nothing(tmp_path, straight):
    folder = tmp_path / "run"
    train(folder)
    path = folder / "grid_0000002.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert train(folder).status == "done"
    assert list(read_grids(folder)) == [4]
    longer = replace(TINY, train=replace(TINY.train, steps=6))
    assert train(folder, longer).status == "done"


# Interrupted


@pytest.mark.parametrize("place", ["forward", "backward", "clip", "optimizer", "average", "note"])
def test_a_second_ctrl_c_at_any_place_of_a_step_keeps_the_run(
    tmp_path, monkeypatch, place, straight
):
    folder, run = tmp_path / "run", session(tmp_path / "run")
    training, step = run.training, []

    def interrupt(*args, **kwargs):
        step.append(1)
        if len(step) == 3:
            raise KeyboardInterrupt

    def before(target, name):
        done = getattr(target, name)
        monkeypatch.setattr(target, name, lambda *a, **k: (interrupt(), done(*a, **k))[1])

    if place == "forward":
        training.net.net.register_forward_hook(lambda *a: interrupt())
    elif place == "optimizer":
        training.optimizer.register_step_post_hook(lambda *a: interrupt())
    else:
        where = {
            "backward": (training.accelerator, "backward"),
            "clip": (training.accelerator, "clip_grad_norm_"),
            "average": (training.ema, "update"),
            "note": (run, "_note"),
        }
        before(*where[place])
    assert run.train().status == "stopped"
    monkeypatch.undo()
    assert train(folder).status == "done"
    ours, theirs = weights(folder), weights(straight)
    assert all(torch.equal(ours[name], x) for name, x in theirs.items())


# The seed decides, and nothing else


def test_previews_change_no_weight(tmp_path, straight):
    train(tmp_path / "run", replace(TINY, preview_every=1))
    ours, theirs = weights(tmp_path / "run"), weights(straight)
    assert all(torch.equal(ours[name], x) for name, x in theirs.items())
    assert TINY.net.dropout > 0


def test_the_readers_generator_decides_nothing_and_stays_where_it_was(tmp_path, straight):
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    train(tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())
    assert_same(tmp_path / "run", straight)


def test_another_seed_gives_other_weights(tmp_path, straight):
    train(tmp_path / "run", replace(TINY, train=replace(TINY.train, seed=1)))
    ours, theirs = weights(tmp_path / "run"), weights(straight)
    assert not all(torch.equal(ours[name], x) for name, x in theirs.items())


def test_dropout_differs_from_step_to_step(tmp_path):
    run, masks = session(tmp_path), []
    dropouts = [m for m in run.training.net.modules() if isinstance(m, torch.nn.Dropout)]
    dropouts[0].register_forward_hook(lambda m, a, out: masks.append(out == 0) if m.training else 0)
    run.train()
    assert len(masks) == 4
    assert not torch.equal(masks[0], masks[1])


# Believed only after a look


@pytest.mark.parametrize(("field", "value"), [("step", 1), ("ema_updates", 0), ("lost", 3)])
def test_a_number_changed_in_a_checkpoints_card_is_refused(tmp_path, field, value):
    train(tmp_path)
    for card in tmp_path.glob("step_*.json"):
        said = json.loads(card.read_text())
        card.write_text(json.dumps({**said, field: value}))
    found, refused = checkpoint.latest(tmp_path)
    assert found is None
    assert all("the card was changed after it was written" in x for x in refused)
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        session(tmp_path)


def test_other_data_in_the_same_folder_are_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(CheckpointError, match=r"trained on other images or labels .*try: the same"):
        session(tmp_path, images=pictures(seed=1))
    assert train(tmp_path).status == "done"


# The folder


def test_two_processes_do_not_train_in_one_folder_and_a_crash_leaves_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    inside, run = context.Event(), session(tmp_path)
    other = context.Process(target=hold, args=(tmp_path, inside))
    other.start()
    assert inside.wait(60)
    outcome = run.train()
    assert (outcome.status, outcome.code) == ("folder", 1)
    assert f"{tmp_path}: another process is training there; try: " in outcome.sentence
    with pytest.raises(FolderError, match="another process is training there"):
        session(tmp_path)
    other.kill()
    other.join()
    assert run.train().status == "done"


def hold(folder: Path, inside) -> None:
    with locked(folder):
        inside.set()
        time.sleep(120)


def test_a_file_in_the_folders_place_is_named_at_the_start(tmp_path):
    (tmp_path / "run").write_text("mine")
    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(
            FolderError, match=rf"{folder} cannot be written: a file stands in .*try"
        ):
            session(folder)


@pytest.mark.parametrize(
    ("code", "says"), [(errno.EROFS, "read-only"), (errno.ENOSPC, "the disk is full")]
)
def test_a_folder_that_takes_no_file_is_named_at_the_start(tmp_path, monkeypatch, code, says):
    def refuse(self, data):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(FolderError, match=rf"{tmp_path} cannot be written: .*{says}.*; try: "):
        session(tmp_path)


def test_a_disk_without_room_for_the_checkpoints_is_told_at_the_start(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(FolderError, match=r"MB are needed, 0 MB are free on its disk; try: "):
        session(tmp_path)


def test_a_disk_that_gets_full_ends_the_run_with_a_sentence_and_keeps_what_was(
    tmp_path, monkeypatch
):
    run, writes, done = session(tmp_path), [], os.fsync

    def full(handle):
        writes.append(handle)
        if len(writes) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    outcome = run.train()
    assert outcome.status == "folder"
    assert str(tmp_path) in outcome.sentence
    assert "the disk is full; try: make room" in outcome.sentence
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*.tmp"))
    assert train(tmp_path).status == "done"


def test_a_picture_that_fails_is_reported_and_the_training_goes_on(tmp_path, monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(session_module, "preview", fails)
    assert train(tmp_path).status == "done"
    said = capsys.readouterr().err
    assert "no samples to show at step 2: OutOfMemoryError: CUDA out of memory; the" in said
    assert not list(tmp_path.glob("grid_*"))
    assert [line["step"] for line in read_log(tmp_path)] == [2, 4]


def test_the_checkpoint_comes_before_the_picture(tmp_path, monkeypatch):
    def dies(*args, **kwargs):
        raise SystemExit

    monkeypatch.setattr(session_module, "preview", dies)
    with contextlib.suppress(SystemExit):
        train(tmp_path)
    assert checkpoint.latest(tmp_path)[0].card["step"] == 2


def test_many_classes_are_shown_in_few_pictures_a_few_at_a_time(monkeypatch):
    net = replace(TINY.net, num_classes=300)
    denoiser = replace(TINY, net=net).make_denoiser()
    asked, before = [], log_module.generate
    monkeypatch.setattr(
        log_module, "generate", lambda d, xT, **k: asked.append(len(xT)) or before(d, xT, **k)
    )
    grid = log_module.preview(denoiser, chunk=16, steps=2)
    assert grid.shape == (40, 1, 8, 8)
    assert asked == [16, 16, 8]


# Values


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.rand(8, 1, 8, 8) * 255, r"must lie in \[-1, 1\], got .*try: images / 127.5 - 1"),
        (torch.rand(8, 1, 8, 8), r"must lie in \[-1, 1\], got .*try: images \* 2 - 1"),
        (
            torch.randint(0, 2, (8, 1, 8, 8), dtype=torch.uint8),
            r"must be grey levels 0\.\.255, got .*try: images \* 255",
        ),
        (torch.full((8, 1, 8, 8), torch.nan), "must be finite"),
        (torch.linspace(-3, 3, 512).view(8, 1, 8, 8), r"must lie in \[-1, 1\], got values up to 3"),
    ],
    ids=["0..255", "0..1", "mask", "nan", "beyond"],
)
def test_images_whose_values_are_wrong_are_refused_with_what_to_try(tmp_path, images, says):
    with pytest.raises(ValueError, match=f"^images {says}"):
        session(tmp_path / "run", images=images)
    assert not (tmp_path / "run").exists()


def test_the_recordings_of_a_run_are_whole(straight):
    grids = read_grids(straight)
    assert sorted(grids) == [2, 4]
    assert all(g.dtype == np.uint8 and g.shape == (4, 1, 8, 8) for g in grids.values())
