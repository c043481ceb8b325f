"""Lists page by page: what a page holds, and the cursors by which the next one is asked for."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from s3import.core.errors import InvalidRequest
from s3import.core.records import Entity, Pass

MAX_PAGE = 1000
_REJECT_CURSOR = re.compile(rf"({'|'.join(Pass)})\.(\d{{1,9}})\.(\d{{1,18}})", re.ASCII)
_RUN_CURSOR = re.compile(r"(\d{1,18})\.([0-9a-f]{32})", re.ASCII)
_ACCOUNT_CURSOR = re.compile(r"(\d{1,18})\.(\S{1,3000})")
_EVENT_CURSOR = re.compile(r"\d{1,18}", re.ASCII)
_PART_CURSOR = re.compile(rf"({'|'.join(Pass)})\.(\d{{1,9}})", re.ASCII)
_ID_CURSOR = re.compile(r"(?:[A-Za-z0-9._-]|~[0-9A-F]{2})+", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list's items, and the cursor behind which the next ones come (None: there are no more)."""

    items: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class RejectSelection:
    """Which open rejects are meant: of these passes, with `code` among their reasons (None: any), of records of
    `entity` (None: any)."""

    passes: Sequence[Pass] = tuple(Pass)
    code: str | None = None
    entity: Entity | None = None


ALL_REJECTS = RejectSelection()


def open_rejects(shown: Mapping[str, Any]) -> int:
    """How many rejects of a pass, as the status document shows it, no delta has resolved."""
    rejects = shown["rejects"]
    return int(rejects["total"]) - int(rejects.get("resolved", 0))


@dataclass(frozen=True, slots=True)
class RejectCursor:
    """The place of a reject among all of its account."""

    pass_: Pass
    part_number: int
    line: int


@dataclass(frozen=True, slots=True)
class AccountCursor:
    """The place of an account among all, those asked for last first."""

    requested_at: dt.datetime
    account_id: str


@dataclass(frozen=True, slots=True)
class RunCursor:
    """The place of a run among all runs, newest first."""

    requested_at: dt.datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class SampleCursor:
    """The place of a sample among all of its account."""

    at: dt.datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class PartCursor:
    """The place of a part among all of its account."""

    pass_: Pass
    number: int


# Each `parse_…` raises InvalidRequest, code ``invalid_cursor``, for what no page named as its `next`.


def reject_cursor(place: RejectCursor) -> str:
    """The cursor of the place of a reject."""
    return f"{place.pass_}.{place.part_number}.{place.line}"


def parse_reject_cursor(text: str) -> RejectCursor:
    """The place that `reject_cursor` wrote."""
    found = _REJECT_CURSOR.fullmatch(text)
    if not found:
        return _refuse()
    return RejectCursor(Pass(found[1]), int(found[2]), int(found[3]))


def run_cursor(place: RunCursor) -> str:
    """The cursor of the place of a run."""
    return _moment(place.requested_at, place.run_id)


def parse_run_cursor(text: str) -> RunCursor:
    """The place that `run_cursor` wrote."""
    return RunCursor(*_parse_moment(text))


def sample_cursor(place: SampleCursor) -> str:
    """The cursor of the place of a sample."""
    return _moment(place.at, place.run_id)


def parse_sample_cursor(text: str) -> SampleCursor:
    """The place that `sample_cursor` wrote."""
    return SampleCursor(*_parse_moment(text))


def part_cursor(place: PartCursor) -> str:
    """The cursor of the place of a part."""
    return f"{place.pass_}.{place.number}"


def parse_part_cursor(text: str) -> PartCursor:
    """The place that `part_cursor` wrote."""
    found = _PART_CURSOR.fullmatch(text)
    return PartCursor(Pass(found[1]), int(found[2])) if found else _refuse()


def parse_event_cursor(text: str) -> int:
    """The id of an event."""
    return int(text) if _EVENT_CURSOR.fullmatch(text) else _refuse()


def account_cursor(place: AccountCursor) -> str:
    """The cursor of the place of an account among those asked for last."""
    return f"{(place.requested_at - _EPOCH) // _MICROSECOND}.{id_cursor(place.account_id)}"


def parse_account_cursor(text: str) -> AccountCursor:
    """The place that `account_cursor` wrote."""
    found = _ACCOUNT_CURSOR.fullmatch(text)
    try:
        return AccountCursor(_EPOCH + int(found[1]) * _MICROSECOND, parse_id_cursor(found[2])) if found else _refuse()
    except OverflowError:
        return _refuse()


def id_cursor(account_id: str) -> str:
    """The id in signs that no part of a URL gives a meaning."""
    return quote(account_id, safe="").replace("~", "%7E").replace("%", "~")


def parse_id_cursor(text: str) -> str:
    """The id that `id_cursor` wrote."""
    try:
        account_id = unquote(text.replace("~", "%"), errors="strict")
    except UnicodeDecodeError:
        return _refuse()
    if not _ID_CURSOR.fullmatch(text) or "\0" in account_id:  # which no database can compare
        return _refuse()
    return account_id


def _moment(at: dt.datetime, run_id: str) -> str:
    return f"{(at - _EPOCH) // _MICROSECOND}.{run_id}"


def _parse_moment(text: str) -> tuple[dt.datetime, str]:
    found = _RUN_CURSOR.fullmatch(text)
    try:
        return (_EPOCH + int(found[1]) * _MICROSECOND, found[2]) if found else _refuse()
    except OverflowError:
        return _refuse()


def _refuse() -> NoReturn:
    raise InvalidRequest("`after` takes the `next` of an earlier page, as it was", code="invalid_cursor")
