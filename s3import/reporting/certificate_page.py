"""A certificate as a page: one file without script that opens and prints anywhere, and has the document within it."""

from __future__ import annotations

from functools import lru_cache

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from s3import.core.explanations import explanations
from s3import.reporting.certificate import PLACE, Document


def page_of(document: Document) -> str:
    """The page of a signed document."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return _template().render(certificate=document, text=text, place=PLACE, explained=explanations())


@lru_cache(1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("s3import.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["number"] = lambda number: f"{number:,}"
    return environment.get_template("certificate.html")
