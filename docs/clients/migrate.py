"""Moves an account over the HTTP API of s3import: `python migrate.py ACCOUNT`.

S3IMPORT_URL is the server (http://localhost:8080), S3IMPORT_TOKEN the token. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

GIVE_UP_SECONDS = 600.0  # of a server that does not answer
LONGEST_WAIT_SECONDS = 30.0


class Problem(Exception):
    """The server refuses the request. `code` is stable, `detail` is for people."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(f"{document['detail']} [{document['code']}]")
        self.code: str = document["code"]


class MigrationFailed(Exception):
    """A pass ended without being imported."""


@dataclass(frozen=True)
class Client:
    """A server and a token for it."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request. It is sent again while the server is not available; any request may be repeated.

        Raises: Problem; URLError when the server is not available for too long.
        """
        wait, give_up = 0.5, time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return self._ask_once(method, path, body)
            except HTTPError as error:
                problem = json.load(error)
                if error.code != 503 or time.monotonic() > give_up:
                    raise Problem(problem) from error
                wait = max(wait, float(error.headers.get("Retry-After", 0)))
            except (URLError, ConnectionError, TimeoutError):
                if time.monotonic() > give_up:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _ask_once(self, method: str, path: str, body: object) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=30) as answer:
            return json.load(answer)


def prepare(client: Client, account_id: str) -> None:
    """Create the account, its brands and its channels. What exists stays as it is."""
    account = f"/accounts/{quote(account_id, safe='')}"
    client.ask("POST", "/accounts", {"id": account_id, "name": "Acme"})
    client.ask("POST", f"{account}/brands", {"id": "b1", "name": "Shop"})
    client.ask("POST", f"{account}/channels", {"id": "c1", "brand_id": "b1", "kind": "email", "name": "Support"})


def move(client: Client, account_id: str, pass_: str) -> None:
    """Import a pass and wait for its end. A pass that was imported before is left alone.

    Raises: MigrationFailed with the reason; Problem.
    """
    asked = client.ask("POST", "/migrate", {"account_id": account_id, "pass": pass_})
    if "ignored" in asked:
        return
    wait = 0.5
    while True:
        run = client.ask("GET", f"/check-migration?account_id={quote(account_id)}")["passes"][pass_]
        if run["state"] == "succeeded":
            print(f"{account_id}: the {pass_} pass is imported, {run['rejects']['total']} records rejected")
            return
        if run["state"] in ("failed", "cancelled"):
            raise MigrationFailed(f"{account_id}: {run['error']['message']} [{run['error']['code']}]")
        time.sleep(wait)
        wait = min(1.5 * wait, LONGEST_WAIT_SECONDS)  # often at first, more seldom for what takes hours


def main(account_id: str) -> None:
    """Move both passes of an account."""
    client = Client(os.environ["S3IMPORT_URL"], os.environ["S3IMPORT_TOKEN"])
    prepare(client, account_id)
    move(client, account_id, "recent")  # people can work in the account from here on
    move(client, account_id, "remaining")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (Problem, MigrationFailed, URLError) as error:
        sys.exit(str(error))
