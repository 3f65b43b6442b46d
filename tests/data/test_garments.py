"""The garments whose law is known, and those that nothing was trained on."""

from __future__ import annotations

import json

import pytest
import torch

from dmlib.assets import ASSETS
from dmlib.data import fashion_mnist, fashion_sample, garment_mixture, to_unit, unseen_garments
from dmlib.data.download import DataError
from dmlib.data.fashion import DEBIAN
from dmlib.data.stored import shipped_arrays

CARD = json.loads((ASSETS / "garment_mixture.json").read_text())


def test_exact_regions_hold_the_truth_as_often_as_they_say():
    """400 garments of the mixture, half hidden: 90 % regions of log p hold 85 to 95 % of them."""
    g = torch.Generator().manual_seed(3)
    mixture, seen = garment_mixture(), torch.arange(784) < 392
    truth = mixture.repeated(400).sample(g)
    posterior = mixture.given_seen(seen, truth[:, seen])
    own = torch.stack([posterior.log_prob(posterior.sample(g)) for _ in range(60)])
    inside = posterior.log_prob(truth[:, ~seen]) >= own.quantile(0.1, dim=0)
    assert 0.85 < float(inside.double().mean()) < 0.95


def test_the_mixture_says_of_garments_what_its_card_says():
    unseen = to_unit(unseen_garments()).flatten(1).double()
    nats, told = garment_mixture().log_prob(unseen), CARD["log_prob_nats"]["test"]
    assert abs(float(nats.mean()) - told["mean"]) < 4 * told["std"] / 10  # 100 garments
    flipped = unseen.view(-1, 28, 28).flip(1).flatten(1)  # upside down: no garments
    assert float(garment_mixture().log_prob(flipped).mean()) < float(nats.mean()) - told["std"]


def test_unseen_garments_are_none_of_the_training_sample():
    unseen = unseen_garments()
    assert (unseen.shape, unseen.dtype) == ((100, 28, 28), torch.uint8)
    known = {bytes(x.numpy()) for x in fashion_sample()[0]}
    assert not [x for x in unseen if bytes(x.numpy()) in known]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_unseen_garments_are_those_of_the_test_split_that_the_card_names():
    stored = shipped_arrays("garment_mixture")
    images, labels = fashion_mnist("test")
    where = torch.from_numpy(stored["unseen_indices"])
    assert torch.equal(images[where], unseen_garments())
    assert labels[where].tolist() == [i % 10 for i in range(100)]


def test_a_name_that_nothing_has_is_an_error():
    with pytest.raises(DataError, match=r"made_up\.npz and its card.*try: reinstall dmlib"):
        shipped_arrays("made_up")
