"""Connections outlive the engines of tests: the next engine that is opened on the same tables takes one that was left.

A test opens a database for whatever it does or looks at, and each time a server would start a session, and an engine
ask what kind of server it is. But what a pool hands from one transaction to the next it may hand to the next pool, too:
nothing is set for a session, only for a transaction. The name of a session of PostgreSQL alone is set anew.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.writers import Database

MOST = 4  # connections are left for each way to connect
_WHERE = ("host", "port", "dbname", "database", "options")
_OF_AN_ENGINE = ("application_name", "program_name", "context")
_IN_TRANSACTION = 1  # in the status of a session of MySQL

Way = tuple[Any, ...]
_places: set[Way] = set()
_left: dict[Way, list[Any]] = defaultdict(list)
_servers: dict[Way, dict[str, Any]] = {}
_turn = threading.Lock()


@contextmanager
def kept(database: Database) -> Iterator[None]:
    """Within the block connections to where this one connects are left to the next engine, in this process."""
    place, dialect = _place(_arguments(database.engine)), type(database.engine.dialect)
    writer: Any = import_module(database.dialect.module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_connect", _taking(writer._connect))
        patch.setattr(dialect, "do_close", _leave)
        patch.setattr(dialect, "do_terminate", lambda _, connection: connection.close())
        patch.setattr(dialect, "initialize", _asking_once(dialect.initialize))
        _places.add(place)
        try:
            yield
        finally:
            _places.discard(place)
            for way in [way for way in _left if way[0] == place]:
                for connection in _left.pop(way):
                    connection.close()


def _taking(connect: Callable[..., Any]) -> Callable[..., Any]:
    def take_or_connect(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        if _place(options) not in _places:
            return connect(dialect, record, arguments, options)
        way = _place(options), *sorted((name, str(options[name])) for name in options if name not in _OF_AN_ENGINE)
        while (connection := _next(way)) is not None:
            with suppress(dialect.loaded_dbapi.Error, OSError):
                _make_ready(dialect, connection, options)
                return connection
            connection.close()
        connection = connect(dialect, record, arguments, options)
        connection.way = way
        return connection

    return take_or_connect


def _next(way: Way) -> Any:
    with _turn:
        return _left[way].pop() if _left[way] else None


def _make_ready(dialect: Any, connection: Any, options: Mapping[str, Any]) -> None:
    """Name it, and see whether it still works."""
    if dialect.name == "postgresql":
        connection.execute("SELECT set_config('application_name', %s, false)", [options["application_name"]])
    else:
        connection.ping(reconnect=False)


def _leave(dialect: Any, connection: Any) -> None:
    """What an engine does with a connection that it does not need any more."""
    way = getattr(connection, "way", None)
    with _turn:
        if way and way[0] in _places and len(_left[way]) < MOST and _is_idle(dialect, connection):
            _left[way].append(connection)
            return
    connection.close()


def _is_idle(dialect: Any, connection: Any) -> bool:
    if dialect.name == "postgresql":
        return not connection.closed and not connection.info.transaction_status
    return bool(connection.open) and not connection.server_status & _IN_TRANSACTION


def _asking_once(initialize: Callable[[Any, sa.Connection], None]) -> Callable[[Any, sa.Connection], None]:
    """What a dialect finds out about a server, it finds out once."""

    def initialize_once(dialect: Any, connection: sa.Connection) -> None:
        place = _place(_arguments(connection.engine))
        if place not in _places:
            initialize(dialect, connection)
        elif place in _servers:
            vars(dialect).update(_servers[place])
        else:
            before = dict(vars(dialect))
            initialize(dialect, connection)
            _servers[place] = {name: value for name, value in vars(dialect).items() if before.get(name) is not value}

    return initialize_once


def _arguments(engine: sa.Engine) -> Mapping[str, Any]:
    return engine.dialect.create_connect_args(engine.url)[1]


def _place(arguments: Mapping[str, Any]) -> Way:
    return tuple(arguments.get(name) for name in _WHERE)
