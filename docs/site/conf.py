"""Settings of the docs site: `make docs` builds it. A page loads nothing from elsewhere."""

import re

from sphinx.application import Sphinx

import trajgen

project = "trajgen"
author = "the trajgen authors"
version = release = trajgen.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

myst_heading_anchors = 4
exclude_patterns = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "literal"  # in docstrings `this` is code, as in Markdown
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"trajgen {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"
pygments_dark_style = "github-dark"


def as_it_stands(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """An indented block of a docstring is shown as it stands, as in Markdown."""
    shown: list[str] = []
    inside = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside and (not shown or not shown[-1]):
            shown += ["::", ""]
        inside = indented or (inside and not line)
        shown.append(line)
    lines[:] = shown


def in_short(
    app: object,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Types by their own name; no arguments of a protocol, nor of an error that its base takes."""
    if getattr(obj, "_is_protocol", False) or (what == "exception" and "__init__" not in vars(obj)):
        return "", returned
    return signature and re.sub(r"~[\w.]*\.", "", signature), returned


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", in_short)
    app.connect("autodoc-process-docstring", as_it_stands)
