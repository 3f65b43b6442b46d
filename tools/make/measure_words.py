"""Measure the network that draws scenes from captions, and ship it: weights, card, recordings.

    python tools/make/measure_words.py              everything, as shipped
    python tools/make/measure_words.py --share 0.1  a tenth of the pictures, to try it out

Reads runs/words/last.safetensors (tools/make/train_words.py) and writes dmlib/assets/words_unet
(.safetensors in 16 bits, .json with every figure of the chapter) and words_run.npz.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dmlib import checkpoint
from dmlib.applications.text_to_image import overlap_with_mask, say, word_maps
from dmlib.assets import ASSETS
from dmlib.book.said import record
from dmlib.data import captions_of, draw_scenes, seen_pairs, tokenize
from dmlib.data.captions import WORDS
from dmlib.data.scenes import COLOURS, HELD_OUT, SHAPES, Scenes
from dmlib.forward import q_sample
from dmlib.metrics import frechet_distance, frechet_spread
from dmlib.metrics.scenes import ATTRIBUTES, Verdict, judge_captions
from dmlib.models import NetDenoiser, predicts_v
from dmlib.models.text_unet import TextUNet, TextUNetConfig
from dmlib.schedules import cosine_schedule

ROOT = Path(__file__).resolve().parents[2]
LAST = ROOT / "runs" / "words" / "last.safetensors"
SCALES, CHOSEN, STEPS, SEED = (1.0, 2.0, 4.0), 2.0, 20, 7
TIMES = (100, 300, 500, 700, 900)


def seeded(number: int) -> Generator:
    return Generator().manual_seed(1000 * SEED + number)


def wilson(hits: int, n: int) -> list[float]:
    """Share and its 95 % interval (Wilson 1927)."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [
        round(max(0.0, x / (1 + z * z / n)), 4)
        for x in (p * (1 + z * z / n), middle - half, middle + half)
    ]


def drawn(net: NetDenoiser, texts: list[str], scale: float, number: int) -> Tensor:
    """A picture for each caption, in batches of 50."""
    generator = seeded(number)
    parts = [texts[i : i + 50] for i in range(0, len(texts), 50)]
    make: Callable[[list[str]], Tensor] = lambda part: say(  # noqa: E731
        net, part, generator=generator, guidance_scale=scale, times=STEPS
    )
    return torch.cat([make(part) for part in parts]).clamp(-1, 1)


def tally(verdicts: list[Verdict]) -> dict[str, Any]:
    """Shares of what is right, each with its interval."""
    n = len(verdicts)
    found: dict[str, Any] = {"n": n, "all": wilson(sum(v.all_right for v in verdicts), n)}
    found["count"] = wilson(sum(v.count for v in verdicts), n)
    found["clean"] = wilson(sum(v.clean for v in verdicts), n)
    right, asked = (
        torch.tensor([getattr(v, w) for v in verdicts]).sum(0) for w in ("right", "asked")
    )
    for name, r, a in zip(ATTRIBUTES, right.tolist(), asked.tolist(), strict=True):
        found[name] = wilson(r, a) if a else None
    found["attributes"] = wilson(int(right.sum()), int(asked.sum()))
    for name in ("relation", "exchanged"):
        told = [getattr(v, name) for v in verdicts if getattr(v, name) is not None]
        found[name] = wilson(sum(told), len(told)) if told else None
    return found


def kinds(n: int) -> dict[str, tuple[Scenes, list[str]]]:
    """Scenes of several kinds, with captions, each from its own seed."""
    seen, held = seen_pairs(), ~seen_pairs()
    mixed = {"counts": (0.45, 0.45, 0.1), "pairs": seen}
    two = {"counts": (0, 1, 0), "alike": 0.0, "pairs": seen}
    plans: dict[str, tuple[dict[str, Any], Callable[[str], bool]]] = {
        "fresh": (mixed, lambda text: True),
        "one, seen": ({"counts": (1, 0, 0), "pairs": seen}, colours_named),
        "one, held out": ({"counts": (1, 0, 0), "pairs": held}, colours_named),
        "two of a kind": ({"counts": (0, 1, 0), "alike": 1.0, "pairs": seen}, starts("two")),
        "three of a kind": ({"counts": (0, 0, 1), "alike": 1.0, "pairs": seen}, starts("three")),
        "relation": (two, lambda text: any(w in text for w in RELATING) and colours_named(text)),
        "binding": (two, lambda text: binds(text) and colours_named(text)),
    }
    found = {}
    for number, (name, (plan, wanted)) in enumerate(plans.items()):
        generator = seeded(100 + number)
        scenes = draw_scenes(12 * n, generator=generator, **plan)
        texts = captions_of(scenes, generator=generator)
        chosen = [i for i, text in enumerate(texts) if wanted(text)][:n]
        found[name] = (scenes[torch.tensor(chosen)], [texts[i] for i in chosen])
    return found


