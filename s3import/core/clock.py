"""The database's own clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class clock(GenericFunction[float]):  # noqa: N801 - a SQL function
    """The database's own clock in seconds since 1970: leases must not depend on hosts agreeing about the time."""

    type = sa.Double()
    inherit_cache = True


@compiles(clock, "postgresql")
def _clock_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"


@compiles(clock, "mysql")
@compiles(clock, "mariadb")
def _clock_mysql(element: Any, compiler: Any, **kw: Any) -> str:
    return "(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6)"


@compiles(clock, "sqlite")
def _clock_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
