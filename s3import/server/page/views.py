"""What is shown: each view is a look that many share, in a frame of one's own.

A view asks for itself again every few seconds and gets its look alone. Without JavaScript the frame asks for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio.to_thread
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from s3import.core.errors import RejectCode
from s3import.core.records import Entity, Pass
from s3import.reporting.diary import speeds
from s3import.reporting.metrics import RETRIED, RETRIES, readings
from s3import.reporting.pages import MAX_PAGE, RejectSelection
from s3import.server.page import wording
from s3import.server.page.charts import Chart, chart
from s3import.server.page.forms import SAID
from s3import.server.page.jobs import Jobs
from s3import.server.page.rendering import fragment, render
from s3import.server.page.session import HOME, address
from s3import.server.single_flight import SingleFlight
from s3import.status import State

if TYPE_CHECKING:
    from s3import.operations.operations import Operations


ACCOUNTS_A_PAGE = 50
REJECTS_A_PAGE = 50
PARTS_AT_FIRST, PARTS_A_PAGE = 10, 200


@dataclass(frozen=True, slots=True)
class Sources:
    """Where looks find what they show."""

    operations: Operations
    jobs: Jobs
    render_metrics: Callable[[], bytes] | None


class Look(Hashable, Protocol):
    """Something that can be shown, named by what it depends on."""

    def html(self, sources: Sources) -> str: ...


@dataclass(frozen=True, slots=True)
class MigrationsLook:
    """All accounts with a run, those asked for last first, and before them what is wrong."""

    state: State | None
    text: str
    after: str | None
    url: str

    def html(self, sources: Sources) -> str:
        operations = sources.operations
        page = operations.overview(self.state, self.text, self.after, ACCOUNTS_A_PAGE)
        is_whole = not (self.state or self.text or self.after)
        trouble = operations.in_trouble() if is_whole else []
        return fragment(
            "fragment_migrations.html",
            totals=operations.totals(),
            trouble=_rows(trouble),
            rows=_rows(page.items),
            states=list(State),
            next=page.next,
            look=self,
        )


def _rows(documents: list[dict[str, object]]) -> list[tuple[str, str, str, dict[str, object]]]:
    """(account id, its status, name of its current pass, that pass) for each document."""
    return [
        (str(document["account_id"]), str(document["account_status"]), *wording.current(document))
        for document in documents
    ]


@dataclass(frozen=True, slots=True)
class AccountLook:
    """How one account is now."""

    account_id: str
    url: str

    def html(self, sources: Sources) -> str:
        document = sources.operations.status_document(self.account_id)
        runs = [(name, run) for name, run in document["passes"].items() if run]
        return fragment(
            "fragment_account.html",
            document=document,
            current=wording.current(document) if runs else None,
            job=sources.jobs.of(self.account_id),
            steps=wording.STEPS,
            look=self,
        )


@dataclass(frozen=True, slots=True)
class More:
    """What an account has besides, which changes less: how fast it was, its parts, newest rejects and diary."""

    account_id: str
    url: str

    def html(self, sources: Sources) -> str:
        operations, account_id = sources.operations, self.account_id
        charts = {pass_: _chart(operations, account_id, pass_) for pass_ in Pass}
        return fragment(
            "fragment_more.html",
            account_id=account_id,
            charts={pass_: drawn for pass_, drawn in charts.items() if drawn},
            parts=operations.parts(account_id, limit=PARTS_AT_FIRST),
            rejects=operations.newest_rejects(account_id),
            events=operations.newest_events(account_id),
            look=self,
        )


def _chart(operations: Operations, account_id: str, pass_: Pass) -> Chart | None:
    return chart(list(speeds(operations.samples(account_id, pass_, limit=MAX_PAGE).items)))


@dataclass(frozen=True, slots=True)
class FleetLook:
    """Who works on what."""

    url: str

    def html(self, sources: Sources) -> str:
        operations, render_metrics = sources.operations, sources.render_metrics
        retries = readings(render_metrics()).get(RETRIES.name, {}) if render_metrics else {}
        return fragment(
            "fragment_fleet.html",
            fleet=operations.fleet(),
            lost_runs=operations.totals().lost,
            retries={of: retries.get((of,), 0) for of in RETRIED} if render_metrics else {},
            look=self,
        )


def looks(operations: Operations, jobs: Jobs, render_metrics: Callable[[], bytes] | None) -> SingleFlight[Look]:
    """Looks that all viewers share: a hundred of them cost one."""
    sources = Sources(operations, jobs, render_metrics)
    return SingleFlight(lambda look: look.html(sources).encode("utf-8", "replace"))


async def _html(request: Request, look: Look) -> str:
    html: bytes = await request.app.state.looks.at(look)
    return html.decode()


async def _shown(request: Request, look: Look, frame: str, **values: Any) -> Response:
    """The look alone for a view that is open, else in its frame."""
    live = await _html(request, look)
    if "hx-request" in request.headers:
        return HTMLResponse(live)
    return render(request, frame, look=look, live=live, **values)


# --- views ------------------------------------------------------------------------------------------------------------


async def home(request: Request) -> Response:
    """There is one view that everybody begins with."""
    return RedirectResponse(f"{HOME}migrations", 303)


async def migrations(request: Request) -> Response:
    """All accounts, filtered by `state` and the beginning of an id (`text`), page by page."""
    asked = request.query_params
    state = _state(asked.get("state", ""))
    text = asked.get("text", "").strip()
    look = MigrationsLook(state, text, asked.get("after") or None, _url(request))
    return await _shown(request, look, "migrations.html")


async def account(request: Request) -> Response:
    """One account."""
    account_id, url = request.path_params["account_id"], _url(request)
    live = await _html(request, AccountLook(account_id, url))
    if "hx-request" in request.headers:
        return HTMLResponse(live)
    more = await _html(request, More(account_id, f"{url}/more"))
    said = SAID.get(request.query_params.get("said", ""), "")
    return render(request, "account.html", account_id=account_id, live=live, more=more, said=said)


async def more(request: Request) -> Response:
    """What changes less of one account."""
    look = More(request.path_params["account_id"], _url(request))
    return await _shown(request, look, "more.html", account_id=look.account_id)


async def fleet(request: Request) -> Response:
    """Who works on what."""
    return await _shown(request, FleetLook(_url(request)), "fleet.html")


async def parts(request: Request) -> Response:
    """The parts of the newest runs, page by page."""
    account_id, after = request.path_params["account_id"], request.query_params.get("after")
    operations: Operations = request.app.state.operations
    page = await anyio.to_thread.run_sync(operations.parts, account_id, tuple(Pass), after, PARTS_A_PAGE)
    return render(request, "parts.html", account_id=account_id, page=page)


async def rejects(request: Request) -> Response:
    """The open rejects with their texts, page by page, of a `code` and an `entity` if asked: whoever comes here has
    asked for them."""
    account_id, after = request.path_params["account_id"], request.query_params.get("after")
    operations: Operations = request.app.state.operations
    selection = _selection(request)
    page = await anyio.to_thread.run_sync(operations.rejects, account_id, selection, after, REJECTS_A_PAGE)
    return render(request, "rejects.html", account_id=account_id, page=page, selection=selection)


async def rejects_file(request: Request) -> Response:
    """The same rejects, all of them, as JSON Lines to be saved."""
    account_id, selection = request.path_params["account_id"], _selection(request)
    operations: Operations = request.app.state.operations
    await anyio.to_thread.run_sync(operations.rejects, account_id, selection, None, 1)  # an account that is not there
    headers = {"Content-Disposition": 'attachment; filename="rejects.jsonl"'}
    return StreamingResponse(
        _lines(operations, account_id, selection), headers=headers, media_type="application/x-ndjson"
    )


def _lines(operations: Operations, account_id: str, selection: RejectSelection) -> Iterator[bytes]:
    for reject in operations.each_reject(account_id, selection):
        yield orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE)


def _selection(request: Request) -> RejectSelection:
    code, entity = request.query_params.get("code") or None, request.query_params.get("entity") or None
    if (code and code not in RejectCode.ALL) or (entity and entity not in set(Entity)):
        raise HTTPException(422)
    return RejectSelection(code=code, entity=Entity(entity) if entity else None)


def _state(text: str) -> State | None:
    try:
        return State(text) if text else None
    except ValueError:
        raise HTTPException(422) from None


def _url(request: Request) -> str:
    """What a view asks for itself with: not for what was said once."""
    asked = address(request)
    return asked.partition("?")[0] if "said" in request.query_params else asked


ROUTES = [
    Route("/", home),
    Route("/migrations", migrations),
    Route("/accounts/{account_id}", account),
    Route("/accounts/{account_id}/more", more),
    Route("/accounts/{account_id}/parts", parts),
    Route("/accounts/{account_id}/rejects", rejects),
    Route("/accounts/{account_id}/rejects.jsonl", rejects_file),
    Route("/fleet", fleet),
]
