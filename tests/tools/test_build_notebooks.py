"""The notebooks say what the pages say, in Markdown that Jupyter and Colab understand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from html import unescape
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "build"))

# jupytext, docutils and Sphinx warn of their own future: none of our business here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import build_notebooks
    from notebooks.published import MarkupError

URL = "https://someone.github.io/a-book"
REPOSITORY = "https://github.com/someone/a-book"
HEAD = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---

"""
CONFIG = """
title: Toy
author: nobody
only_build_toc_files: true
execute: {execute_notebooks: "off"}
bibtex_bibfiles: [book/references.bib]
parse: {myst_enable_extensions: [amsmath, colon_fence, deflist, dollarmath, substitution]}
sphinx:
  extra_extensions: [sphinx_exercise]
  config: {numfig: true, math_numfig: true, numfig_secnum_depth: 1,
           math_eqref_format: "({number})", bibtex_reference_style: author_year}
"""
TOC = """
format: jb-book
root: book/index
parts:
  - chapters: [{file: book/00_start}]
  - numbered: 1
    chapters: [{file: book/01_one}, {file: book/02_two}]
  - chapters: [{file: book/notation}]
"""
BIB = """
@article{ho, title={Denoising}, author={Ho, Jonathan and Jain, Ajay and Abbeel, Pieter},
  year={2020}, doi={10.1/ddpm}}
@article{ND, title={Improved}, author={Nichol, Alex and Dhariwal, Prafulla}, year={2021},
  url={https://arxiv.org/abs/2102.09672}}
@article{Song, title={Flow}, author={Song, Yang}, year={2019}, url={https://arxiv.org/abs/1}}
"""
ONE = r"""
(one)=
# Chapter one

% a comment of the author
See {eq}`eq-one-a`, {eq}`eq-two-a`, {numref}`fig-one`, {numref}`picture %s <fig-two>`, {ref}`two`,
{ref}`there <two>`, {doc}`02_two`, {numref}`ex-one-1`, {ref}`ex-one-1` and [](02_two.md); cited:
{cite:p}`ho,ND`, {cite:t}`ND`, {cite}`Song`. Not a role: `{eq}` nor a ``{eq}`x` ``. <!-- gone -->

Press {kbd}`Enter`, H{sub}`2`O, a {term}`kernel`, {math}`x^2`, [a link](https://example.org) and
[the file](../dmlib/a.py), ![dot](_static/dot.png).

```{math}
:label: eq-one-a
a &= b \\
  &= c
```

$$
x = y
$$ (eq-one-b)

```{math}
z = 1
```

:::{note}
A note with ${a}
\cdot b$, {eq}`eq-one-a` and

```{math}
:label: eq-one-c
p = q % a TeX comment
+ r
```

- a list, {cite:t}`ho`

  ```{tip}
  Inner *tip*.
  ```
:::

:::{admonition} Mind the {eq}`eq-one-b`
:class: warning
Body.
:::

```{dropdown} Predict **first**
Then look.
```

\begin{align*}
u &= v
\end{align*}

> Quoted
> $$
> m = n
> $$
> and {eq}`eq-one-b`

Term
: What it means, {eq}`eq-one-a`

| a | b |
|---|---|
| {eq}`eq-one-a` | {kbd}`x` |

```{figure} _static/dot.png
:name: fig-static
:alt: a dot
A dot of *ours*, {cite:t}`ho`.
```

```{literalinclude} ../dmlib/a.py
:pyobject: f
```

```python
plain = "code"
```

```{code-cell} python3
---
mystnb:
  figure:
    name: fig-one
    caption: A drawing of $x_t$, see {eq}`eq-one-a`.
  image:
    alt: a drawing
tags: [hide-input]
---
1 + 1
```

:::{exercise-start} Square {math}`x`
:label: ex-one-1
:::
Square it.

```{code-cell} python3
:tags: [stub, remove-output]
def square(x):
    raise NotImplementedError
```

```{exercise-end}
```

```{solution-start} ex-one-1
:label: sol-one-1
:class: dropdown
```
SECRET, {unknownrole}`skipped`

```{code-cell} python3
SECRET = 1
```

More SECRET
```{solution-end}
```

After.

```{exercise}
:label: ex-one-2
Cube it.
```

```{solution} ex-one-2
SECRET
```

```{code-cell} python3
:tags: [solution]
SECRET = 2
```

```{list-table} Numbers
:header-rows: 1
:name: tab-one
* - a
  - b
* - {eq}`eq-one-a`
  - d
```
"""
TWO = r"""
(two)=
# Chapter two

Back to {eq}`eq-one-c`.

```{math}
:label: eq-two-a
e = f
```

```{code-cell} python3
---
mystnb:
  figure:
    name: fig-two
    caption: Second.
---
2
```

```{code-cell} python3
2
```

```{code-cell} python3
2
```
"""
NOTATION = """# Notation

```{glossary}
kernel
  A conditional density.
```
"""


