"""What the build makes of pages: formulas, figures, style sheets, code, descriptions."""

import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

import bookcode  # noqa: E402
import bookfigures  # noqa: E402
import cards  # noqa: E402
import figures  # noqa: E402
import lighten  # noqa: E402
from bookmath import Drawn, tied  # noqa: E402

from dmlib.book import plotting  # noqa: E402

# --- formulas --------------------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("bookmath.KEPT", tmp_path / "maths.json")
    return Drawn()


def test_a_formula_is_drawn_said_and_keeps_its_tex(drawn):
    html = drawn.html((r"q(x_t \mid x_0) = \mathcal{N}(x_t)", True))
    assert "q of open paren x sub t given x sub 0 close paren equals" in html
    assert r'data-tex="q(x_t \mid x_0) = \mathcal{N}(x_t)"' in html
    assert set(re.findall(r'href="#(.+?)"', html)) <= set(drawn.glyphs)
    assert Drawn().formulas == drawn.formulas  # kept for the next build


@pytest.mark.parametrize(
    ("tex", "pieces"),
    [
        (r"a = b + c", 3),
        (r"a = -b", 2),  # a sign is no sum
        (r"f(a + b = c)", 1),  # not inside of brackets
        (r"\left(a + b\right) \le \frac{a + b}{c}", 2),
        (r"a, \qquad b = c", 3),
        (r"L =: M", 2),
        (r"\begin{aligned} a &= b \\ &\quad + c \end{aligned}", 4),
    ],
)
def test_a_formula_may_break_where_a_typesetter_would(drawn, tex, pieces):
    assert drawn.html((tex, True)).count("<svg") == pieces


def test_a_piece_too_wide_for_a_phone_breaks_inside_of_its_brackets(drawn):
    sums = " + ".join(rf"\frac{{x_{i}}}{{1 - \bar\alpha_{i}}}" for i in range(9))
    html = drawn.html((rf"L = \mathbb{{E}}\left[{sums}\right]", True))
    assert html.count("<svg") == 10
    widths = [float(width) for width in re.findall(r'width="([\d.]+)ex"', html)]
    assert max(widths) < 20


def test_a_wide_fraction_is_not_broken_inside_of_its_braces(drawn):
    top = " - ".join(rf"\operatorname{{sigm}}\bigl(a_{i} + b\bigr)" for i in range(7))
    assert (
        drawn.html((rf"\bar\alpha_t = \frac{{{top}}}{{c}}, \qquad a = 3", True)).count("<svg") == 4
    )


def test_tex_that_is_wrong_stops_the_build(drawn):
    with pytest.raises(ValueError, match="Undefined control sequence"):
        drawn.html((r"\nonsense{x}", False))


def test_a_mark_stays_on_the_line_of_its_formula():
    tie = re.compile(r"([(\[“]?)<!--f-->(.*?)<!--m-->([^\s<]*)")
    assert tie.sub(tied, "of <!--f-->x<!--m--> and") == "of x and"
    assert tie.sub(tied, "(<!--f-->x<!--m-->).") == '<span class="m-tied">(x).</span>'


# --- figures ---------------------------------------------------------------------------------


def test_panels_side_by_side_stand_below_each_other_on_a_phone():
    with plt.style.context(plotting.STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.4))
        for axis in axes:
            axis.plot(np.arange(9) ** 2)
        wide, narrow = bookfigures.parted(figures.print_figure(figure))
    plt.close(figure)
    (width, height), (slim, tall) = bookfigures.css_size(wide), bookfigures.css_size(narrow)
    assert width > 600
    assert slim <= 360
    assert tall > 2 * height


def test_labels_that_would_lie_on_each_other_keep_the_wide_figure():
    with plt.style.context(plotting.STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.9))
        plotting.image_grid(axes, np.zeros((10, 8, 8)), labels=[f"t = {t}00" for t in range(10)])
        assert bookfigures.parted(figures.print_figure(figure))[1] is None
    plt.close(figure)


@pytest.mark.parametrize("colour", [plotting.DATA, plotting.NOISE, plotting.MODEL, "#1A1A1A"])
def test_a_colour_can_be_told_from_the_dark_page(colour):
    def light(code):
        parts = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = light("".join(f"{part:02x}" for part in bookfigures.PAPER))
    assert (light(bookfigures.dark_colour(colour.removeprefix("#"))) + 0.05) / (paper + 0.05) > 4.5


# --- pages -----------------------------------------------------------------------------------


def test_a_style_sheet_keeps_the_rules_in_use():
    css = """
    .used { a: b } .gone { a: b } p, .gone p, .used > i { c: d }
    @media (max-width: 3px) { .gone { a: b } } @media print { .used:not(.gone) { e: f } }
    @font-face { src: url("x.woff") } a[title="}"] { g: h }
    """
    kept = lighten.purged(css, {"used"})
    assert "gone {" not in kept
    assert "p,.used > i{c: d}" in kept
    assert ".used:not(.gone){e: f}" in kept
    assert "max-width" not in kept
    assert "x.woff" in kept
    assert 'a[title="}"]{g: h}' in kept


def test_long_lines_of_code_are_set_anew_and_short_ones_left():
    assert bookcode.narrowed("x = ( 1 )") == "x = ( 1 )"
    long = f"call({', '.join(f'argument_{i}={i}' for i in range(8))});"
    found = bookcode.narrowed(long)
    assert max(map(len, found.splitlines())) <= 78
    assert found.endswith(");")
    assert bookcode.narrowed("%magic " + "x" * 90) == "%magic " + "x" * 90


def test_tex_in_a_description_is_readable():
    assert cards.plain_tex(r"q(x_t \mid x_{t-1}) = \sqrt{\bar\alpha_t}") == "q(x_t | x_t-1) = √α_t"
