"""Templates become HTML: everything is escaped, nothing that is missing is passed over."""

from __future__ import annotations

import datetime as dt
import shlex
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from s3import import __version__
from s3import.core.explanations import explanations
from s3import.reporting.pages import open_rejects
from s3import.server.page import wording
from s3import.server.page.session import view_of


@lru_cache(1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("s3import.server.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        ago=lambda text: wording.ago(text, dt.datetime.now(dt.UTC)),
        coded=wording.coded,
        moment=wording.moment,
        number=wording.number,
        path=lambda text: quote(text, safe=""),
        shell=shlex.quote,
        size=wording.bytes_in_words,
        words=wording.words_for,
    )
    environment.globals.update(
        explained=explanations().get,
        mood=wording.mood,
        open_rejects=open_rejects,
        spoken=wording.spoken,
        command=wording.command,
        version=__version__,
    )
    return environment


def fragment(name: str, **values: Any) -> str:
    """The HTML of a template."""
    return _environment().get_template(name).render(values)


def render(request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
    """An answer of the template; it knows besides whether somebody is logged in, and may log out."""
    has_login = request.app.state.session.is_asked_for
    return HTMLResponse(fragment(name, has_login=has_login, status=status, **values), status)


def failure(request: Request, status: int, text: str, code: str | None) -> Response:
    """An answer that says what did not work, and leads back."""
    return render(request, "failure.html", status=status, text=text, code=code, view=view_of(request))
