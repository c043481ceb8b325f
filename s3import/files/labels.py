"""How a stored file is served: never as a page, a script or a drawing that could run one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from s3import.core.records import Served
from s3import.files.encodings import canonical_encoding

UNKNOWN = "application/octet-stream"
LONGEST_NAME = 150  # characters of a name that a header carries
_TYPE = re.compile(r"(application|audio|font|image|model|text|video)/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_ACTIVE = re.compile(
    r"[a-z]+/(.*\+)?xml(-.*)?"  # what a browser may take for a page: XHTML, SVG, feeds, DTDs
    r"|.*(html|javascript|ecmascript|xslt?|shockwave|x-component)\b.*"
    r"|text/(css|vbscript|cache-manifest)"
)
_SHOWN = re.compile(r"image/(png|jpeg|gif|webp)|audio/.*|video/.*")


@dataclass(frozen=True, slots=True)
class Label:
    """The headers that a file is served with. `encoding`: what its bytes are packed in besides, None: nothing."""

    content_type: str
    disposition: str
    encoding: str | None = None
    cache_control: str | None = None


def label(filename: str, content_type: str | None, served: Served = Served()) -> Label:
    """The headers for a file of that name and type, neither of which is to be trusted; of what its source serves it
    with, the encoding and how long it may be kept, and the type where none is given.

    Pictures, sound and film are shown in place, everything else is downloaded; a type that is none, or that a browser
    would run, becomes ``application/octet-stream``.
    """
    kind = (content_type or served.content_type or "").partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(kind) or _ACTIVE.fullmatch(kind):
        kind = UNKNOWN
    place = "inline" if _SHOWN.fullmatch(kind) else "attachment"
    encoding = canonical_encoding(served.content_encoding)
    return Label(kind, f"{place}; {_parameters(filename)}", encoding, served.cache_control)


def _parameters(filename: str) -> str:
    """The name by RFC 6266: in ASCII for old clients, and as it is (RFC 8187)."""
    name = "".join(character for character in re.split(r"[/\\]", filename)[-1] if character.isprintable())
    name = name[-LONGEST_NAME:] or "file"
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
