"""What is asked of a broker before work begins: a URL that can be used, and a login."""

from __future__ import annotations

import ssl
import threading
from typing import Any, Protocol
from urllib.parse import urlsplit

import stamina

from s3import.core.errors import BrokerRefused, BrokerUnavailable, ConfigurationError, causes

SCHEMES = ("amqp", "amqps", "redis", "rediss", "sqs")
TLS: dict[str, dict[str, Any]] = {
    "amqps": {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None},  # None: the URL's host
    "rediss": {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True},
}
"""By scheme: certificates are verified unless the URL says otherwise. Left to themselves the libraries verify none."""

_REFUSALS = {
    "AccessRefused": "the user, the password or the virtual host in it",
    "NotAllowed": "the virtual host in it",
    "AuthenticationError": "the user or the password in it",
    "AuthenticationWrongNumberOfArgsError": "the user or the password in it",
    "NoPermissionError": "the rights of the user in it",
    "ResponseError": "the number of the database in it",
    "ClientError": "the credentials and their rights",
    "NoCredentialsError": "the credentials",
    "SSLCertVerificationError": "the host in it, or name the certificate's authority in SSL_CERT_FILE",
    "PreconditionFailed": "S3IMPORT_QUEUE: a queue of that name is there and is of another kind",
    "ValueError": "its form",
}
"""What to correct, by the type of an error that trying again does not change. By name: the library of a broker that is
not used need not be there."""


class Login(Protocol):
    """Logs in to the broker once and declares the queue. Raises: whatever the broker's library raises."""

    def __call__(self) -> None: ...


def check_url(url: str) -> str:
    """The broker's scheme. Raises: ConfigurationError, which does not repeat the URL: it may hold a password."""
    scheme = url.partition("://")[0].lower()
    if "://" not in url or scheme not in SCHEMES:
        raise ConfigurationError(
            f"S3IMPORT_BROKER must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    try:
        for one in url.split(";"):
            _ = urlsplit(one).port
    except ValueError:
        raise ConfigurationError(
            f"S3IMPORT_BROKER is no URL like {scheme}://user:password@host:port/name; percent-encode what is special "
            "in the password, as %40 for @ and %2F for /"
        ) from None
    return scheme


def require_login(log_in: Login, *, retry_seconds: float, stop: threading.Event) -> None:
    """Log in, again and again while the broker does not answer.

    Returns without having done so when `stop` is set meanwhile. Raises: BrokerRefused at once, BrokerUnavailable after
    `retry_seconds`.
    """

    def again(error: Exception) -> bool:
        return _refusal(error) is None and not stop.is_set()

    try:
        attempts = None if retry_seconds else 1
        for attempt in stamina.retry_context(on=again, attempts=attempts, timeout=retry_seconds or None, wait_max=2.0):
            with attempt:
                log_in()
    except Exception as error:
        if not stop.is_set():
            raise _translated(error) from error


def _translated(error: Exception) -> BrokerRefused | BrokerUnavailable:
    refusal = _refusal(error)
    if refusal is not None:
        return BrokerRefused(
            f"the broker of S3IMPORT_BROKER refuses this worker ({type(refusal).__name__}); correct "
            f"{_REFUSALS[type(refusal).__name__]}"
        )
    return BrokerUnavailable(
        f"the broker of S3IMPORT_BROKER does not answer ({type(error).__name__}); see that it runs and can be reached, "
        "then start the worker again"
    )


def _refusal(error: BaseException) -> BaseException | None:
    """What of the error and its causes trying again does not change; None where it may pass."""
    return next((one for one in causes(error) if type(one).__name__ in _REFUSALS and not _may_pass(one)), None)


def _may_pass(error: BaseException) -> bool:
    """Whether AWS only asks for patience."""
    answer = getattr(error, "response", None)
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(answer, dict) else 0
    return status == 429 or status >= 500
