"""How much memory a process takes that reads a part."""

from __future__ import annotations

from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from s3import.core.errors import PartUnreadable
from s3import.core.records import Entity, PlannedPart
from s3import.readers.dump.objects import open_dump
from s3import.readers.reading import read_checked


def _peak_kb() -> int:
    """The most memory that this process had since it was forked; getrusage tells of the one that forked it too."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def tell(path: Path, entity: Entity, pipe: Connection) -> None:
    """Read and check a part to its end, and say what that was like."""
    begun_kb = _peak_kb()
    source = open_dump(str(path.parent), "acme")
    stored = source.companion.find(path.name)
    assert stored is not None
    part = PlannedPart(entity, path.name, stored)
    rows, most, codes, error = 0, 0, Counter[str](), ""
    try:
        for read in read_checked(source, part, "acme", block_bytes=8 * 1024 * 1024):
            rows, most = rows + read.batch.records.num_rows, max(most, read.batch.records.num_rows)
            for reject in read.checked.rejects:
                codes.update({reason.code for reason in reject.reasons})
    except PartUnreadable as refused:
        error = str(refused)
    peak_mb = (_peak_kb() - begun_kb) // 1024
    pipe.send({"rows": rows, "most": most, "codes": dict(codes), "error": error, "peak_mb": peak_mb})
