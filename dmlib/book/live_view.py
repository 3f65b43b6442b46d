"""What one sees while a network trains: a bar, samples and curves, each replaced in place."""

from __future__ import annotations

import io
import time
from collections import deque
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray
from tqdm import tqdm

from dmlib.book import plotting
from dmlib.training.record import Record

Lines = list[dict[str, Any]]
EVERY_SECONDS = 0.5  # between two moves of the bar


class LiveView:
    """Progress in a notebook's output, or as a plain bar where there is no notebook.

    Args:
        steps: of the whole training.
        done: steps that were done before.
    """

    def __init__(self, steps: int, *, done: int = 0) -> None:
        self.steps, self.done = steps, done
        self.begin = self.moved = time.monotonic()
        self.recent: deque[Record] = deque(maxlen=50)
        self.notebook = in_notebook()
        self.bar_handle = self.picture_handle = None
        self.bar = None if self.notebook else tqdm(total=steps, initial=done, mininterval=2.0)

    def step(self, record: Record) -> None:
        """Move the bar."""
        self.recent.append(record)
        # Seldom: to read a loss is to wait for the device.
        due = time.monotonic() - self.moved > EVERY_SECONDS or record.step == self.steps
        if due:
            self.moved = time.monotonic()
        if self.bar is not None:
            if due:
                self.bar.set_postfix_str(self._numbers(), refresh=False)
            self.bar.update()
        elif due:
            self._show_bar(record.step)

    def picture(self, lines: Lines, grid: tuple[int, NDArray[np.uint8]] | None) -> None:
        """Replace the picture.

        Args:
            lines: of the run's log, see `runlog.read_log`.
            grid: (step, samples) of the newest grid, or None.
        """
        if not self.notebook or not lines:
            return
        shown = _Picture(run_png(lines, grid), f"Training after {lines[-1]['step']} steps")
        self.picture_handle = _display(self.picture_handle, shown)

    def close(self) -> None:
        """Leave what is shown as it is."""
        if self.bar is not None:
            self.bar.close()

    def _show_bar(self, step: int) -> None:
        elapsed = time.monotonic() - self.begin
        text = tqdm.format_meter(
            step, self.steps, elapsed, initial=self.done, postfix=self._numbers(), ncols=78
        )
        self.bar_handle = _display(self.bar_handle, _Bar(step, self.steps, text))

    def _numbers(self) -> str:
        finite = [r.loss for r in self.recent if r.finite]  # float16 may lose a step
        loss = sum(finite) / max(1, len(finite))
        rate = sum(r.images for r in self.recent) / sum(r.seconds for r in self.recent)
        return f"loss {loss:.4f}, {rate:.0f} images/s"


class _Bar:
    """A progress bar as HTML, with its words."""

    def __init__(self, step: int, steps: int, text: str) -> None:
        self.step, self.steps, self.text = step, steps, text

    def _repr_html_(self) -> str:
        return (
            f'<progress style="width:100%" aria-label="training" value="{self.step}" '
            f'max="{self.steps}"></progress><br><code>{escape(self.text)}</code>'
        )

    def __repr__(self) -> str:
        return self.text


class _Picture:
    """A PNG for a notebook."""

    def __init__(self, png: bytes, text: str) -> None:
        self.png, self.text = png, text

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return self.text


def in_notebook() -> bool:
    """Whether what is displayed can be replaced: a Jupyter kernel runs this."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def _display(handle: Any, shown: Any) -> Any:
    from IPython.display import display

    if handle is None:
        return display(shown, display_id=True)
    handle.update(shown)
    return handle


def run_png(lines: Lines, grid: tuple[int, NDArray[np.uint8]] | None) -> bytes:
    """A run so far as one picture: samples above, three curves below."""
    with plt_style():
        figure = Figure(figsize=(7.2, 4.9), dpi=110, layout="constrained", facecolor="white")
        rows = figure.subfigures(2, 1, height_ratios=(3, 2))
        top = rows[0].subplots()
        if grid is None:
            top.axis("off")
        else:
            samples(top, grid[1]).set_title(f"samples of the averaged network, step {grid[0]}")
        left, middle, right = rows[1].subplots(1, 3)
        loss_curve(left, lines).set_title("loss")
        bucket_curves(middle, lines).set_title("loss by range of $t$")
        gradient_curve(right, lines).set_title("gradient norm")
        out = io.BytesIO()
        figure.savefig(out, format="png")
    return out.getvalue()


def plt_style():
    """matplotlib with the book's style, for the time being."""
    from matplotlib import rc_context

    return rc_context({**plotting.STYLE, "font.size": 8.5, "axes.titlesize": 9})


def samples(axes: Axes, images: NDArray[np.uint8]) -> Axes:
    """A grid of samples (N, C, H, W) uint8, sorted by class: one column a class, grey or colour."""
    n = len(images)
    each = n // 10 if n % 10 == 0 else 1
    ordered = images.reshape(n // each, each, *images.shape[1:]).swapaxes(0, 1)
    ordered = ordered.reshape(images.shape)
    return plotting.image_grid(axes, ordered / 127.5 - 1, columns=n // each)


def loss_curve(axes: Axes, lines: Lines) -> Axes:
    """The loss over the steps: as it is, faint, and smoothed."""
    step, loss = _column(lines, "step"), _column(lines, "loss")
    axes.plot(step, loss, color=plotting.DATA, lw=0.7, alpha=0.45)
    axes.plot(step, smoothed(loss), color=plotting.DATA)
    return _over_steps(axes)


def bucket_curves(axes: Axes, lines: Lines) -> Axes:
    """The loss for each range of t, smoothed; dark is small t, that is little noise."""
    step = _column(lines, "step")
    table = np.array([[np.nan if b is None else b for b in x["buckets"]] for x in lines], float)
    K = table.shape[1]
    for k in range(K):
        color = (0.0, 0.15 + 0.6 * k / K, 0.35 + 0.5 * k / K)
        curve = smoothed(table[:, k])
        axes.plot(step, curve, color=color, lw=1.1)
        if k in (0, K - 1):
            name = "small $t$" if k == 0 else "large $t$"
            axes.annotate(name, (step[-1], curve[-1]), color=color, va="bottom", ha="right")
    return _over_steps(axes)


def gradient_curve(axes: Axes, lines: Lines) -> Axes:
    """The gradient's norm before it was cut."""
    step, norm = _column(lines, "step"), _column(lines, "grad_norm")
    axes.plot(step, norm, color=plotting.NOISE, lw=0.7, alpha=0.45)
    axes.plot(step, smoothed(norm), color=plotting.NOISE)
    return _over_steps(axes)


def _over_steps(axes: Axes) -> Axes:
    axes.set(xlabel="step", yscale="log")
    low, high = axes.get_ylim()
    between = () if high / low > 20 else (2.0, 5.0) if high / low > 4 else (2.0, 3.0, 4.0, 6.0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, *between)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    return axes


def smoothed(values: NDArray[np.float64], share: float = 0.05) -> NDArray[np.float64]:
    """Each value's mean with those just before it, as many as `share` of all; NaNs are left out."""
    width = max(1, round(share * len(values)))
    return np.array(
        [
            np.nan if np.isnan(part).all() else np.nanmean(part)
            for part in (values[max(0, i + 1 - width) : i + 1] for i in range(len(values)))
        ]
    )


def _column(lines: Lines, name: str) -> NDArray[np.float64]:
    return np.array([line[name] for line in lines], float)
