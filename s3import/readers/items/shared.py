"""Reads an export's files once for many accounts: a file's lines are sorted by account into a folder of this machine.

Places are those of the file itself, so that a run may begin with the files shared and go on without, or the other way.
"""

from __future__ import annotations

import fcntl
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from s3import.readers.items.columns import ITEM, key_values_of
from s3import.readers.items.decode import items_batch
from s3import.readers.items.wanted import Wanted
from s3import.readers.jsonl import Block, split_lines
from s3import.records import Batch, Position

EVERYBODY = -1  # whose a line is that cannot be read
NOBODY = -2  # of the accounts that are asked for
Blocks = Callable[[], Iterator[tuple[Block, Position, int]]]
"""A file's text in whole lines, each with the place behind it and the stored bytes read so far."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """The accounts that are read for in one command, and the folder that its processes share."""

    folder: str
    account_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """An account's lines in one block of a file: their numbers, and the place behind the block."""

    numbers: tuple[int, ...]
    end: Position
    stored_bytes: int
    text: bytes


def read_shared(
    sharing: Sharing, file_name: str, blocks: Blocks, wanted: Wanted, start: Position, block_bytes: int
) -> Iterator[Batch]:
    """The wanted items of a file from `start` on, in batches of about `block_bytes` of their text.

    `file_name` is one that no other file, and no other version of it, has.
    """
    folder = _sorted_lines(sharing, file_name, blocks, wanted)
    held: list[Slice] = []
    for piece in _slices(folder, sharing.account_ids.index(wanted.account_id)):
        if piece.end > start:
            held.append(_behind(piece, start))
            if sum(len(one.text) for one in held) >= block_bytes:
                yield _batch(held, wanted, start)
                start, held = held[-1].end, []
    yield _batch(held, wanted, start, last=True)


def _batch(pieces: Sequence[Slice], wanted: Wanted, start: Position, *, last: bool = False) -> Batch:
    end = pieces[-1].end if pieces else start
    text = b"".join(piece.text for piece in pieces)
    batch = items_batch(text, wanted, Position(), end, last=last)
    numbers = pa.array([number for piece in pieces for number in piece.numbers], pa.int64())
    stored_bytes = pieces[-1].stored_bytes if pieces else 0
    return replace(batch, lines=numbers.take(pc.subtract(batch.lines, 1)), start=start, bytes_done=stored_bytes)


def _behind(piece: Slice, start: Position) -> Slice:
    """What of it lies behind a place."""
    left = [place for place, number in enumerate(piece.numbers) if number > start.line]
    if len(left) == len(piece.numbers):
        return piece
    lines = piece.text.splitlines(keepends=True)
    return replace(piece, numbers=tuple(piece.numbers[n] for n in left), text=b"".join(lines[n] for n in left))


# --- a file's lines by account -------------------------------------------------------------------------------------


def _sorted_lines(sharing: Sharing, file_name: str, blocks: Blocks, wanted: Wanted) -> Path:
    """The folder with a file's lines by account. Whoever comes first makes it; other threads and processes wait."""
    name = hashlib.sha256(f"{file_name} {wanted.key_path}".encode()).hexdigest()[:32]
    folder = Path(sharing.folder, name)
    with Path(sharing.folder, f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            _sort(sharing, folder, blocks, wanted)
            (folder / "done").touch()
    return folder


def _sort(sharing: Sharing, folder: Path, blocks: Blocks, wanted: Wanted) -> None:
    for left_over in folder.iterdir():  # of one who did not come to the end
        left_over.unlink()
    owners = {
        value: owner
        for owner, account_id in enumerate(sharing.account_ids)
        for value in wanted.mapping.key.values(account_id)
    }
    line = 0
    for block, end, stored_bytes in blocks():
        for owner, numbers, text in _by_owner(block, owners, wanted, line, len(sharing.account_ids)):
            _append(folder / str(owner), Slice(numbers, end, stored_bytes, text))
        line = end.line
    if line:
        for owner in range(len(sharing.account_ids)):  # so that each comes to the end, whatever it found
            _append(folder / str(owner), Slice((), end, stored_bytes, b""))


def _by_owner(
    block: Block, owners: dict[str, int], wanted: Wanted, lines_before: int, accounts: int
) -> Iterator[tuple[int, tuple[int, ...], bytes]]:
    """The numbers and the text of each account's lines."""
    lines = block.text.removesuffix(b"\n").split(b"\n")
    found = _owners(block, lines, owners, wanted)
    places: dict[int, list[int]] = {}
    for place, owner in enumerate(found):
        for one in range(accounts) if owner == EVERYBODY else (owner,):
            places.setdefault(one, []).append(place)
    places.pop(NOBODY, None)
    for owner, mine in places.items():
        numbers = tuple(lines_before + place + 1 for place in mine)
        yield owner, numbers, b"".join(lines[place] + b"\n" for place in mine)


def _owners(block: Block, lines: Sequence[bytes], owners: dict[str, int], wanted: Wanted) -> list[int]:
    """Whose each line is."""
    keys = None if block.is_too_long or b"\n\n" in block.text else key_values_of(block.text, wanted)
    if keys is None or len(keys) != len(lines) or split_lines(block.text) is None:
        return [_owner(line, owners, wanted) for line in lines]
    return [owners.get(key, NOBODY) for key in keys.to_pylist()]


def _owner(line: bytes, owners: dict[str, int], wanted: Wanted) -> int:
    if not line or line.isspace():
        return NOBODY
    try:
        key = orjson.loads(line)[ITEM].get(wanted.key_path[0]) or {}
        value = key.get("S", key.get("N"))
        return owners.get(value, NOBODY) if isinstance(value, str) else NOBODY
    except (orjson.JSONDecodeError, LookupError, AttributeError, TypeError):
        return EVERYBODY


def _append(path: Path, piece: Slice) -> None:
    packed = zlib.compress(piece.text, 1)
    head = [piece.numbers, piece.end.offset, piece.end.line, piece.stored_bytes, len(packed)]
    with path.open("ab") as file:
        file.write(orjson.dumps(head) + b"\n" + packed)


def _slices(folder: Path, owner: int) -> Iterator[Slice]:
    path = folder / str(owner)
    if not path.exists():
        return
    with path.open("rb") as file:
        while head := file.readline():
            numbers, offset, line, stored_bytes, size_bytes = orjson.loads(head)
            text = zlib.decompress(file.read(size_bytes))
            yield Slice(tuple(numbers), Position(offset, line), stored_bytes, text)
