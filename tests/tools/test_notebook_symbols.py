"""The table of symbols at the end of a notebook holds what the chapter uses, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

from notebooks.symbols import symbols_used  # noqa: E402

NOTATION = (ROOT / "book" / "notation.md").read_text("utf-8")


def rows(text):
    return [line for line in symbols_used(NOTATION, text).splitlines() if line.startswith("| ")][1:]


def test_symbols_of_the_text_and_no_others():
    found = rows("The kernel $\\sqrt{\\bar\\alpha_t}\\,x_0$ and the SNR, said DDPM.")
    heads = [row.split("|")[1].strip() for row in found]
    assert "$\\bar\\alpha_t = \\prod_{s=1}^{t}\\alpha_s$" in heads
    assert "$x_0$, $x_t$, $x_{t-1}$" in heads
    assert {"SNR", "DDPM"} <= set(heads)
    assert not [h for h in heads if "tilde" in h or h in ("FID", "GAN")]


def test_a_bare_letter_counts_with_its_equation_only():
    assert not [row for row in rows("a variance $v$") if row.startswith("| $v$")]
    assert [row for row in rows("$v$, see {eq}`eq-v`") if row.startswith("| $v$")]


def test_acronyms_in_code_are_not_counted_and_an_empty_text_has_no_table():
    assert rows("```{code-cell} ipython3\nFID = 3\n```") == []
    assert symbols_used(NOTATION, "Nothing.") == ""


def test_every_chapter_gets_a_table_with_few_rows():
    for page in sorted((ROOT / "book").glob("0*.md")):
        assert 4 <= len(rows(page.read_text("utf-8"))) <= 34, page.name
