"""Requests to AWS: tried again while that may help, and what went wrong said in our own errors."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import stamina
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from s3import.core.errors import ConfigurationError, MigrationFailed, S3ImportError, SourceUnavailable
from s3import.core.http import retry_after_seconds
from s3import.readers.sources.remedies import shown_code
from s3import.readers.sources.source import RetryPolicy

T = TypeVar("T")
log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 8.0
REFUSALS = 3  # tries after which a 403 is believed: new permissions take a moment to spread
THROTTLED = {
    *("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalError"),
    *("ProvisionedThroughputExceededException", "InternalServerError"),  # DynamoDB's words, with a status of 400
}
MISCONFIGURED = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.ParamValidationError,
    boto.InvalidRegionError,
    boto.BaseEndpointResolverError,
    boto.UnsupportedS3ArnError,
    boto.UnsupportedS3AccesspointConfigurationError,
)
BROKEN = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    boto.CredentialRetrievalError,
    ResponseParserError,
    HTTPError,
    OSError,
)


def ask(
    work: Callable[[], T],
    where: str,
    policy: RetryPolicy,
    refusal: Callable[[boto.ClientError], S3ImportError],
    settings: str,
) -> T:
    """What `work` returns, tried again while it fails for reasons that pass.

    A server's Retry-After is honoured. `where` names what is asked for in errors and logs; `refusal` makes our error of
    one that AWS answered; `settings` says what to correct where requests cannot even be made.
    Raises: what `refusal` gives, ConfigurationError, SourceUnavailable; MigrationFailed where botocore makes nothing of
    an answer; errors of ours that `work` raises.
    """
    try:
        for attempt in _attempts(where, policy):
            with attempt:
                return work()
    except boto.ClientError as error:
        raise refusal(error) from error
    except MISCONFIGURED as error:
        raise ConfigurationError(f"{where} cannot be asked for ({type(error).__name__}); {settings}") from error
    except (boto.BotoCoreError, *BROKEN) as error:
        if _is_untrusted(error):
            raise ConfigurationError(
                f"{where} cannot be asked for: the store's certificate is not trusted, or AWS_CA_BUNDLE names no file "
                "of certificates; correct AWS_CA_BUNDLE or AWS_ENDPOINT_URL"
            ) from error
        raise SourceUnavailable(f"{where} does not answer ({_kind(error)}); run the same command again") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise MigrationFailed(
            f"{where}: the answer makes no sense by AWS's protocol ({type(error).__name__}); update the "
            "store or the proxy before it, or copy the dump into a folder"
        ) from error
    raise AssertionError("an attempt neither returned nor raised")


def _attempts(where: str, policy: RetryPolicy) -> Iterator[stamina.Attempt]:
    """Tries of a request of boto3, for as long as `policy` lasts; `where` names in the log what is asked for."""
    return iter(
        stamina.retry_context(
            _decide(where, policy.retry_seconds),
            attempts=None if policy.retry_seconds else 1,
            timeout=policy.retry_seconds or None,
            wait_initial=policy.first_wait_seconds,
            wait_max=LONGEST_WAIT_SECONDS,
            wait_jitter=5 * policy.first_wait_seconds,
        )
    )


def _decide(where: str, retry_seconds: float) -> Callable[[Exception], bool | float]:
    """A hook for stamina: whether a failure is worth another try, and after how many seconds where the server says."""
    refusals = 0

    def decide(error: Exception) -> bool | float:
        nonlocal refusals
        if isinstance(error, S3ImportError):
            return False
        if isinstance(error, boto.ClientError):
            refusals += status_of(error) == 403
            if not (is_temporary(error) or 0 < refusals < REFUSALS):
                return False
        elif not isinstance(error, BROKEN) or _is_untrusted(error):
            return False
        log.warning(
            "%s: %s; tried again for up to %g s", where, _kind(error), retry_seconds, extra={"event": "source_retried"}
        )
        return _retry_after(error, retry_seconds) or True

    return decide


def _is_untrusted(error: BaseException) -> bool:
    """Whether TLS did not come about for a reason that stays: a certificate is not trusted, or a file has none."""
    causes: list[Any] = [error] if isinstance(error, boto.SSLError) else []
    for cause in causes:  # which grows
        if isinstance(cause, ssl.SSLCertVerificationError | FileNotFoundError) or _is_no_certificate(cause):
            return True
        inner = (cause.__cause__, cause.__context__, getattr(cause, "kwargs", {}).get("error"), *cause.args)
        causes += [one for one in inner if isinstance(one, BaseException) and one not in causes]
    return False


def _is_no_certificate(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and error.library in ("PEM", "X509")


def _kind(error: Exception) -> str:
    """An error in a word or two: its own text may hold a secret."""
    code = code_of(error) if isinstance(error, boto.ClientError) else ""
    return shown_code(code) if code else type(error).__name__


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of an answer; 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: boto.ClientError) -> str:
    """The code of an error; "" where the answer has none, or an empty one."""
    return str(error.response["Error"].get("Code") or "")


def is_temporary(error: boto.ClientError) -> bool:
    """Whether the same request may succeed later."""
    return is_temporary_status(status_of(error)) or code_of(error) in THROTTLED


def is_temporary_status(status: int) -> bool:
    """Whether an answer of this HTTP status says by that alone that the same request may succeed later."""
    return status >= 500 or status == 429


def _retry_after(error: Exception, most_seconds: float) -> float:
    """The wait a server asked for, in seconds; 0 where it asked for none."""
    response = getattr(error, "response", None) or {}
    header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return min(retry_after_seconds(header) or 0.0, most_seconds)
