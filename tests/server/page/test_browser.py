"""The page in a real browser: what it shows changes by itself, what is clicked happens, and everybody can use it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, expect

from s3import.core.errors import DatabaseUnavailable
from s3import.core.records import Pass
from s3import.core.tables import accounts, import_rejects, import_runs, import_samples
from s3import.operations.operations import Operations
from s3import.server.page.session import COOKIE, Session
from s3import.status import State
from tests.importing.dumps import ACCOUNT as DUMPED
from tests.server.api.services import ACCOUNT, TOKEN, open_service, put_account, put_rejects, put_run
from tests.server.api.serving import served
from tests.server.page.browsers import chromium, faults
from tests.server.processes.client import Client
from tests.server.processes.conftest import served_settings
from tests.server.processes.processes import free_port, processes

pytestmark = pytest.mark.integration

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&\u202e"
TOO_WIDE = """document.documentElement.scrollWidth <= innerWidth
    ? [] : [...document.querySelectorAll("body *:not(.scroll *)")]
        .filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.outerHTML.slice(0, 99))"""
LOOKS: list[tuple[Literal["light", "dark"], int]] = [("dark", 1280), ("light", 360)]
ON_A_WALL = 3840  # nothing there is judged otherwise than on a desk, but for what fits
FILE_SIGNS = str.maketrans("/?=", "---")
SCREENSHOTS = os.environ.get("S3IMPORT_TEST_SCREENSHOTS")  # a folder that keeps what was looked at


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Operations]:
    opened = open_service(sqlite_url)
    yield opened
    opened.database.close()


@pytest.fixture
def open_page(browser: Browser, service: Operations) -> Iterator[Callable[..., Page]]:
    """Opens a page of a server over the service, as somebody who has logged in."""
    contexts: list[BrowserContext] = []
    with served(service) as port:

        def opened(path: str = "/ui/", *, log_in: bool = True, **how: object) -> Page:
            context = browser.new_context(base_url=f"http://127.0.0.1:{port}", **how)  # type: ignore[arg-type]
            contexts.append(context)
            if log_in:
                cookie = Session([TOKEN]).cookie_for(TOKEN) or ""
                context.add_cookies([{"name": COOKIE, "value": cookie, "domain": "127.0.0.1", "path": "/ui"}])
            page = context.new_page()
            page.goto(path)
            return page

        yield opened
        for context in contexts:
            context.close()


@contextmanager
def untouched(page: Page) -> Iterator[None]:
    """Within the block the page is not loaded again."""
    page.evaluate("window.same = true")
    yield
    assert page.evaluate("window.same === true")


def test_a_run_is_watched_from_a_click_to_active_without_a_reload(
    browser: Browser, tmp_path: Path, postgres_url: str
) -> None:
    settings = served_settings(tmp_path / "dumps", postgres_url)
    slow, port = tmp_path / "slow", free_port()
    slow.touch()
    with processes() as started, browser.new_context(base_url=f"http://127.0.0.1:{port}") as context:
        started.serve(settings, port, slow=slow)
        client = Client(port)
        client.wait_until_up()
        client.create_account()
        page = context.new_page()
        page.goto(f"/ui/accounts/{DUMPED}")
        page.get_by_role("button", name="Start the migration").click()
        expect(page.locator("#said")).to_contain_text("The migration was asked for")
        with untouched(page):
            expect(page.get_by_text("running").first).to_be_visible(timeout=60_000)
            expect(page.locator("#spoken")).to_contain_text("percent", timeout=60_000)
            slow.unlink()
            expect(page.locator("li[aria-current=step]")).to_contain_text("active", timeout=120_000)
            expect(page.locator(".pass h2").last).to_contain_text("done", timeout=120_000)
            expect(page.locator("li[aria-current=step]")).to_have_text("● active (reached)")
        page.get_by_role("button", name="Verify").click()
        with untouched(page):
            expect(page.locator(".notice.good").first).to_contain_text(
                "the database holds what the dump says", timeout=120_000
            )
            expect(page.locator("#spoken")).to_contain_text("verify: the database holds what the dump says")


def test_a_failed_run_is_resumed_by_a_click_and_cancelled_after_a_question(
    open_page: Callable[..., Page], service: Operations
) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.FAILED)
    page = open_page(f"/ui/accounts/{ACCOUNT}")
    expect(page.get_by_text("broken on purpose")).to_be_visible()
    page.get_by_role("button", name="Resume the recent pass").click()
    expect(page.locator(".pass h2").first).to_contain_text("queued")
    page.get_by_role("button", name="Cancel…").click()
    expect(page.get_by_role("heading", name="Cancel the migration of")).to_be_visible()
    page.get_by_role("button", name="Cancel the migration").click()
    expect(page.locator("#said")).to_contain_text("Cancelled. The run ends at its next batch")
    expect(page.locator(".pass h2").first).to_contain_text("cancelled")


def test_the_page_changes_by_itself_and_keeps_what_the_operator_opened(
    open_page: Callable[..., Page], service: Operations
) -> None:
    put_account(service)
    run_id = put_run(service, Pass.RECENT, State.QUEUED)
    with service.database.begin() as connection:
        connection.execute(import_runs.update().values(skipped_objects=["recent/threads/notes.txt"]))
    page = open_page(f"/ui/accounts/{ACCOUNT}")
    page.get_by_text("1 object was skipped").click()
    with untouched(page):
        service.cancel(run_id)
        expect(page.locator(".pass h2").first).to_contain_text("cancelled")
        expect(page.locator("#spoken")).to_contain_text("cancelled")
        expect(page.get_by_text("recent/threads/notes.txt")).to_be_visible()


def test_a_wrong_token_a_login_and_a_logout(open_page: Callable[..., Page]) -> None:
    page = open_page("/ui/fleet", log_in=False)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("none of the server")
    assert faults(page) == []
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    assert TOKEN not in page.url
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto("/ui/migrations")
    expect(page.get_by_label("Token")).to_be_visible()


def test_an_open_page_whose_token_was_removed_shows_the_form_and_comes_back_with_another(
    browser: Browser, service: Operations
) -> None:
    put_account(service)
    with browser.new_context() as context:
        page = context.new_page()
        with served(service, tokens=["removed-later", TOKEN]) as port:
            page.goto(f"http://127.0.0.1:{port}/ui/accounts/{ACCOUNT}")
            page.get_by_label("Token").fill("removed-later")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(ACCOUNT)
        with served(service, tokens=[TOKEN], port=port):
            expect(page.get_by_label("Token")).to_be_visible(timeout=20_000)
            page.get_by_label("Token").fill("removed-later")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("alert")).to_contain_text("none of the server")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(ACCOUNT)


def test_a_view_comes_back_as_a_whole_once_the_database_answers(
    open_page: Callable[..., Page], service: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("gone")

    put_account(service)
    page = open_page()
    for way in ("read", "look"):
        monkeypatch.setattr(type(service.database), way, fail)
    page.goto(f"/ui/accounts/{ACCOUNT}")
    expect(page.get_by_text("The database does not answer")).to_be_visible()
    monkeypatch.undo()
    expect(page.get_by_role("heading", level=1)).to_contain_text(ACCOUNT, timeout=20_000)
    expect(page.get_by_role("link", name="Fleet")).to_be_visible()


def test_nothing_moves_while_numbers_change_and_what_is_typed_stays(
    open_page: Callable[..., Page], service: Operations
) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.RUNNING)
    page = open_page()
    page.get_by_label("Account id begins with").fill("some")
    columns = "[...document.querySelectorAll('.migrations th')].map(one => one.getBoundingClientRect().left)"
    before = page.evaluate(columns)
    with untouched(page):
        with service.database.begin() as connection:
            connection.execute(import_runs.update().values(rows_per_second=123_456_789.0))
        expect(page.get_by_text("123,456,789")).to_be_visible(timeout=20_000)
    assert page.evaluate(columns) == before
    expect(page.get_by_label("Account id begins with")).to_have_value("some")


def test_hostile_names_are_shown_and_never_run(open_page: Callable[..., Page], service: Operations) -> None:
    account_id = HOSTILE.replace("/", "")
    put_account(service, account_id=account_id)
    run_id = put_run(service, Pass.RECENT, State.FAILED, account_id)
    put_rejects(service, run_id, {1: [1]}, account_id)
    hostile = dict.fromkeys(("error_code", "error_message", "source", "holder"), HOSTILE)
    with service.database.begin() as connection:
        connection.execute(import_runs.update().values(**hostile, skipped_objects=[HOSTILE]))
        reason = {"code": HOSTILE, "field": HOSTILE, "message": HOSTILE}
        connection.execute(import_rejects.update().values(raw=HOSTILE, record_id=HOSTILE, reasons=[reason]))
        connection.execute(accounts.update().values(name=HOSTILE))
    page = open_page()
    page.get_by_role("link", name="<script>").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    page.get_by_text("All rejects").click()
    expect(page.get_by_label("The record's text")).to_contain_text("<script>")
    assert "owned" not in page.title().replace(account_id, "").split("·")[-1]
    assert page.evaluate("document.querySelectorAll('img, main script').length") == 0


def test_ids_with_signs_of_urls_are_watched(open_page: Callable[..., Page], service: Operations) -> None:
    put_account(service, account_id="a%62?c#d e")
    run_id = put_run(service, Pass.RECENT, State.QUEUED, "a%62?c#d e")
    page = open_page()
    page.get_by_role("link", name="a%62?c#d e").click()
    with untouched(page):
        service.cancel(run_id)
        expect(page.locator(".pass h2").first).to_contain_text("cancelled")


def test_ten_thousand_accounts_are_paged_and_found(open_page: Callable[..., Page], service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.QUEUED)
    now = dt.datetime.now(dt.UTC)
    with service.database.begin() as connection:
        row = dict(connection.execute(sa.select(import_runs)).mappings().one())
        connection.execute(
            import_runs.insert(),
            [
                {
                    **row,
                    "run_id": f"{n:032x}",
                    "account_id": f"shop-{n:05}",
                    "requested_at": now - dt.timedelta(seconds=n),
                }
                for n in range(10_000)
            ],
        )
    page = open_page()
    expect(page.locator(".migrations tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="shop-00050")).to_be_visible()
    page.get_by_label("Account id begins with").fill("shop-0999")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".migrations tbody tr")).to_have_count(10)


def test_everybody_can_use_every_state(open_page: Callable[..., Page], service: Operations) -> None:
    """By day and by night, on a phone and on a wall."""
    running = ""
    for state in State:
        put_account(service, account_id=state.value)
        run_id = put_run(service, Pass.RECENT, state, state.value)
        running = run_id if state is State.RUNNING else running
        if state is State.SUCCEEDED:
            put_rejects(service, run_id, {1: [1, 2]}, state.value)
    put_account(service, account_id="lost")
    lost = put_run(service, Pass.RECENT, State.RUNNING, "lost")
    with service.database.begin() as connection:
        connection.execute(import_runs.update().where(import_runs.c.run_id == lost).values(lease_until=1.0))
        rich = import_runs.update().where(import_runs.c.account_id == State.SUCCEEDED)
        found = {"verified_at": "2026-01-02T03:04:05Z", "differences": 2, "rejected": 1}
        connection.execute(
            rich.values(verified=found, skipped_objects=["notes.txt"], files_total=9, files_copied=7, files_missing=2)
        )
        now = dt.datetime.now(dt.UTC)
        sample = {"run_id": running, "stage": "threads", "bytes": 1}
        sampled = [{**sample, "at": now - dt.timedelta(seconds=9 - n), "records": n * n} for n in range(9)]
        connection.execute(import_samples.insert(), sampled)
    page = open_page(reduced_motion="reduce")  # colours change at once
    paths = ["migrations", "fleet", *(f"accounts/{name}" for name in [*State, "lost"])]
    paths += ["accounts/succeeded/rejects", "accounts/succeeded/parts", "accounts/queued/cancel", "accounts/nobody"]
    paths += [
        "accounts/queued?said=started",
        "accounts/running/more",
        "migrations?state=queued",
        "migrations?text=none",
    ]
    for path in paths:
        page.goto(f"/ui/{path}")
        for closed in page.locator("summary").all():
            closed.click()
        for scheme, width in LOOKS:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            assert (path, scheme, width, faults(page)) == (path, scheme, width, [])
            _fits(page, path, f"{scheme}-{width}")
        page.set_viewport_size({"width": ON_A_WALL, "height": 800})
        _fits(page, path, f"light-{ON_A_WALL}")


def _fits(page: Page, path: str, look: str) -> None:
    """Nothing of the page is wider than its window."""
    assert (path, look, page.evaluate(TOO_WIDE)) == (path, look, [])
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{path.translate(FILE_SIGNS)}-{look}.png", full_page=True)


def test_the_keyboard_alone_reaches_what_matters(open_page: Callable[..., Page], service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.FAILED)
    page = open_page(f"/ui/accounts/{ACCOUNT}")
    page.locator("h1").wait_for()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Resume the recent pass":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("The migration was asked for")


def test_without_javascript_every_view_works(open_page: Callable[..., Page], service: Operations) -> None:
    put_account(service)
    run_id = put_run(service, Pass.RECENT, State.QUEUED)
    page = open_page(java_script_enabled=False)
    page.get_by_role("link", name=ACCOUNT).click()
    expect(page.locator(".pass h2").first).to_contain_text("queued")
    service.cancel(run_id)
    expect(page.locator(".pass h2").first).to_contain_text("cancelled", timeout=20_000)
    page.get_by_role("button", name="Resume the recent pass").click()
    expect(page.locator(".pass h2").first).to_contain_text("queued")
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()


def test_a_server_that_is_gone_is_told(browser: Browser, service: Operations) -> None:
    context = browser.new_context()
    with served(service) as port:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/ui/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Migrations")).to_be_visible()
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    context.close()