RELATING = (" left of ", " right of ", " above ", " over ", " below ", " under ")


def starts(word: str) -> Callable[[str], bool]:
    return lambda text: text.startswith(word)


def colours_named(text: str) -> bool:
    """Whether every object has its colour."""
    words = text.split()
    return sum(w in COLOURS for w in words) == sum(w in SHAPES for w in words)


def binds(text: str) -> bool:
    """Two objects of two shapes and two colours, joined by "and"."""
    words = text.split()
    different = (len({w for w in words if w in names}) == 2 for names in (COLOURS, SHAPES))
    return " and " in text and all(different)


def looked_at(net: NetDenoiser, n: int) -> dict[str, Any]:
    """IoU of the maps of a colour's, a shape's and an "a"'s word with the mask, by t and block."""
    generator = seeded(200)
    scenes = draw_scenes(
        6 * n, generator=generator, counts=(0, 1, 0), alike=0.0, pairs=seen_pairs()
    )
    texts = captions_of(scenes, generator=generator)
    chosen = [i for i, text in enumerate(texts) if binds(text) and colours_named(text)][:n]
    scenes, tokens = scenes[torch.tensor(chosen)], tokenize([texts[i] for i in chosen])
    colour, shape = (
        [WORDS.index(names[i]) for i in values[:, 0].tolist()]
        for names, values in ((COLOURS, scenes.colour), (SHAPES, scenes.shape))
    )
    found: dict[str, Any] = {"n": len(chosen), "by_t": {}}
    eps = torch.randn(scenes.images.shape, generator=generator)
    for t in TIMES:
        xt = q_sample(scenes.images, t, eps, schedule=net.path)
        row: dict[str, Any] = {}
        for block, maps in word_maps(net.net, xt, t, tokens).items():
            row[block] = {}
            for word, numbers in (("colour", colour), ("shape", shape)):
                at = (tokens == torch.tensor(numbers)[:, None]).int().argmax(1)
                own = maps[torch.arange(len(maps)), at]
                for whose, mask in (("own", 0), ("other", 1)):
                    iou = overlap_with_mask(own, scenes.masks[:, mask])
                    row[block][f"{word}, {whose}"] = [
                        round(float(iou.mean()), 4), round(float(iou.std() / len(iou) ** 0.5), 4)
                    ]  # fmt: skip
        found["by_t"][str(t)] = row
    return found


def in_blocks(images: Tensor) -> Tensor:
    """Features (N, 96): mean and spread of each colour in the 4 x 4 blocks of 8 x 8 pixels."""
    blocks = images.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)  # (N, 3, 4, 4, 64)
    return torch.cat([blocks.mean(-1), blocks.std(-1)], 1).flatten(1).double()


def quality(made: dict[float, Tensor], n: int) -> dict[str, Any]:
    """Fréchet distance to fresh scenes in `in_blocks`, with floor and spread; nearest scenes."""
    generator = seeded(300)
    data = draw_scenes(8000, generator=generator, counts=(0.45, 0.45, 0.1), pairs=seen_pairs())
    real = in_blocks(data.images)
    found: dict[str, Any] = {"n": n, "data": len(real), "by_scale": {}}
    for scale, images in made.items():
        seen = in_blocks(images)
        spread = frechet_spread(seen, real, resamples=20, generator=generator)
        found["by_scale"][str(scale)] = [
            round(frechet_distance(seen, real), 4), round(float(spread.std()), 4)
        ]  # fmt: skip
    fresh = draw_scenes(n, generator=generator, counts=(0.45, 0.45, 0.1), pairs=seen_pairs())
    found["floor"] = round(frechet_distance(in_blocks(fresh.images), real), 4)
    near = {
        name: torch.cdist(images.flatten(1), data.images.flatten(1)).amin(1) / 3072**0.5
        for name, images in (("made", made[CHOSEN]), ("fresh", fresh.images))
    }
    found["nearest"] = {
        name: [round(float(x.median()), 4), round(float(x.min()), 4)] for name, x in near.items()
    }
    return found


def judged(n: int) -> dict[str, Any]:
    """How often the judge itself is right, on fresh scenes and their captions."""
    generator = seeded(400)
    scenes = draw_scenes(n, generator=generator, counts=(1, 1, 1))
    return tally(judge_captions(scenes.images, captions_of(scenes, generator=generator)))


