"""What every interactive figure shares: one ES module, four forms, the question before it.

To add a widget `Thing`:
1. `thing.js`: an ES module that ends in `export default { render };`, with
   `function render({ model, el })` returning `frame({ model, el }, setting, build)`. The helpers
   in `shared/*.js` are put in front of it, so it imports nothing. The widget's own style sheet is
   `layout` in its setting: the frame puts it into the document, once.
2. `thing.py`: `class Thing(InteractiveFigure)` with `_module = "thing.js"`, its traits tagged
   `sync=True` (the state), an `__init__` that calls `super().__init__(data=…, predict=…, **state)`,
   and `_picture(figure)` and `_sentence()` for the readers without JavaScript.
Data go over once, as `{"name": pack(array)}`, at most 300 kB; all that follows a slider is
computed in JavaScript. The text of the module is the same in Jupyter (anywidget's `_esm`) and in
a static page (`text/html`, where a small stand-in plays the model).
"""

from __future__ import annotations

import base64
import copy
import io
import json
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import numpy as np
import traitlets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

_HERE = Path(__file__).parent
_SHARED = ("style", "math", "dom", "frame", "predict", "address", "controls", "canvas")
_DTYPES = ("uint8", "float16", "float32", "float64")
_LIMIT = 300_000  # bytes of data a widget may hand over, in base64


@dataclass(frozen=True)
class Prediction:
    """A question to answer before the figure is shown.

    The texts may use the small markup of the widgets: *t* (italic), _t or _{t−1}, ^2, √{…}.

    Args:
        question: what the reader predicts.
        options: at least two answers to choose from.
        answer: index of the right one.
        reason: shown afterwards, right or wrong.

    Raises:
        ValueError: fewer than two options, or no option has the index `answer`.
    """

    question: str
    options: tuple[str, ...]
    answer: int
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if len(self.options) < 2:
            raise ValueError(f"options must be at least two, got {len(self.options)}")
        if not 0 <= self.answer < len(self.options):
            raise ValueError(f"answer must be in 0..{len(self.options) - 1}, got {self.answer}")


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """An array as JavaScript's `unpack` reads it: dtype, shape, little-endian bytes in base64."""
    name = array.dtype.name
    if name not in _DTYPES:
        raise ValueError(f"array must have a dtype of {', '.join(_DTYPES)}, got {name}")
    raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return {"dtype": name, "shape": list(array.shape), "b64": base64.b64encode(raw).decode()}


def in_colab() -> bool:
    """Whether the front end is Colab's, which would prefer text/html to the live view."""
    try:
        import google.colab  # noqa: F401
    except ImportError:
        return False
    return True


def has_kernel() -> bool:
    """Whether this runs in a Jupyter kernel, so that a live view can exist."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


class InteractiveFigure(anywidget.AnyWidget):
    """Base of the book's widgets; see the module's text for how to add one.

    Traits:
        predicted: the reader's answer to `predict`; -1 not yet, -2 asked to be shown.
    """

    _module: ClassVar[str] = ""
    _parts: ClassVar[tuple[str, ...]] = ()  # further modules, put between the shared ones and it
    _esm = "export default { render() {} };"

    _data = traitlets.Dict().tag(sync=True)
    _predict = traitlets.Dict().tag(sync=True)
    predicted = traitlets.Int(-1).tag(sync=True)

    def __init_subclass__(cls) -> None:
        # Only where it is written: traitlets makes further subclasses of its own.
        if "_module" in cls.__dict__:
            shared = [_HERE / "shared" / f"{name}.js" for name in _SHARED]
            paths = [*shared, *(_HERE / part for part in (*cls._parts, cls._module))]
            cls._esm = "\n".join(path.read_text(encoding="utf-8") for path in paths)
        super().__init_subclass__()

    def __init__(self, *, data: dict[str, Any], predict: Prediction | None, **state: Any) -> None:
        size = len(json.dumps(data))
        if size > _LIMIT:
            raise ValueError(f"data must be at most {_LIMIT} bytes in base64, got {size}")
        super().__init__(_data=data, _predict=asdict(predict) if predict else {}, **state)

    def _picture(self, figure: Figure) -> None:
        """Draw the present state for readers without JavaScript."""
        raise NotImplementedError

    def _sentence(self) -> str:
        """Say the present state in one sentence."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything the ES module reads, as JSON-able values: the data and the traits."""
        inherited = anywidget.AnyWidget.class_trait_names(sync=True)
        names = set(type(self).class_trait_names(sync=True)) - set(inherited)
        names -= {"_esm", "_css", "_anywidget_id"}  # the module itself, which the page has already
        return {name: getattr(self, name) for name in sorted(names)}

    def to_png(self) -> bytes:
        """The present state as a small PNG, drawn with matplotlib."""
        figure = Figure(figsize=(7.2, 3.6), dpi=110, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        self._picture(figure)
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png")
        # 96 colours are plenty for a plot and a grey image, and a quarter of the bytes.
        Image.open(drawn).convert("RGB").quantize(96).save(small, format="png", optimize=True)
        return small.getvalue()

    def to_html(self) -> str:
        """A self-contained piece of HTML: the same ES module, its state, a picture without JS."""
        name = type(self).__name__
        # "<" is written \u003c, so that no text in the data can end the script element.
        state = json.dumps(self.state(), ensure_ascii=False).replace("<", "\\u003c")
        png = base64.b64encode(self.to_png()).decode()
        # Not a module: it runs where it stands, so that nothing below it moves when it is there.
        script = self._esm.replace("export default { render };", "")
        return (
            f'<div class="dmw-host" data-dmw-host="{name}">'
            f'<script type="application/json">{state}</script>'
            f'<noscript><img alt="{escape(self._sentence())}" src="data:image/png;base64,{png}">'
            f"</noscript></div>\n"
            f'<script>\n(() => {{\n{script}\nmountStatic("{name}", render);\n}})();\n</script>'
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._sentence()}"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live, metadata = super()._repr_mimebundle_(**kwargs) if has_kernel() else ({}, {})
        png = base64.b64encode(self.to_png()).decode()
        forms = {**live, "text/plain": repr(self), "image/png": png}
        # Colab ranks text/html above the live view, so there the live view stands alone with the
        # picture that GitHub shows.
        if not (live and in_colab()):
            forms["text/html"] = self.to_html()
        return forms, metadata


def on_cpu(net: Any) -> Any:
    """The network that a figure computes with: a copy on the CPU, where it lies elsewhere."""
    elsewhere = any(x.device.type != "cpu" for x in net.parameters())
    return copy.deepcopy(net).to("cpu") if elsewhere else net
