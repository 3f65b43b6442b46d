"""Laws of going on: what is put back fits, or nothing is touched and the reason is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dmlib import checkpoint
from dmlib.checkpoint import Checkpoint, CheckpointError
from dmlib.models import MLP, predicts_eps
from dmlib.schedules import NoiseSchedule, cosine_schedule, linear_schedule
from dmlib.training import resume
from dmlib.training.config import TrainConfig
from dmlib.training.loop import Training

COSINE = cosine_schedule(40)
Change = Callable[[dict[str, Tensor], dict[str, Any]], object]


def make(*, net: torch.nn.Module | None = None, schedule=COSINE, **changes) -> Training:
    torch.manual_seed(0)
    config = TrainConfig(**{"steps": 6, "warmup": 0, "ema_decay": 0.9, **changes})
    return Training(predicts_eps(net or MLP(2, width=8, depth=1), schedule), config=config)


def trained(steps: int = 3, **settings) -> Training:
    training = make(**settings)
    g = torch.Generator().manual_seed(1)
    data = ((torch.randn((8, 2), generator=g), None) for _ in range(steps))
    assert len(list(training.run(data))) == steps
    return training


def saved(folder, training: Training, change: Change = lambda tensors, card: None) -> Checkpoint:
    """The training on disk, changed by hand, with a card that vouches for the change."""
    tensors, card = resume.state(training)
    change(tensors, card)
    return checkpoint.save(folder, tensors, card, step=training.step)


def everything(training: Training) -> dict[str, Tensor]:
    numbers = torch.tensor([training.step, training.ema.updates])
    return {k: x.clone() for k, x in resume.state(training)[0].items()} | {"numbers": numbers}


SCALED = torch.amp.GradScaler("cpu").state_dict()


def put(**fields) -> Change:
    return lambda tensors, card: card.update(fields)


def drop(name: str) -> Change:
    return lambda tensors, card: (card.pop(name, None), tensors.pop(name, None))


def tensor(name: str, x: Tensor) -> Change:
    return lambda tensors, card: tensors.update({name: x})


def without(prefix: str) -> Change:
    def change(tensors, card):
        for name in [name for name in tensors if name.startswith(prefix)]:
            del tensors[name]

    return change


SPOILT = {
    "kind": (put(kind="x"), r"no state of a training \(kind: 'x'\)"),
    "no kind": (drop("kind"), r"no state of a training \(kind: None\)"),
    "step in letters": (put(step="5"), "card's step must be a whole number >= 0, got '5'"),
    "step below zero": (put(step=-5), "card's step must be a whole number >= 0, got -5"),
    "step null": (put(step=None), "card's step must be .* got None"),
    "step true": (put(step=True), "card's step must be .* got True"),
    "no step": (drop("step"), "card's step must be .* got None"),
    "no updates": (drop("ema_updates"), "card's ema_updates must be .* got None"),
    "no schedule": (drop("schedule"), "trained with the schedule None, T = 40; here it is 'cos"),
    "other T": (put(T=50), "trained with the schedule 'cosine', T = 50; here .* T = 40"),
    "table": (put(alpha_bar=None), "alpha_bar must be 17 numbers, got None"),
    "no moments": (without("optimizer."), "Adam's moments are missing: 0 parameters"),
    "one moment less": (without("optimizer.3."), "Adam's moments are missing: 13 parameters"),
    "no Adam's step": (drop("optimizer.0.step"), r"optimizer.0 must be a step and exp_avg"),
    "moment's shape": (tensor("optimizer.0.exp_avg", torch.zeros(7)), r"optimizer.0 must .*\(7,\)"),
    "foreign moment": (
        tensor("optimizer.99.step", torch.zeros(())),
        "optimizer.99.step is of none",
    ),
    "lettered moment": (tensor("optimizer.x.step", torch.zeros(())), "optimizer.x.step is of none"),
    "scaler's names": (put(scaler={"scale": 1.0}), r"scaler must be \{\} or hold \['_growth"),
    "scaler's value": (put(scaler={**SCALED, "scale": "2"}), r"scaler.scale must be a number"),
    "steps lost": (put(lost=-1), "card's lost must be a whole number >= 0, got -1"),
    "weights' type": (
        lambda tensors, card: tensors.update({"ema.net.head.bias": torch.zeros(2).long()}),
        r"holds another network \(ema: net.head.bias differs\)",
    ),
    "no average": (without("ema."), r"holds another network \(ema: "),
}


@pytest.mark.parametrize(("change", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_a_spoilt_state_is_refused_by_file_and_field_and_changes_nothing(tmp_path, change, message):
    found = saved(tmp_path, trained(), change)
    training = trained(2, learning_rate=0.1)
    before = everything(training)
    with pytest.raises(CheckpointError, match=rf"step_000000003\.safetensors: .*{message}"):
        resume.restore(training, found)
    after = everything(training)
    assert all(torch.equal(after[name], x) for name, x in before.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"net": MLP(2, width=16, depth=1)}, r"holds another network \(net: .* differs\)"),
        ({"schedule": linear_schedule(40)}, "trained with the schedule 'cosine', T = 40; here"),
        ({"schedule": cosine_schedule(40, s=0.1)}, "another schedule of the name 'cosine'"),
        ({"weighting": "v"}, "trained with weighting = 'simple', here it is 'v'; try: the same"),
        (
            {"seed": 7},
            "trained with seed = 0, here it is 7; try: the same seed, or another folder",
        ),
    ],
    ids=["network", "schedule", "its table", "weighting", "seed"],
)
def test_another_trainings_state_is_refused(tmp_path, settings, message):
    found = saved(tmp_path, trained())
    with pytest.raises(CheckpointError, match=message):
        resume.restore(make(**settings), found)


def test_one_changed_beta_makes_another_schedule(tmp_path):
    found = saved(tmp_path, trained(schedule=NoiseSchedule(COSINE.beta)))
    resume.restore(make(schedule=NoiseSchedule(COSINE.beta)), found)
    for t in (1, 17, 40):
        beta = COSINE.beta.clone()
        beta[t] *= 1.001
        with pytest.raises(CheckpointError, match="another schedule of the name 'custom'"):
            resume.restore(make(schedule=NoiseSchedule(beta)), found)


def test_what_may_change_on_the_way_may(tmp_path):
    found = saved(tmp_path, trained())
    training = make(learning_rate=1e-4, steps=50, warmup=9, accumulation=2, label_dropout=0.5)
    resume.restore(training, found)
    assert (training.step, training.ema.updates) == (3, 3)


def test_a_state_of_before_its_card_told_more_is_gone_on_with(tmp_path):
    def older(tensors, card):
        for name in ("alpha_bar", "slots", "scaler", "lost"):
            del card[name]
        tensors["random.training"] = torch.Generator().get_state()

    straight = trained()
    training = make()
    resume.restore(training, saved(tmp_path, straight, older))
    expected = everything(straight)
    assert all(torch.equal(x, expected[name]) for name, x in everything(training).items())


def test_a_parameter_that_got_no_gradient_stands_in_nobodys_way(tmp_path):
    def net() -> MLP:
        torch.manual_seed(0)
        mlp = MLP(2, width=8, depth=1)
        mlp.idle = torch.nn.Parameter(torch.ones(3))
        return mlp

    training = make(net=net())
    resume.restore(training, saved(tmp_path, trained(net=net())))
    assert training.step == 3


def test_a_run_not_yet_begun_is_put_back(tmp_path):
    training = trained(2)
    resume.restore(training, saved(tmp_path, make()))
    assert (training.step, len(training.optimizer.state)) == (0, 0)


def test_a_network_with_shared_weights_goes_on_bit_for_bit(tmp_path):
    def net() -> MLP:
        torch.manual_seed(0)
        mlp = MLP(2, width=8, depth=2)
        mlp.layers[1] = mlp.layers[0]
        return mlp

    straight, training = trained(net=net()), make(net=net())
    resume.restore(training, saved(tmp_path, straight))
    expected = everything(straight)
    assert all(torch.equal(x, expected[name]) for name, x in everything(training).items())


# The weights alone


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_may_start_from_the_averaged_weights_of_another(tmp_path, whole):
    old = trained()
    averaged = old.ema.net.state_dict()
    path = saved(tmp_path, old).path
    if not whole:  # as a finished run leaves them: the inner network's
        path = tmp_path / "weights.safetensors"
        inner = {name.removeprefix("net."): x for name, x in averaged.items()}
        checkpoint.write(path, inner, {"kind": "MLP"})
    new = make()
    resume.start_from(new, path)
    assert (new.step, new.ema.updates, len(new.optimizer.state)) == (0, 0, 0)
    for net in (new.net, new.ema.net):
        for name, x in net.state_dict().items():
            assert torch.equal(x, averaged[name])


def test_a_start_from_another_network_or_in_the_middle_is_refused(tmp_path):
    path = saved(tmp_path, trained()).path
    other = Training(predicts_eps(MLP(2, width=16, depth=1), COSINE), config=TrainConfig(steps=3))
    before = {name: x.clone() for name, x in other.net.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"step_000000003.*another network"):
        resume.start_from(other, path)
    assert all(torch.equal(x, before[name]) for name, x in other.net.state_dict().items())
    with pytest.raises(ValueError, match="must not have begun, got one after step 3"):
        resume.start_from(trained(), path)


@pytest.mark.parametrize("part", ["ema", "net"])
def test_the_weights_alone_come_out_of_a_training(tmp_path, part):
    training = trained()
    path = saved(tmp_path, training).path
    net = predicts_eps(MLP(2, width=8, depth=1).train(), COSINE)
    assert resume.load_weights(path, net, part=part) is net
    source = training.ema.net if part == "ema" else training.net
    for name, x in source.state_dict().items():
        assert torch.equal(net.state_dict()[name], x)
    assert not net.training


def test_the_weights_alone_go_into_their_own_network_only(tmp_path):
    path = saved(tmp_path, trained()).path
    other = predicts_eps(MLP(2, width=16, depth=1), COSINE)
    with pytest.raises(CheckpointError, match=r"step_000000003.*another network \(ema: "):
        resume.load_weights(path, other)
    with pytest.raises(ValueError, match=r"^part must be .* got 'raw'"):
        resume.load_weights(path, other, part="raw")
    foreign = checkpoint.write(tmp_path / "x.safetensors", {"a": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="no state of a training"):
        resume.load_weights(foreign.path, other)


def test_load_unet_says_how_the_weights_come_out_of_a_training(tmp_path):
    path = saved(tmp_path, trained()).path
    with pytest.raises(CheckpointError, match=r"state of a training; try: resume.load_weights\("):
        checkpoint.load_unet(path)
