"""Configuration of the documentation: `python -m sphinx -W docs docs/_build` builds it, without a network."""

from __future__ import annotations

import re
from typing import Any

import informer

project = "kube-informer"
author = "The kube-informer authors"
copyright = "2026, The kube-informer authors"
release = informer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# Some attributes are called `object` and `type`, as are built-in names: a reference by such a name has several targets.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = ["Threads", "Source"]

html_theme = "furo"
html_title = "kube-informer"
html_theme_options = {
    "source_repository": "https://github.com/kube-informer/kube-informer/",
    "source_directory": "docs/",
}
# Fonts and scripts are files of the theme: pages work without internet.


def _to_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Writes a docstring's Markdown as reStructuredText: code in backticks, asterisks, and indented examples."""
    found: list[str] = []
    for number, line in enumerate(lines):
        text = re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``", line)
        if not line.lstrip().startswith(">>>"):
            text = "".join(
                part if part.startswith("``") else part.replace("*", r"\*") for part in re.split(r"(``.*?``)", text)
            )
        # An indented block after an empty line is code.
        before = next((each for each in reversed(lines[:number]) if each.strip()), "")
        if number and not lines[number - 1].strip() and line.strip() and _indent(line) > _indent(before):
            found += [" " * _indent(before) + "::", ""]
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if text == "Example:" and not following.lstrip().startswith(">>>"):
            text = "Example::\n"
        found += text.split("\n")
    lines[:] = found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def setup(app: Any) -> None:
    """Registers the conversion of docstrings; it comes before Napoleon's."""
    app.connect("autodoc-process-docstring", _to_rst, priority=400)
