"""Reads an export's files once for many accounts: a file's lines are sorted by account into a folder of this machine.

Places are those of the file itself, so that a run may begin with the files shared and go on without, or the other way.
"""

from __future__ import annotations

import fcntl
import hashlib
import heapq
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import Batch, Position
from s3import.readers.dynamodb.columns import key_values_of
from s3import.readers.dynamodb.decode import items_batch
from s3import.readers.dynamodb.mapping import AccountKey
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.values import item_on, key_value_of
from s3import.readers.formats.blocks import Block, split_lines
from s3import.readers.sources.temporary_space import temporary_space_for

EVERYBODY = ""  # whose a line is that cannot be read: no account has such an id
KNOWN_VALUES = 100_000  # of accounts' keys, of which it is remembered whose they are

Owner = str | None
"""An account's id, or EVERYBODY; None: of nobody who is read for."""
Blocks = Callable[[], Iterator[tuple[Block, Position, int]]]
"""A file's text in whole lines, each with the place behind it and the stored bytes read so far."""
Complete = Callable[[bytes], bytes]
"""Adds to the items in whole lines, without adding lines."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """The folder that the processes of one command share, and the accounts that they read for (None: all there are)."""

    folder: str
    account_ids: frozenset[str] | None = None

    def owner_of(self, key: AccountKey) -> Callable[[str | None], Owner]:
        """What tells the account whose items have a value of that key."""
        if self.account_ids is None:
            return lru_cache(KNOWN_VALUES)(key.account_of)
        owners = {value: account_id for account_id in self.account_ids for value in key.values(account_id)}
        return lambda value: owners.get(value or "")


@dataclass(frozen=True, slots=True)
class Slice:
    """An account's lines in one block of a file: their numbers, and the place behind the block."""

    numbers: tuple[int, ...]
    end: Position
    stored_bytes: int
    text: bytes


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file of an export that is read once for all of `sharing`. `name`: one that no other file has, and no other
    version of it. Raises: what reading it raises; MigrationFailed where the folder has no space left."""

    sharing: Sharing
    name: str
    blocks: Blocks

    def accounts(self, selection: Selection) -> set[str]:
        """The ids of the accounts that have items in it, told by the key of `selection`."""
        return set(orjson.loads((self._sorted(selection) / "done").read_bytes()))

    def read(
        self, selection: Selection, start: Position, block_bytes: int, complete: Complete | None = None
    ) -> Iterator[Batch]:
        """The selected items from `start` on, in batches of about `block_bytes` of their text."""
        folder = self._sorted(selection)
        held: list[Slice] = []
        for piece in _slices(folder, selection.account_id):
            if piece.end > start:
                held.append(_behind(piece, start))
                if sum(len(one.text) for one in held) >= block_bytes:
                    yield _batch(held, selection, start, complete)
                    start, held = held[-1].end, []
        yield _batch(held, selection, start, complete, last=True)

    def _sorted(self, selection: Selection) -> Path:
        """The folder with its lines by account. Whoever comes first makes it; other threads and processes wait."""
        name = hashlib.sha256(f"{self.name} {selection.mapping.key}".encode()).hexdigest()[:32]
        folder = Path(self.sharing.folder, name)
        with Path(self.sharing.folder, f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "done").exists():
                with temporary_space_for("the items of an export, which are sorted by account there"):
                    folder.mkdir(exist_ok=True)
                    found = _sort(folder, self.blocks, selection, self.sharing.owner_of(selection.mapping.key))
                    (folder / "made").write_bytes(orjson.dumps(sorted(found)))
                    (folder / "made").rename(folder / "done")
        return folder


def _batch(
    pieces: Sequence[Slice], selection: Selection, start: Position, complete: Complete | None, *, last: bool = False
) -> Batch:
    end = pieces[-1].end if pieces else start
    text = b"".join(piece.text for piece in pieces)
    block = Block(complete(text) if complete and text else text, len(text), is_last=last)
    batch = items_batch(block, selection, Position(), end)
    numbers = pa.array([number for piece in pieces for number in piece.numbers], pa.int64())
    stored_bytes = pieces[-1].stored_bytes if pieces else 0
    return replace(batch, lines=numbers.take(pc.subtract(batch.lines, 1)), start=start, bytes_done=stored_bytes)


def _behind(piece: Slice, start: Position) -> Slice:
    """What of it lies behind a place."""
    left = [place for place, number in enumerate(piece.numbers) if number > start.line]
    if len(left) == len(piece.numbers):
        return piece
    lines = piece.text.split(b"\n")
    return replace(piece, numbers=tuple(piece.numbers[n] for n in left), text=b"".join(lines[n] + b"\n" for n in left))


# --- a file's lines by account -------------------------------------------------------------------------------------


def _sort(folder: Path, blocks: Blocks, selection: Selection, owner_of: Callable[[str | None], Owner]) -> set[str]:
    """Write each owner's lines into a file of its own; the accounts found."""
    for left_over in folder.iterdir():  # of one who did not come to the end
        left_over.unlink()
    found: set[str] = set()
    line = 0
    for block, end, stored_bytes in blocks():
        for owner, numbers, text in by_owner(block, owner_of, selection, line):
            _append(_path(folder, owner), Slice(numbers, end, stored_bytes, text))
            found.add(owner)
        line = end.line
    if line:  # so that each comes to the end, whatever it found
        _append(_path(folder, EVERYBODY), Slice((), end, stored_bytes, b""))
    return found - {EVERYBODY}