def make_book(root: Path, **pages: str) -> Path:
    """A small book whose chapters exercise every construct."""
    book = root / "book"
    (book / "_static").mkdir(parents=True)
    (book / "_static" / "dot.png").write_bytes(b"not looked into")
    (root / "dmlib").mkdir()
    (root / "dmlib" / "a.py").write_text("import os\n\n\ndef f():\n    return 1\n")
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC)
    (book / "references.bib").write_text(BIB)
    (book / "index.md").write_text("# Index\n")
    (book / "notation.md").write_text(NOTATION)
    start = "# Start\n\n```{math}\n:label: eq-start\na\n```\n"
    sources = {"00_start": start, "01_one": ONE, "02_two": TWO} | pages
    for name, text in sources.items():
        (book / f"{name}.md").write_text(HEAD + text, "utf-8")
    return root


def build(root: Path) -> dict[str, str]:
    return build_notebooks.build(root, url=URL, address=REPOSITORY)


def convert(tmp_path: Path, text: str) -> str:
    """Source of the Markdown cells of a chapter with this text."""
    root = make_book(tmp_path, **{"02_two": "(two)=\n# Two\n\n" + TWO.split("\n", 3)[3] + text})
    notebook = nbformat.reads(build(root)["02_two.ipynb"], as_version=4)
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return make_book(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def built(toy) -> dict[str, str]:
    return build(toy)


@pytest.fixture(scope="module")
def one(built):
    return nbformat.reads(built["01_one.ipynb"], as_version=4)


@pytest.fixture(scope="module")
def text(one) -> str:
    return "\n\n".join(cell.source for cell in one.cells if cell.cell_type == "markdown")


def test_every_chapter_has_a_notebook_and_other_pages_have_none(built):
    assert list(built) == ["00_start.ipynb", "01_one.ipynb", "02_two.ipynb"]


def test_built_twice_is_byte_equal(toy, built):
    assert build(toy) == built


def test_notebooks_are_valid_without_outputs_and_with_distinct_ids(built):
    for content in built.values():
        notebook = nbformat.reads(content, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_a_changed_cell_leaves_the_other_ids_alone(tmp_path, built):
    root = make_book(tmp_path, **{"02_two": TWO.replace("Back to", "Forth to")})
    new, old = (json.loads(b["02_two.ipynb"])["cells"] for b in (build(root), built))
    changed = [a["id"] != b["id"] for a, b in zip(new, old, strict=True)]
    assert changed.count(True) == 1


def test_no_markup_of_the_book_is_left(built):
    for content in built.values():
        for cell in nbformat.reads(content, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert_plain(cell.source)


def assert_plain(text: str) -> None:
    """No directive, role, target or comment, looked for without the converter's own parser."""
    outside_code = re.sub(
        r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"```.*?```", "", text, flags=re.S)
    )
    for pattern in (
        r"\{[\w:+-]+\}`",
        r":::",
        r"(?m)^\(.+\)=\s*$",
        r"(?m)^%",
        r"<!--",
        r"\]\((?!http|#)",
    ):
        assert not re.search(pattern, outside_code), (pattern, text)
    assert "```{" not in text
    assert "~~~{" not in text


def test_math_is_numbered_as_sphinx_numbers_it(text):
    assert re.findall(r"\\tag\{(.*?)\}", text) == ["1.1", "1.2", "1.3"]
    assert "$$\n\\begin{split}\na &= b \\\\\n&= c\n\\end{split}\n\\tag{1.1}\n$$" in text
    assert "$$\nz = 1\n$$" in text
    assert "$$\n\\begin{aligned}\nu &= v\n\\end{aligned}\n$$\n\n" in text


def test_formulas_in_quotes_stand_on_one_line(text):
    assert "> $$ p = q  + r \\tag{1.3} $$" in text
    assert "> A note with ${a} \\cdot b$, (1.1) and" in text
    assert "> $$ m = n $$\n> and (1.2)" in text


def test_references_become_numbers_and_links(text):
    two = f"{URL}/book/02_two.html"
    assert f"See (1.1), [(2.1)]({two}#equation-eq-two-a), [Fig. 1.2](#fig-one)" in text
    # What stands in the notebook itself is linked in it, and there is a place to link to.
    assert text.count('<a id="fig-one" name="fig-one"></a>**Fig. 1.2.**') == 1
    assert "[Exercise 1.1](#ex-one-1)" in text
    assert '<a id="ex-one-1" name="ex-one-1"></a>\n\n### Exercise 1.1' in text
    assert f"[picture 2.1]({two}#fig-two), [Chapter two]({two}#two),\n[there]({two}#two)" in text
    assert f"[Chapter two]({two}), [Exercise 1.1](" in text
    assert f"and [Chapter two]({two}); cited" in text
    assert f"[the file]({REPOSITORY}/blob/HEAD/dmlib/a.py)" in text


def test_citations_become_links(text):
    ho, nd = "https://doi.org/10.1/ddpm", "https://arxiv.org/abs/2102.09672"
    assert f"[Ho et al., 2020]({ho}); [Nichol and Dhariwal, 2021]({nd})," in text
    assert f"[Nichol and Dhariwal (2021)]({nd}), [Song, 2019](https://arxiv.org/abs/1)." in text


def test_roles_become_markdown_and_code_spans_stay(text):
    assert "Press <kbd>Enter</kbd>, H<sub>2</sub>O, a kernel, $x^2$, [a link](https" in text
    assert "Not a role: `{eq}` nor a ``{eq}`x` ``." in text
    assert "gone" not in text
    assert "comment of the author" not in text


def test_admonitions_are_quotes_and_dropdowns_stay_closed(text):
    assert "> **Note**\n>\n> A note" in text
    assert ">   > **Tip**\n>   >\n>   > Inner *tip*." in text
    assert "> **Mind the (1.2)**\n>\n> Body." in text
    assert "<details>\n<summary><b>Predict first</b></summary>\n\nThen look." in text


def test_tables_lists_of_terms_and_plain_code_survive(text):
    assert "| (1.1) | <kbd>x</kbd> |" in text
    assert "Term\n- What it means, (1.1)" in text
    assert "**Table 1.1.** Numbers\n\n| a | b |\n| --- | --- |\n| (1.1) | d |" in text
    assert '```python\nplain = "code"\n```' in text


def test_figures_have_absolute_addresses_and_captions(one, text):
    assert f"![a dot]({URL}/_images/dot.png)\n\n" in text
    assert "</a>**Fig. 1.1.** A dot of *ours*, [Ho" in text
    drawing = next(i for i, cell in enumerate(one.cells) if cell.source == "1 + 1")
    assert one.cells[drawing + 1].source == (
        '<a id="fig-one" name="fig-one"></a>**Fig. 1.2.** A drawing of $x_t$, see (1.1).'
    )
    assert one.cells[drawing].metadata == {}  # folded on the page, open in the notebook


def test_included_code_is_shown_with_where_it_lives(text):
    address = f"{REPOSITORY}/blob/HEAD/dmlib/a.py"
    assert f"From [`dmlib/a.py`]({address}):\n\n```python\ndef f():\n    return 1\n```" in text


def test_exercises_stay_and_solutions_are_links(built, text):
    assert "SECRET" not in built["01_one.ipynb"]
    assert "### Exercise 1.1: Square $x$\n\nSquare it." in text
    assert (
        f"The solution to Exercise 1.1 is [in the book]({URL}/book/01_one.html#sol-one-1)" in text
    )
    assert f"The solution to Exercise 1.2 is [in the book]({URL}/book/01_one.html#ex-one-2)" in text
    assert "\n\nAfter." in text


def test_tags_of_the_pages_are_dropped_and_of_the_run_kept(one):
    stub = next(cell for cell in one.cells if "NotImplementedError" in cell.source)
    assert stub.metadata == {"tags": ["stub"]}


def test_first_cell_installs_from_the_repository_and_only_where_needed(one):
    first = one.cells[0]
    assert first.cell_type == "code"
    assert 'copy = Path("../dmlib/__init__.py").exists()' in first.source
    assert f'source = ".." if copy else "dmlib @ git+{REPOSITORY}"' in first.source
    where = first.source.index('if importlib.util.find_spec("dmlib") is None:\n    copy')
    assert where < first.source.index('    %pip install -q "{source}"')
    assert one.cells[1].source.startswith("# Chapter one\n\n*This notebook is made from [")
    assert f"]({URL}/book/01_one.html)" in one.cells[1].source


@pytest.mark.parametrize(
    ("markup", "named"),
    [
        ("{made-up}`x`", "unknown role"),
        ("```{made-up}\nx\n```", "unknown directive"),
        ("{eq}`eq-nowhere`", "leads nowhere"),
        ("{ref}`nowhere`", "leads nowhere"),
        ("{numref}`nowhere`", "leads nowhere"),
        ("{cite:p}`nobody`", "no entry nobody"),
        ("[x](#nowhere)", "leads nowhere"),
        ("[x](nowhere.md)", "no such file"),
        ("![x](_static/nowhere.png)", "not part of the book"),
        ('<img src="x.png">', "relative address"),
        ("\\begin{align}\na &= b\n\\end{align}", "without a label"),
        ("A note[^1].\n\n[^1]: At the foot.", "footnote"),
        ("A {{ substitution }}.", "substitution"),
        ("```{solution-start} ex-t\n```\n", "missing a solution-end"),
        ("[{eq}`eq-two-a`](02_two.md)", "role inside a link"),
        ("```{raw-cell}\nx\n```", "a raw or loaded cell"),
        ("```{note}\n{made-up}`x`\n```", "unknown role"),
        ("```{note}\n```{code-cell} python3\n1\n```\n", "unknown directive"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_converted_is_an_error(tmp_path, markup, named):
    exercise = "```{exercise}\n:label: ex-t\nDo.\n```\n\n"
    with pytest.raises(MarkupError, match=re.escape(named)):
        convert(tmp_path, f"\n\n{exercise}{markup}\n")


def test_markup_in_lists_and_quotes_keeps_its_container(tmp_path):
    text = convert(
        tmp_path,
        "\n\n1. first\n\n   ```{math}\n   :label: eq-l\n   a \\\\\n   b\n   ```\n\n"
        "2. {eq}`eq-l`\n\n"
        "> quoted {cite:t}`ho`, a {math}`x` over\n> lines {ref}`to\n> there <two>` end\n",
    )
    assert (
        "1. first\n\n   $$ \\begin{split} a \\\\ b \\end{split} \\tag{2.2} $$\n\n2. (2.2)" in text
    )
    assert "> quoted [Ho et al. (2020)](https://doi.org/10.1/ddpm), a $x$ over" in text
    assert_plain(text)


def test_check_notices_stale_missing_and_foreign_notebooks(tmp_path, built):
    build_notebooks.write(built, tmp_path)
    assert build_notebooks.differences(built, tmp_path) == []
    (tmp_path / "00_start.ipynb").unlink()
    (tmp_path / "01_one.ipynb").write_text(built["01_one.ipynb"] + " ")
    (tmp_path / "99_old.ipynb").write_text("{}")
    stale = build_notebooks.differences(built, tmp_path)
    assert stale == ["00_start.ipynb", "01_one.ipynb", "99_old.ipynb"]
    build_notebooks.write(built, tmp_path)
    assert build_notebooks.differences(built, tmp_path) == []


def numbers_in_notebook(content: str) -> list[list[str]]:
    cells = nbformat.reads(content, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    patterns = (r"\\tag\{(.*?)\}", r"### (Exercise [\d.]+)", r"\*\*((?:Fig\.|Table) [\d.]+)\.\*\*")
    return [re.findall(pattern, text) for pattern in patterns]


def numbers_on_page(html: str) -> list[list[str]]:
    article = html[html.index("<article") : html.index("</article")]
    captions = re.findall(r'class="caption-number">(.*?)<', article)
    captions = [unescape(caption).strip() for caption in captions]
    exercises = [caption for caption in captions if caption.startswith("Exercise")]
    figures = [caption for caption in captions if caption not in exercises]
    return [re.findall(r'class="eqno">\((.*?)\)<', article), exercises, figures]


def test_formulas_that_need_macros_of_the_page_are_an_error(tmp_path):
    root = make_book(tmp_path)
    macros = "config: {mathjax3_config: {tex: {macros: {E: x}}}, "
    (root / "_config.yml").write_text(CONFIG.replace("config: {", macros))
    with pytest.raises(MarkupError, match="macros"):
        build(root)


def test_command_line_takes_the_addresses_of_a_fork(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(build_notebooks, "ROOT", toy)
    monkeypatch.setenv("DMLIB_REPOSITORY", "https://github.com/fork/own")
    monkeypatch.delenv("DMLIB_BOOK_URL", raising=False)
    assert build_notebooks.main(["--out", str(tmp_path)]) == 0
    assert build_notebooks.main(["--check", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "01_one.ipynb").read_text("utf-8")
    assert "dmlib @ git+https://github.com/fork/own" in text
    assert "](https://fork.github.io/own/book/01_one.html)" in text
    monkeypatch.setenv("DMLIB_BOOK_URL", "https://books.example/own")
    assert build_notebooks.main(["--check", "--out", str(tmp_path)]) == 1
    monkeypatch.delenv("DMLIB_BOOK_URL")
    monkeypatch.delenv("DMLIB_REPOSITORY")
    assert build_notebooks.main(["--check", "--out", str(tmp_path)]) == 1


@pytest.mark.slow
def test_numbers_equal_those_on_the_pages_of_an_executed_build(built, tmp_path):
    root = make_book(tmp_path)
    (root / "_config.yml").write_text(CONFIG.replace('"off"', "force"))
    builder = Path(sys.executable).parent / "jupyter-book"
    subprocess.run([builder, "build", root], check=True, capture_output=True, timeout=120)
    for name, content in built.items():
        page = root / "_build" / "html" / "book" / name.replace(".ipynb", ".html")
        assert numbers_in_notebook(content) == numbers_on_page(page.read_text("utf-8")), name
    assert numbers_in_notebook(built["01_one.ipynb"])[2] == ["Fig. 1.1", "Fig. 1.2", "Table 1.1"]
