"""The command that makes the certificate of a migration, and checks one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from s3import.console import options
from s3import.console.output import say
from s3import.console.signals import signals
from s3import.core.errors import ConfigurationError, printable, system_reason

if TYPE_CHECKING:
    from s3import.core.settings import Settings


@click.command(cls=options.SingleCommand)
@options.any_account
@options.database
@options.html
@options.lists
@options.as_verified
@options.check
def certificate(
    account: str | None,
    database: str | None,
    html: Path | None,
    lists: Path | None,
    as_verified: bool,
    check: BinaryIO | None,
) -> None:
    """Print the signed certificate of an account that `verify` found no difference in, as one JSON document.

    It says what was read, written, unchanged, rejected and why, and deleted, with digests of tables, parts and files.
    It is signed with S3IMPORT_CERTIFICATE_SECRET, or else with S3IMPORT_CALLBACK_SECRET. --check checks whether a
    certificate was changed since it was signed: exit status 0 if not, 1 if so.
    """
    settings = options.settings_from(database=database)
    if check is not None:
        click.echo(checked_as_text(settings, check.read()))
        return
    if account is None:
        raise ConfigurationError("give --account ID for a certificate, or --check FILE to check one")
    with signals() as stop:
        from s3import.console import summary
        from s3import.console.place import place_of_account
        from s3import.console.terminal import Terminal
        from s3import.operations.verify.certify import certify

        place = str(place_of_account(settings, account))
        with Terminal(accounts=1, line_seconds=settings.progress_seconds, place=place) as screen:
            document = certify(settings, account, lists=lists, as_verified=as_verified, observe=screen, stop=stop)
        if html is not None:
            write_page(settings, document, html)
    click.echo(summary.document_as_json(document))


def write_page(settings: Settings, document: dict[str, Any], path: Path) -> None:
    """Write the certificate as a page, in the place of what is there."""
    try:
        from s3import.reporting.certificate_page import page_of
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"--html needs the package {error.name}: pip install 'reamaze-s3import[service]'"
        ) from error
    from s3import.reporting.certificate import seal, signing_key

    try:
        path.write_bytes(seal(page_of(document), signing_key(settings)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {system_reason(error)}; give another file") from error
    say(f"the certificate of account {document['account']['id']} is in {path}")


def checked_as_text(settings: Settings, content: bytes) -> str:
    """What a certificate that is as it was signed certifies, in a few lines. Raises: CertificateInvalid."""
    from s3import.reporting.certificate import checked, signing_key

    document = checked(content, signing_key(settings))
    version, verified_at = document["software"]["s3import"], document["verification"]["verified_at"]
    lines = [
        f"account {printable(document['account']['id'])}: the certificate is as it was signed",
        f"  issued {document['issued_at']} with s3import {version}, verified {verified_at}",
    ]
    for entity, tally in document["totals"].items():
        became = " + ".join(f"{tally[what]:,} {what}" for what in ("written", "unchanged", "rejected"))
        lines.append(f"  {entity}: {tally['read']:,} read = {became}")
    return "\n".join(lines)
