"""What helps against a refusal of S3, by the code of its error: a sentence of ours, never the store's own text."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CLOCK = "this machine's clock is wrong: set it by NTP"
_EXPIRED = "the credentials have expired: renew them (`aws sso login`, or a new session token)"
_WRONG_KEYS = "the credentials are wrong for this store: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE"
_KMS = "the object is encrypted by KMS: allow kms:Decrypt on its key for these credentials, and make sure it is enabled"
_CUSTOMER_KEY = (
    "the object is encrypted with a key of its writer's (SSE-C), which s3import has not: copy it within S3, encrypted "
    "by S3 or KMS or not at all"
)
_REGION = "the bucket lies in another region or behind another endpoint: set AWS_REGION{} and AWS_ENDPOINT_URL for it"
_NAME = "no bucket has such a name: correct the source"

_BY_CODE = {
    "InvalidObjectState": "it is archived: restore it",
    "ObjectNotInActiveTierError": "it is archived: restore it",
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "InvalidSecurity"), _WRONG_KEYS),
    **dict.fromkeys(("PermanentRedirect", "Redirect", "TemporaryRedirect", "301", "307"), _REGION),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"), _REGION),
    **dict.fromkeys(("InvalidBucketName", "InvalidARNError"), _NAME),
    "AllAccessDisabled": "the bucket's account is disabled: ask its owner",
    "AccountProblem": "there is a problem with the AWS account: ask its owner",
}
_NOT_THERE = {"s3:GetObject": " (and s3:ListBucket, without which S3 denies what is not there)"}
_REGION_NAME = re.compile(r"[a-z]{2,}(-[a-z0-9]+){1,4}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,63}")


def remedy(action: str, code: str, message: str, headers: Mapping[str, str]) -> str:
    """What to do about an error with that code, message and headers, in answer to `action` (``s3:GetObject``)."""
    if code.startswith("KMS.") or "kms:" in message:
        return _KMS
    if "server side encryption" in message.lower():
        return _CUSTOMER_KEY
    found = _BY_CODE.get(code, f"use credentials that may, or allow {action} for these{_NOT_THERE.get(action, '')}")
    return found.format(_named_region(headers))


def shown_code(code: str) -> str:
    """The code where it is a word, as S3's are; nothing of what else a store may say."""
    return code if _CODE.fullmatch(code) else "an error without a code"


def _named_region(headers: Mapping[str, str]) -> str:
    region = headers.get("x-amz-bucket-region", "")
    return f"={region}" if _REGION_NAME.fullmatch(region) else ""
