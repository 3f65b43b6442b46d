"""What the book's pages need beyond Jupyter Book and its theme.

- Launch and download buttons lead to the built notebooks (the theme's lead to the .md source).
- Thebe's script and the widget state are dropped: no page asks a third party for anything, and
  the widgets carry their own self-contained HTML.
- The built notebooks travel with the book, so that the download works wherever the book does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cards import card_name, draw_card, tags
from icons import shrink
from lighten import lighten
from pictures import thin
from project import (
    PUBLISHED,
    ROOT,
    book_url,
    is_published,
    owner_and_name,
    repository,
    toc_pages,
)

NOTEBOOKS = ROOT / "notebooks"
MODEL = ROOT / "_build" / "model"  # exported once for each set of weights


def _buttons(pagename: str, pathto) -> list[dict]:
    """Header buttons of a chapter that has a notebook: launch and download."""
    name = Path(pagename).name
    launch = _launch(name) if is_published() else [_not_published(pathto)]
    download = [
        _link(
            ".ipynb",
            pathto(f"notebooks/{name}.ipynb", 1),
            "Download this chapter as a notebook",
            "fas fa-code",
        ),
        {
            "type": "javascript",
            "javascript": "window.print()",
            "text": ".pdf",
            "tooltip": "Print this page",
            "icon": "fas fa-file-pdf",
            "label": "download-pdf-button",
        },
    ]
    return [
        _group("Run this chapter", "fas fa-rocket", launch, "launch-buttons"),
        _group("Download this chapter", "fas fa-download", download, "download-buttons"),
    ]


def _launch(name: str) -> list[dict]:
    """Where a chapter runs: each opens the branch that this repository's workflow has pushed."""
    owner, repo = owner_and_name()
    path = f"{owner}/{repo}/blob/{PUBLISHED}/notebooks/{name}.ipynb"
    binder = f"{owner}/{repo}/{PUBLISHED}?urlpath=lab/tree/notebooks/{name}.ipynb"
    places = {
        "Colab": ("https://colab.research.google.com/github/" + path, "fas fa-rocket"),
        "Kaggle": (
            "https://kaggle.com/kernels/welcome?src=https://github.com/" + path,
            "fab fa-kaggle",
        ),
        "Binder": ("https://mybinder.org/v2/gh/" + binder, "fas fa-server"),
    }
    return [
        _link(place, url, f"Open this chapter in {place}", icon)
        for place, (url, icon) in places.items()
    ]


def _not_published(pathto) -> dict:
    """A copy that was built at home has no branch that Colab could open: say so."""
    return _link(
        "Not published yet",
        pathto("book/teaching") + "#a-copy-of-your-own",
        "This copy was built locally: what to do for Colab, Kaggle and Binder",
        "fas fa-circle-info",
    )


def _link(text: str, url: str, tooltip: str, icon: str) -> dict:
    return {"type": "link", "text": text, "url": url, "tooltip": tooltip, "icon": icon}


def _group(tooltip: str, icon: str, buttons: list[dict], label: str) -> dict:
    return {"type": "group", "tooltip": tooltip, "icon": icon, "buttons": buttons, "label": label}


def _is_foreign(script) -> bool:
    """Whether a script belongs to Thebe or to the live widget manager."""
    attributes = getattr(script, "attributes", {})
    body = str(attributes.get("body") or "")
    name = str(getattr(script, "filename", script) or "")
    return (
        "THEBE_JS_URL" in body
        or "thebe" in name
        or attributes.get("type") == "application/vnd.jupyter.widget-state+json"
    )


def fix_page(app, pagename, templatename, context, doctree) -> None:
    """Drop what the pages must not load and set the buttons right."""
    context["script_files"] = [s for s in context["script_files"] if not _is_foreign(s)]
    context["css_files"] = [s for s in context["css_files"] if "thebe" not in str(s)]
    context["metatags"] = (
        context.get("metatags", "")
        + "\n    "
        + tags(app, pagename, re.sub(r"<[^>]*>", "", context.get("title") or ""), doctree)
    )
    # A role that WAI-ARIA 1.2 has given up, and that a list may not hold.
    body = context.get("body") or ""
    context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')
    kept = ("fullscreen-button", "search-button", "toc-sidebar-toggle", "theme-switch")
    buttons = [b for b in context.get("header_buttons", []) if b.get("label", "").startswith(kept)]
    if (NOTEBOOKS / f"{Path(pagename).name}.ipynb").exists() and pagename in toc_pages():
        buttons = _buttons(pagename, context["pathto"]) + buttons
    context["header_buttons"] = [
        _link("", repository(), "Source repository", "fab fa-github")
        | {"label": "source-repository-button"},
        *buttons,
    ]


def finish(app, exception) -> None:
    """Notebooks and the browser's model beside the pages; without the icons that nobody sees."""
    if exception is not None or app.builder.name != "html":
        return
    if NOTEBOOKS.exists():
        shutil.copytree(NOTEBOOKS, Path(app.outdir) / "notebooks", dirs_exist_ok=True)
    if (Path(app.outdir) / "book" / "07_generate.html").exists():
        # In a process of its own: the exporter says much, into every log that it finds.
        export = [sys.executable, str(ROOT / "tools" / "build" / "export_onnx.py"), str(MODEL)]
        done = subprocess.run(export, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the model for the browser was not exported:\n{done.stderr}")
        shutil.copytree(MODEL, Path(app.outdir) / "_static" / "model", dirs_exist_ok=True)
    for source_map in (Path(app.outdir) / "_static").rglob("*.map"):
        source_map.unlink()
    for docname in sorted(app.env.found_docs):
        title = app.env.titles[docname].astext()
        name = card_name(docname, app.env.get_doctree(docname))
        draw_card(Path(app.outdir) / "_static" / "cards" / f"{name}.png", title, app.config.project)
    shrink(Path(app.outdir))
    thin(Path(app.outdir))
    lighten(Path(app.outdir))


def set_options(app, config) -> None:
    """Options that Jupyter Book has no key for."""
    config.html_baseurl = book_url() + "/"
    config.html_context["default_mode"] = "auto"
    config.html_theme_options["navbar_persistent"] = []


def setup(app) -> dict:
    """Register with Sphinx."""
    app.config.templates_path.insert(0, str(ROOT / "tools" / "build" / "templates"))
    app.connect("config-inited", set_options, priority=900)
    app.connect("html-page-context", fix_page, priority=900)
    app.connect("build-finished", finish, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
