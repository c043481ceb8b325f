"""Database URLs: taken apart, and refused with one sentence where they can never work. No message shows a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from s3import.core.errors import ConfigurationError, printable

MAX_PORT = 65535
Parser = Callable[[str], Any]
"""Makes a value of an option's text. Raises: ValueError."""


def parse_url(url: str) -> sa.URL:
    """The parts of a database URL. Raises: ConfigurationError."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # its own message would show the URL
        _require_escaped(url)
        raise ConfigurationError(
            "the database URL is not one; it looks like postgresql://user:password@host:5432/name or sqlite:///file.db"
        ) from None
    if not parsed.drivername.startswith("sqlite"):
        _require_escaped(url)
    if parsed.port is not None and not 0 < parsed.port <= MAX_PORT:
        raise ConfigurationError(f"the database URL names port {parsed.port}; ports go from 1 to {MAX_PORT}")
    return parsed


def shown(url: str) -> str:
    """The URL as people may see it: no password, none of its options. Raises: ConfigurationError."""
    parsed = parse_url(url)._replace(password=None)  # `set` takes None for no change
    return parsed.set(query={}).render_as_string()


def _require_escaped(url: str) -> None:
    # Whatever follows a stray @ or / would be taken for a host, and shown as one.
    _scheme, _, rest = url.partition("://")
    authority, path = re.split(r"[/?]", rest, maxsplit=1)[0], rest.partition("?")[0]
    if path.count("@") > 1 or ("@" in rest and "@" not in authority):
        raise ConfigurationError(
            "the user name or password in the database URL holds a character that has a meaning there: "
            "write @ as %40, / as %2F, ? as %3F, : as %3A and % as %25"
        )


def options_of(url: sa.URL, known: Mapping[str, Parser]) -> dict[str, Any]:
    """The URL's options as values. Raises: ConfigurationError naming an option that is unknown or has a wrong value."""
    require_known(url, known)
    return {name: _value(name, text, known[name]) for name, text in url.query.items()}


def require_known(url: sa.URL, known: Collection[str]) -> None:
    """Raises: ConfigurationError naming the options that are not known."""
    unknown = sorted(set(url.query) - set(known))
    if unknown:
        names = ", ".join(printable(name)[:64] for name in unknown)
        raise ConfigurationError(
            f"the database URL has an option that s3import does not take for {url.get_backend_name()}: {names}; "
            "take it out"
        )


def _value(name: str, text: str | tuple[str, ...], parse: Parser) -> Any:
    try:
        if isinstance(text, str):
            return parse(text)
    except ValueError:
        pass
    raise ConfigurationError(f"the database URL's option {name} has a value that it cannot have")


def whole_number(text: str) -> int:
    """A number of 0 or more. Raises: ValueError."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(text)
    return int(text)


def truth(text: str) -> bool:
    """Raises: ValueError."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def one_of(*words: str) -> Parser:
    """Takes one of these words. Raises: ValueError."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse
