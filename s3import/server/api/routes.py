"""The endpoints of docs/reference/http.md: each takes a request apart, asks the operations and shows what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import anyio.to_thread
import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from s3import.core import records
from s3import.core.accounts import AccountStatus
from s3import.core.errors import S3ImportError
from s3import.core.json_schemas import SCHEMA_NAMES, schema_text
from s3import.core.records import Entity, Pass
from s3import.operations.askers import check_id
from s3import.operations.operations import Operations
from s3import.reporting.pages import MAX_PAGE, RejectSelection
from s3import.server.api import models
from s3import.server.api.describe import PROBLEMS, answers
from s3import.server.api.problems import problem, request_id
from s3import.server.single_flight import SingleFlight
from s3import.status import State

READY_SECONDS = 5.0
SCHEMA_TYPE = "application/schema+json"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(responses=PROBLEMS)


async def _operations(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


async def _single_flight(request: Request) -> SingleFlight[str]:
    single_flight: SingleFlight[str] = request.app.state.single_flight
    return single_flight


async def _render_metrics(request: Request) -> Callable[[], bytes] | None:
    render: Callable[[], bytes] | None = request.app.state.render_metrics
    return render


Asked = Annotated[Operations, Depends(_operations)]
PassOfRejects = Annotated[Pass | None, Query(alias="pass", description="Left out: all.")]
After = Annotated[str | None, Query(description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def shown(document: Any, status: int = 200) -> Response:
    """The document as JSON, times in UTC."""
    return Response(orjson.dumps(document, option=orjson.OPT_UTC_Z), status, media_type="application/json")


# --- accounts, brands, channels ------------------------------------------------------------------------------------


@router.post("/accounts", operation_id="createAccount", status_code=201, responses=answers(models.Account, 200, 201))
def create_account(requested: models.NewAccount, operations: Asked) -> Response:
    """Create an account; its status is `migrating`. 200: it exists, and stays as it is."""
    account, created = operations.create_account(requested.id, requested.name)
    return shown(asdict(account), 201 if created else 200)


@router.get("/accounts", operation_id="listAccounts", responses=answers(models.AccountPage))
def list_accounts(
    operations: Asked,
    status: Annotated[AccountStatus | None, Query(description="Left out: any.")] = None,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """List accounts by id, page by page."""
    return shown(asdict(operations.list_accounts(status, after, limit)))


@router.get("/accounts/{account_id}", operation_id="getAccount", responses=answers(models.Account))
def get_account(account_id: models.AccountId, operations: Asked) -> Response:
    """Show an account."""
    return shown(asdict(operations.account(account_id)))


@router.patch("/accounts/{account_id}", operation_id="updateAccount", responses=answers(models.Account))
def update_account(account_id: models.AccountId, requested: models.AccountUpdate, operations: Asked) -> Response:
    """Confirm that an account may have a status. 200: the pass behind it has succeeded, and has set it by itself; 409
    `pass_not_finished`: it has not."""
    return shown(asdict(operations.confirm_status(account_id, AccountStatus(requested.status))))


@router.post(
    "/accounts/{account_id}/brands",
    operation_id="createBrand",
    status_code=201,
    responses=answers(models.Brand, 200, 201),
)
def create_brand(account_id: models.AccountId, requested: models.NewBrand, operations: Asked) -> Response:
    """Create a brand of an account. 200: it exists, and stays as it is."""
    brand, created = operations.create_brand(account_id, records.Brand(requested.id, requested.name))
    return shown(asdict(brand), 201 if created else 200)


@router.post(
    "/accounts/{account_id}/channels",
    operation_id="createChannel",
    status_code=201,
    responses=answers(models.Channel, 200, 201),
)
def create_channel(account_id: models.AccountId, requested: models.NewChannel, operations: Asked) -> Response:
    """Create a channel of a brand. 200: it exists, and stays as it is; 422 `unknown_brand`: its brand does not."""
    channel = records.Channel(requested.id, requested.brand_id, requested.kind, requested.name)
    channel, created = operations.create_channel(account_id, channel)
    return shown(asdict(channel), 201 if created else 200)


# --- migrations ------------------------------------------------------------------------------------------------------


@router.post(
    "/migrate",
    operation_id="migrate",
    status_code=202,
    responses={**answers(models.Migration, 202), **answers(models.Migration | models.Ignored)},
)
def migrate(requested: models.NewMigration, operations: Asked) -> Response:
    """Ask for a migration. 202: this request started the run, or resumes it; 200: the run that is queued or at work
    already, or why there is nothing to do; 409 `recent_pass_first`: the other passes come after it."""
    pass_ = None if requested.pass_ in (None, models.PassWanted.ALL) else Pass(requested.pass_)
    admission = operations.request_migration(requested.account_id, pass_, requested.source, again=bool(requested.again))
    if admission.run is None:
        return shown({"ignored": admission.ignored})
    run = {"run_id": admission.run.run_id, "state": admission.run.state}
    return shown(run, 202 if admission.started else 200)


@router.get("/migrations", operation_id="listMigrations", responses=answers(models.RunPage))
def list_migrations(
    operations: Asked,
    state: Annotated[State | None, Query(description="Left out: any.")] = None,
    account_id: Annotated[models.AccountId | None, Query(description="Left out: any.")] = None,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """List the runs of all accounts, those asked for last first, page by page."""
    return shown(asdict(operations.list_migrations(state, account_id, after, limit)))


@router.delete("/migrations/{run_id}", operation_id="cancelMigration", responses=answers(models.Migration))
def cancel_migration(run_id: models.RunId, operations: Asked) -> Response:
    """Stop a run at its next batch; its checkpoint is kept. A run that is at an end already stays as it is."""
    run = operations.cancel(run_id)
    return shown({"run_id": run.run_id, "state": run.state})


@router.get("/check-migration", operation_id="checkMigration", responses=answers(models.StatusDocument))
async def check_migration(
    account_id: models.AccountId, single_flight: Annotated[SingleFlight[str], Depends(_single_flight)]
) -> Response:
    """Show how far an account is. Cheap enough to be asked every second."""
    check_id(account_id)
    return Response(await single_flight.at(account_id), media_type="application/json")


@router.get("/accounts/{account_id}/rejects", operation_id="listRejects", responses=answers(models.RejectPage))
def list_rejects(
    account_id: models.AccountId,
    operations: Asked,
    pass_: PassOfRejects = None,
    code: Annotated[models.RejectCodeWanted | None, Query(description="Among the reasons; left out: any.")] = None,
    entity: Annotated[Entity | None, Query(description="Left out: any.")] = None,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """List the records that were not imported, nor by a delta since, in a stable order, page by page."""
    selection = RejectSelection((pass_,) if pass_ else tuple(Pass), code, entity)
    return shown(asdict(operations.rejects(account_id, selection, after, limit)))


@router.get("/accounts/{account_id}/events", operation_id="listEvents", responses=answers(models.EventPage))
def list_events(account_id: models.AccountId, operations: Asked, after: After = None, limit: Limit = 100) -> Response:
    """List what happened to an account's runs, in that order, page by page."""
    return shown(asdict(operations.events(account_id, after, limit)))


