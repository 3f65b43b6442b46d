"""Say what shall be seen: four pictures of a caption, and where their pixels look for each word."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

from dmlib.book.said import MOMENTS, RECORDED, SCALES, STEPS, recorded, walk_of
from dmlib.book.widgets.base import InteractiveFigure, Prediction, pack
from dmlib.checkpoint import load_words
from dmlib.data.captions import LENGTH, WORDS, unknown_words, words_of
from dmlib.models import NetDenoiser


class SayIt(InteractiveFigure):
    """Four pictures of a caption on their way from noise, and a map for each of its words.

    In a static page recorded captions can be chosen, at three strengths of guidance; in a notebook
    the kernel draws any caption of the grammar, with a negative prompt and a seed. Words that the
    network does not know are named.

    Traits (synchronised): text, the caption; guidance_scale, 1, 2 or 4; negative, a caption to go
    away from; seed >= 1 (the last two in a notebook only); moment 0..3, how far the walk is; word,
    which word's map is shown, -1 for none.

    Args:
        text: the caption at the start, one of `RECORDED`.
        net: as `load_words` gives it; the shipped one where None.
        predict: a question to answer before the figure appears.
    """

    _module = "say_it.js"
    text = traitlets.Unicode(RECORDED[2]).tag(sync=True)
    guidance_scale = traitlets.Enum(SCALES, 2).tag(sync=True)
    negative = traitlets.Unicode("").tag(sync=True)
    seed = traitlets.Int(1, min=1).tag(sync=True)
    moment = traitlets.Int(len(MOMENTS) - 1, min=0, max=len(MOMENTS) - 1).tag(sync=True)
    word = traitlets.Int(-1, min=-1, max=LENGTH - 2).tag(sync=True)

    def __init__(
        self,
        *,
        text: str = RECORDED[2],
        net: NetDenoiser | None = None,
        predict: Prediction | None = None,
    ) -> None:
        self._net = net
        walks = [[recorded(i, scale) for scale in SCALES] for i in range(len(RECORDED))]
        parts = [np.concatenate([w[k] for row in walks for w in row]) for k in range(3)]
        data: dict[str, Any] = {
            "words": WORDS,
            "length": LENGTH,
            "recorded": RECORDED,
            "scales": SCALES,
            "t": [1000 * (STEPS - m) // STEPS for m in MOMENTS],
            **dict(zip(("palettes", "pixels", "maps"), map(pack, parts), strict=True)),
        }
        super().__init__(data=data, predict=predict, text=text)
        self.on_msg(self._answer)

    def _answer(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """A view asks the kernel for a walk: its pictures and maps go back as bytes."""
        if content.get("kind") != "say":
            return
        try:
            self._net = self._net or load_words()[0]
            walk = walk_of(
                self._net,
                str(content["text"]),
                scale=float(content["scale"]),
                negative=str(content["negative"]),
                seed=int(content["seed"]),
            )
        except Exception as error:
            # Whatever goes wrong belongs into the figure, not into a log.
            self.send({"kind": "error", "id": content["id"], "text": f"{error}"})
            return
        said = {"kind": "walk", "id": content["id"], "t": list(walk.t)}
        self.send(said, [walk.x0_hat.tobytes(), walk.maps.tobytes()])

    def pictures(self) -> np.ndarray:
        """The recorded pictures of the present text and guidance, (4 moments, 4, 32, 32, 3) uint8.

        Raises:
            ValueError: the text was not recorded.
        """
        if self.text not in RECORDED:
            raise ValueError(f"text must be one of RECORDED, got {self.text!r}")
        palette, pixels, _ = recorded(RECORDED.index(self.text), self.guidance_scale)
        index = np.stack([pixels >> 4, pixels & 15], 1).reshape(len(MOMENTS), 4, 32, 32)
        palettes = palette.reshape(len(MOMENTS), 16, 3)
        return np.stack([colours[i] for colours, i in zip(palettes, index, strict=True)])

    def maps(self) -> np.ndarray:
        """The recorded maps of the present text and guidance, (4 moments, 4, words, 8, 8) 0..15."""
        _, _, maps = recorded(RECORDED.index(self.text), self.guidance_scale)
        return np.stack([maps >> 4, maps & 15], 1).reshape(len(MOMENTS), 4, -1, 8, 8)

    def _picture(self, figure: Figure) -> None:
        known = self.text in RECORDED
        shown = self.pictures()[self.moment] if known else np.zeros((4, 32, 32, 3), np.uint8)
        for axes, picture in zip(figure.subplots(1, 4), shown, strict=True):
            axes.imshow(picture)
            axes.axis("off")
        figure.suptitle(f"“{self.text}”, guidance {self.guidance_scale}")

    def _sentence(self) -> str:
        strange = unknown_words(self.text)
        known = f"does not know {', '.join(strange)}" if strange else "reads each word"
        return (
            f"Four pictures that a network draws of the {len(words_of(self.text))} words "
            f"“{self.text}” with guidance {self.guidance_scale}; it {known}."
        )
