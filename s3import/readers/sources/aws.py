"""Clients of AWS: by boto3's own credential chain, or in a role that another account grants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.loaders import Loader

from s3import.core.errors import ConfigurationError
from s3import.core.logs import current
from s3import.readers.sources.source import Role

_FAULTS = {
    "ProfileNotFound": "there is no profile of the name in AWS_PROFILE",
    "InvalidRegionError": "AWS_REGION or AWS_DEFAULT_REGION is no region",
    "NoRegionError": "set AWS_REGION",
    "ValueError": "AWS_ENDPOINT_URL is no URL",
}


def client(service: str, config: Config, role: Role | None = None) -> Any:
    """A client of boto3 by its own credential chain and ``AWS_*`` settings; safe to share between threads.

    In a `role` its credentials are renewed for as long as it lives.
    Raises: ConfigurationError when the profile, the endpoint or the region is no such thing.
    """
    try:
        session = _session()
        _trim(session.get_credentials())
        region = (session.get_config_variable("region") or "").strip() or None
        if role is not None:
            provider = _RoleProvider(session, role)
            session = _session()
            session.register_component("credential_provider", CredentialResolver([provider]))
        return boto3.session.Session(botocore_session=session).client(service, region, config=config)
    except (boto.BotoCoreError, ValueError) as error:
        kind = type(error).__name__  # its text may hold what was set, and a secret in it
        fault = _FAULTS.get(kind, "correct the AWS settings")
        raise ConfigurationError(f"AWS cannot be reached as configured ({kind}): {fault}") from error


def sends_checksums() -> bool:
    """Whether requests may carry S3's checksums, which not every store knows: AWS_REQUEST_CHECKSUM_CALCULATION, or the
    profile, says ``when_required`` where they may not."""
    return str(_session().get_config_variable("request_checksum_calculation")).lower() != "when_required"


def canonical_etag(etag: str) -> str:
    """An ETag as S3 itself writes it, ``"0cc175b9c0f1b6a8"``: two that spell one version are equal in this form.

    Stores leave the quotes out, write hexadecimal digits in upper case, or call an ETag weak (``W/"…"``), and do so in
    a listing and not in a header. Letters that are more than digits keep their case.
    """
    value = etag.strip().removeprefix("W/").strip('"')
    return f'"{value.lower() if _HEXADECIMAL.fullmatch(value) else value}"'


_HEXADECIMAL = re.compile("[0-9A-Fa-f-]+")


def _trim(credentials: Any) -> None:
    """Take white space off the ends of keys and token: a secret that was made from a file ends in a newline.

    Raises: ConfigurationError, where they could be in no header all the same; no part of them is shown.
    """
    if type(credentials) is not Credentials:
        return  # none, or such as renew themselves, which come from AWS
    for name in ("access_key", "secret_key", "token"):
        value = (getattr(credentials, name) or "").strip()
        if not re.fullmatch("[!-~]*" if name == "token" else "[!-~]+", value):
            raise ConfigurationError(
                f"the {name.replace('_', ' ')} of the AWS credentials holds characters that none has; "
                "correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or the profile"
            )
        setattr(credentials, name, value or None)


def _session() -> botocore.session.Session:
    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    return session


@cache
def _descriptions() -> Loader:
    """What botocore knows about requests: the same for every client, and nine tenths of the time one takes."""
    return Loader()


@dataclass(frozen=True)
class _RoleProvider:
    """Gives botocore the credentials of a role, which it renews before they expire."""

    session: botocore.session.Session
    role: Role

    METHOD = CANONICAL_NAME = "s3import-role"

    def load(self) -> DeferredRefreshableCredentials:
        """What botocore calls for credentials: nothing is asked for yet."""
        return DeferredRefreshableCredentials(self._assume, self.METHOD)

    def _assume(self) -> Any:
        """Credentials for an hour, by those of the session. Its name tells the role's owner which run it was."""
        name = f"s3import-{current('run_id') or 'preparing'}"
        arguments = {"RoleSessionName": name} | ({"ExternalId": self.role.external_id} if self.role.external_id else {})
        source = self.session.get_credentials()
        if source is None:
            raise boto.NoCredentialsError
        fetcher = AssumeRoleCredentialFetcher(self.session.create_client, source, self.role.arn, extra_args=arguments)
        return fetcher.fetch_credentials()
