"""Data: a shipped sample of real images, the full sets, and toys whose law is known exactly."""

from dmlib.data.captions import captions_of, read_caption, tokenize
from dmlib.data.cifar import CIFAR10_CLASS_NAMES, cifar10
from dmlib.data.download import DataError
from dmlib.data.fashion import CLASS_NAMES, fashion_mnist
from dmlib.data.folder import Pictures, folder, save_png
from dmlib.data.garments import garment_mixture, unseen_garments
from dmlib.data.sample import fashion_sample, fashion_sample_indices
from dmlib.data.scaling import check_range, check_signed, to_uint8, to_unit
from dmlib.data.scenes import Scenes, draw_scenes, seen_pairs
from dmlib.data.toys import (
    ground_truth_mixture,
    ground_truth_mixture_2d,
    ring_of_heaps,
    swiss_roll,
    swiss_roll_3d,
    swiss_roll_3d_moments,
    swiss_roll_moments,
    two_moons,
    two_moons_moments,
)

__all__ = [
    "CIFAR10_CLASS_NAMES",
    "CLASS_NAMES",
    "DataError",
    "Pictures",
    "Scenes",
    "captions_of",
    "check_range",
    "check_signed",
    "cifar10",
    "draw_scenes",
    "fashion_mnist",
    "fashion_sample",
    "fashion_sample_indices",
    "folder",
    "garment_mixture",
    "ground_truth_mixture",
    "ground_truth_mixture_2d",
    "read_caption",
    "ring_of_heaps",
    "save_png",
    "seen_pairs",
    "swiss_roll",
    "swiss_roll_3d",
    "swiss_roll_3d_moments",
    "swiss_roll_moments",
    "to_uint8",
    "to_unit",
    "tokenize",
    "two_moons",
    "two_moons_moments",
    "unseen_garments",
]