def by_owner(
    block: Block, owner_of: Callable[[str | None], Owner], selection: Selection, lines_before: int
) -> Iterator[tuple[str, tuple[int, ...], bytes]]:
    """The numbers and the text of each owner's lines; EVERYBODY's may be anybody's."""
    lines = block.text.removesuffix(b"\n").split(b"\n")
    places: dict[Owner, list[int]] = {}
    for place, owner in enumerate(_owners(block, lines, owner_of, selection)):
        places.setdefault(owner, []).append(place)
    places.pop(None, None)
    for owner, mine in places.items():
        numbers = tuple(lines_before + place + 1 for place in mine)
        yield owner or EVERYBODY, numbers, b"".join(lines[place] + b"\n" for place in mine)


def _owners(
    block: Block, lines: Sequence[bytes], owner_of: Callable[[str | None], Owner], selection: Selection
) -> list[Owner]:
    """Whose each line is."""
    keys = None if block.is_too_long or b"\n\n" in block.text else key_values_of(block.text, selection)
    if keys is None or len(keys) != len(lines) or split_lines(block.text) is None:
        return [_owner(line, owner_of, selection) for line in lines]
    return [owner_of(key) for key in keys.to_pylist()]


def _owner(line: bytes, owner_of: Callable[[str | None], Owner], selection: Selection) -> Owner:
    if not line or line.isspace():
        return None
    item = item_on(line)
    return EVERYBODY if item is None else owner_of(key_value_of(item, selection))


def _path(folder: Path, owner: str) -> Path:
    return folder / hashlib.sha256(owner.encode()).hexdigest()


def _append(path: Path, piece: Slice) -> None:
    packed = zlib.compress(piece.text, 1)
    head = [piece.numbers, piece.end.offset, piece.end.line, piece.stored_bytes, len(packed)]
    with path.open("ab") as file:
        file.write(orjson.dumps(head) + b"\n" + packed)


def _slices(folder: Path, account_id: str) -> Iterator[Slice]:
    """An account's lines and those of everybody, each block's together, in the order of the file."""
    pieces = (_read_slices(_path(folder, owner)) for owner in (account_id, EVERYBODY))
    for _, together in groupby(heapq.merge(*pieces, key=_end), key=_end):
        first, *more = together
        yield _merged(first, *more) if more else first


def _end(piece: Slice) -> Position:
    return piece.end


def _merged(*pieces: Slice) -> Slice:
    """The lines of one block by their numbers."""
    lines = sorted(line for piece in pieces for line in zip(piece.numbers, piece.text.split(b"\n"), strict=False))
    numbers, texts = tuple(number for number, _ in lines), [text + b"\n" for _, text in lines]
    return replace(pieces[0], numbers=numbers, text=b"".join(texts))


def _read_slices(path: Path) -> Iterator[Slice]:
    if not path.exists():
        return
    with path.open("rb") as file:
        while head := file.readline():
            numbers, offset, line, stored_bytes, size_bytes = orjson.loads(head)
            text = zlib.decompress(file.read(size_bytes))
            yield Slice(tuple(numbers), Position(offset, line), stored_bytes, text)