def grey_levels(images: Tensor) -> np.ndarray:
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def measure(net: NetDenoiser, share: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Every figure of the chapter, and the pictures that it shows."""
    n = int(400 * share)
    sets, found, kept = kinds(n), {}, {}
    found["judge"] = judged(int(4000 * share))
    made: dict[float, Tensor] = {}
    for scale in SCALES:
        for name in ("fresh", "one, held out", "one, seen"):
            texts = sets[name][1][: n if name == "fresh" else n // 2]
            images = drawn(net, texts, scale, 1)
            found.setdefault(name, {})[str(scale)] = tally(judge_captions(images, texts))
            if name == "fresh":
                made[scale] = images
            print(name, scale, found[name][str(scale)], flush=True)
    for name in ("two of a kind", "three of a kind", "relation", "binding"):
        texts = sets[name][1][: n // 2]
        images = drawn(net, texts, CHOSEN, 2)
        verdicts = judge_captions(images, texts)
        found[name] = tally(verdicts)
        print(name, found[name], flush=True)
        wrong = [i for i, v in enumerate(verdicts) if not v.all_right][:4]
        kept[f"wrong, {name}"] = (images[wrong], [texts[i] for i in wrong])
    found["maps"] = looked_at(net, int(300 * share))
    found["quality"] = quality(made, n)
    arrays = record(net)
    for name, (images, texts) in kept.items():
        arrays[f"{name}, images"] = grey_levels(images)
        arrays[f"{name}, texts"] = np.array(texts)
    return found, arrays


def write_run_card(card: dict[str, Any]) -> None:
    """The card of the recordings: what they are, of which weights, and their hash."""
    data = (ASSETS / "words_run.npz").read_bytes()
    weights = json.loads((ASSETS / "words_unet.json").read_text(encoding="utf-8"))
    run = {
        "what": "recorded walks of the network words_unet for the figure Say it, and the first "
        "pictures of four kinds of captions that the judge called wrong, with their captions",
        "licence": card["licence"],
        "data": card["data"],
        "command": "python tools/make/measure_words.py",
        "seeds": {"walks": 1, "captions and noise": 1000 * SEED},
        "device": card["device"],
        "torch": card["torch"],
        "date": card["date"],
        "weights_sha256": weights["sha256"],
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }
    (ASSETS / "words_run.json").write_text(json.dumps(run, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    share = parser.parse_args().share
    torch.set_num_threads(1)
    trained = checkpoint.read(LAST)
    net = TextUNet(TextUNetConfig(**trained.card["config"]))
    half = {name: x.half() for name, x in trained.tensors.items()}
    net.load_state_dict({name: x.float() for name, x in half.items()})  # what is shipped
    denoiser = predicts_v(net.eval().requires_grad_(False), cosine_schedule(1000))
    before = trained.card.get("before", [])
    begin = time.process_time()
    found, arrays = measure(denoiser, share)
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT
    )
    card = {
        "kind": "dmlib text unet",
        "what": "U-Net with a text transformer for scenes of coloured shapes, averaged weights",
        "data": "drawn by dmlib.data.scenes, captions by dmlib.data.captions; nothing downloaded",
        "licence": "MIT",
        "config": trained.card["config"],
        "predicts": "v",
        "schedule": "cosine",
        "T": 1000,
        "parameters": sum(p.numel() for p in net.parameters()),
        "held_out": [[SHAPES[s], COLOURS[c]] for s, c in HELD_OUT],
        "scenes_seen": sum(part["step"] * part["batch"] for part in (*before, trained.card)),
        "seconds": sum(part["seconds"] for part in (*before, trained.card)),
        "cpu_seconds": sum(part["cpu_seconds"] for part in (*before, trained.card)),
        "trained": {
            k: trained.card[k] for k in ("step", "seconds", "cpu_seconds", "batch", "train")
        },
        "losses": [x for part in (*before, trained.card) for x in part["losses"]],
        "before": [{k: v for k, v in part.items() if k != "losses"} for part in before],
        "command": "python tools/make/train_words.py --minutes 79; then, for each entry of before, "
        "again with --go-on; then python tools/make/measure_words.py",
        "device": f"one core of {platform.machine()} with AVX-512 BF16, shared with other work",
        "torch": torch.__version__,
        "revision": revision.stdout.strip(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "steps": STEPS,
        "chosen_scale": CHOSEN,
        "measured": found,
        "measured_cpu_seconds": round(time.process_time() - begin),
        "share": share,
    }
    checkpoint.write(ASSETS / "words_unet.safetensors", half, card)
    np.savez_compressed(ASSETS / "words_run.npz", **arrays)
    write_run_card(card)
    print(json.dumps(found["quality"]), time.process_time() - begin)


if __name__ == "__main__":
    main()