@router.get("/accounts/{account_id}/samples", operation_id="listSamples", responses=answers(models.SamplePage))
def list_samples(
    account_id: models.AccountId,
    operations: Asked,
    pass_: Annotated[Pass | None, Query(alias="pass", description="Its newest run; left out: all runs.")] = None,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """List how far an account's runs were from time to time, by the instants, page by page."""
    return shown(asdict(operations.samples(account_id, pass_, after, limit)))


@router.get("/accounts/{account_id}/parts", operation_id="listParts", responses=answers(models.PartPage))
def list_parts(
    account_id: models.AccountId,
    operations: Asked,
    pass_: PassOfRejects = None,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """List the parts of an account's passes with what became of their records, page by page."""
    return shown(asdict(operations.parts(account_id, (pass_,) if pass_ else tuple(Pass), after, limit)))


# --- operations ----------------------------------------------------------------------------------------------------


@router.get("/health", operation_id="getHealth", responses=answers(models.Health))
async def get_health(
    request: Request,
    operations: Asked,
    live: Annotated[bool, Query(description="Ask only whether the server answers, not for its database.")] = False,
) -> Response:
    """Tell whether the server is ready to work; 503 `not_ready` while its database cannot be used. No token needed."""
    if live:
        return shown({"status": "ok"})
    try:
        with anyio.fail_after(READY_SECONDS):
            await anyio.to_thread.run_sync(operations.check_ready, abandon_on_cancel=True)
    except (S3ImportError, TimeoutError):
        detail = "the server answers, but its database cannot be used; the log says why"
        return problem(request_id(request), 503, "not_ready", detail, ready=False)
    return shown({"status": "ok", "ready": True})


@router.get(
    "/schemas/{name}.json",
    operation_id="getSchema",
    response_class=Response,
    responses={200: {"description": "OK", "content": {SCHEMA_TYPE: {"schema": {"type": "object"}}}}},
)
async def get_schema(name: models.SchemaName) -> Response:
    """Give the JSON Schema of a record, a document of a dump, the status document or the callback. No token needed."""
    if name not in SCHEMA_NAMES:
        raise HTTPException(404)
    return Response(schema_text(name), headers={"Cache-Control": "max-age=3600"}, media_type=SCHEMA_TYPE)


@router.get("/metrics", operation_id="getMetrics", response_class=PlainTextResponse)
def get_metrics(render: Annotated[Callable[[], bytes] | None, Depends(_render_metrics)]) -> Response:
    """Give the server's metrics in Prometheus's text format; 404 where they are turned off."""
    if render is None:
        raise HTTPException(404)
    return Response(render(), media_type=METRICS_TYPE)
