"""How Sphinx makes the site of these pages: `make docs`."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.generate import openapi
from s3import import __version__

if TYPE_CHECKING:
    import click
    from sphinx.application import Sphinx

BUILD = Path(__file__).parents[1] / "build"
REDOC = BUILD / "redoc/package"
REDOC_SHA256 = "dcaf76612bc4a3fbcc923a8966dee2f6146a5f32e5ce1b6f02dd60cbbf89500b"
BESIDE = BUILD / "beside"
"""What goes into the site as it is: the description of the HTTP API, and Redoc, which shows it."""
HTTP_API = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'self' 'unsafe-inline' blob: data:">
<title>s3import: the HTTP API</title>
<style>body {{ margin: 0 }}</style>
<div id="redoc"></div>
<script src="redoc.standalone.js"></script>
<script>
const description = {description};
Redoc.init(description, {{ hideDownloadButton: true }}, document.getElementById("redoc"));
</script>
</html>
"""

project = "s3import"
version = release = __version__
extensions = ["myst_parser", "sphinx_click", "sphinx_copybutton"]
html_theme = "furo"
html_title = "s3import"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_extra_path = [str(BESIDE)]
highlight_language = "none"
nitpicky = True
myst_heading_anchors = 4
myst_links_external_new_tab = False
copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"


def write_beside(app: Sphinx, config: Any) -> None:
    """Put together what goes into the site as it is. Raises: ValueError for another Redoc than `REDOC_SHA256`'s."""
    folder = BESIDE / "reference"
    shutil.rmtree(BESIDE, ignore_errors=True)
    folder.mkdir(parents=True)
    bundle = (REDOC / "bundles/redoc.standalone.js").read_bytes()
    if hashlib.sha256(bundle).hexdigest() != REDOC_SHA256:
        raise ValueError("this Redoc is not the one that docs/conf.py names; look at it, then write down its SHA-256")
    (folder / "redoc.standalone.js").write_bytes(bundle)
    shutil.copy(REDOC / "LICENSE", folder / "redoc.LICENSE.txt")
    description = json.dumps(openapi(), indent=1)
    (folder / "openapi.json").write_text(description, "utf-8")
    inline = description.replace("</", "<\\/")  # nothing in it ends the script
    (folder / "http-api.html").write_text(HTTP_API.format(description=inline), "utf-8")


def write_code_as_code(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Help has code between single backquotes, reStructuredText between two."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]


def leave_out(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """The variable of an option follows from its name; it need not be said of every option."""
    lines.clear()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("config-inited", write_beside)
    app.connect("sphinx-click-process-description", write_code_as_code)
    app.connect("sphinx-click-process-options", write_code_as_code)
    app.connect("sphinx-click-process-envvars", leave_out)
