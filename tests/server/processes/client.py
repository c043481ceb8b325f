"""What Conversations does: requests over HTTP to a service on loopback."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Any

import orjson

from tests.importing.dumps import ACCOUNT
from tests.server.processes.processes import wait_until


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to the service at `port`."""

    port: int

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the document of the answer. Raises: OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        content = orjson.dumps(body) if body is not None else None
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, orjson.loads(text) if text.startswith(b"{") else text

    def is_up(self) -> bool:
        try:
            return self.request("GET", "/health")[0] == 200
        except OSError:
            return False

    def wait_until_up(self) -> None:
        wait_until(self.is_up)

    def create_account(self, account: str = ACCOUNT) -> None:
        """The account of the dumps, with its brands and its channel."""
        self.request("POST", "/accounts", {"id": account, "name": "Acme"})
        for brand, name in (("b1", "One"), ("b2", "Two")):
            self.request("POST", f"/accounts/{account}/brands", {"id": brand, "name": name})
        channel = {"id": "c1", "brand_id": "b1", "kind": "email", "name": "Mail"}
        self.request("POST", f"/accounts/{account}/channels", channel)

    def migrate(self, account: str = ACCOUNT, **fields: str) -> tuple[int, Any]:
        return self.request("POST", "/migrate", {"account_id": account, **fields})

    def status(self, account: str = ACCOUNT) -> dict[str, Any]:
        document: dict[str, Any] = self.request("GET", f"/check-migration?account_id={account}")[1]
        return document

    def run(self, pass_: str = "recent", account: str = ACCOUNT) -> dict[str, Any]:
        """The pass as the status document shows it; empty before it is asked for."""
        return self.status(account)["passes"][pass_] or {}

    def wait_for(self, state: str, pass_: str = "remaining", seconds: float = 120) -> None:
        wait_until(lambda: self.run(pass_).get("state") == state, seconds)

    def rows_read(self, pass_: str = "recent") -> int:
        return sum(count["read"] for count in self.run(pass_).get("counts", {}).values())
