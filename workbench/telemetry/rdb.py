"""
Read an RDB file as a stream: of each key its name, length on disk, expiry, and how long it idled.

Values are skipped, not decoded. Headers are REDIS and VALKEY; a type of value that is not known
ends the reading with an error, since nobody can tell where it ends.

Source:
    rdb.c and rdb.h of Redis 7.0.15 and Valkey 9.1; the files of both.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from workbench.errors import AofError

__all__ = ["Header", "StoredKey", "checksum_holds", "read_rdb"]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """
    One key of the file.

    Attributes:
        name: of the key; not for printing.
        database: its number.
        kind: of the value: ``string``, ``list``, ``set``, ``sorted set``, ``hash``, ``stream``.
        length_bytes: of the key in the file: its name, its value and what is said of them.
        expires_ms: unix time, ms; None if it has no time to live.
        idle_s: since it was last used, s, where the policy is one of LRU; else None.
        frequency: 0 to 255, where the policy is one of LFU; else None.
    """

    name: bytes
    database: int
    kind: str
    length_bytes: int
    expires_ms: int | None
    idle_s: int | None
    frequency: int | None


@dataclass(slots=True)
class Header:
    """
    What the file says of itself.

    Attributes:
        magic: as in ``REDIS0010``.
        facts: ``redis-ver``, ``ctime``, ``used-mem`` and others, as they are written.
        end: where the checksum stands, B from the start; 0 until the end has been read.
    """

    magic: str
    facts: dict[str, str]
    end: int = 0

    @property
    def made_unix_s(self) -> int | None:
        """When the server began to write it."""
        made = self.facts.get("ctime", "")
        return int(made) if made.isdigit() else None


_MAGIC_BYTES: Final = 9
_EOF: Final = 0xFF
_ENCODED: Final = {0: 1, 1: 2, 2: 4}  # integers, by the bytes that they take
_LZF: Final = 3
_LENGTH_MAX: Final = 1 << 30

_LANES: Final = 4096
_LANE_BYTES: Final = 256
_BLOCK_BYTES: Final = _LANES * _LANE_BYTES
_POLYNOMIAL: Final = 0x95AC9329AC4BC9B5  # 0xAD93D23594C935A9 with its bits turned round


def read_rdb(file: BinaryIO) -> tuple[Header, Iterator[StoredKey]]:
    """
    The header, which is filled while the keys are read, and the keys one after the other.

    Args:
        file: at its start.

    Raises:
        AofError: it is no RDB file; also while the keys are read.
    """
    magic = file.read(_MAGIC_BYTES)
    digits = magic[5:] if magic.startswith(b"REDIS") else magic[6:]
    if magic[:5] not in {b"REDIS", b"VALKE"} or not digits.isdigit():
        raise AofError(f"it begins with {magic!r}, and an RDB file with REDIS or VALKEY")
    header = Header(magic.decode(), {})
    return header, _Reader(file, header).keys()


def checksum_holds(path: Path, end: int) -> bool | None:
    """
    Whether the file's checksum is that of its content; None if the server wrote none.

    Args:
        path: of the file.
        end: where the checksum stands, B from the start.
    """
    with path.open("rb") as file:
        file.seek(end)
        written = int.from_bytes(file.read(8), "little")
        if not written:
            return None
        file.seek(0)
        return _crc64(file, end) == written


class _Reader:
    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._at = _MAGIC_BYTES
        self._valkey = header.magic.startswith("VALKEY")

    def keys(self) -> Iterator[StoredKey]:
        database, began = 0, self._at
        expires_ms: int | None = None
        idle_s: int | None = None
        frequency: int | None = None
        while (code := self._byte()) != _EOF:
            if code == 0xFC:
                expires_ms = int.from_bytes(self._take(8), "little", signed=True)
            elif code == 0xFD:
                expires_ms = 1000 * int.from_bytes(self._take(4), "little", signed=True)
            elif code == 0xF8:
                idle_s = self._length()
            elif code == 0xF9:
                frequency = self._byte()
            elif code == 0xFE:
                database = self._length()
            elif code in _SKIPPED:
                _SKIPPED[code](self)
            elif code == 0xFA:
                name, fact = self._string(), self._string()
                self._header.facts[_text(name)] = _text(fact)
            else:
                # Valkey 9 gave 22 to a type of its own, and Redis 7.4 to another.
                if code not in _VALUES or (code == 22 and not self._valkey):
                    raise AofError(f"type {code} at byte {self._at - 1:,} is not known here")
                key = self._string()
                kind, skip = _VALUES[code]
                skip(self)
                length_bytes = self._at - began
                yield StoredKey(key, database, kind, length_bytes, expires_ms, idle_s, frequency)
                expires_ms = idle_s = frequency = None
            if expires_ms is None and idle_s is None and frequency is None:
                began = self._at
        self._header.end = self._at

    def skip_scored(self, *, as_text: bool) -> None:
        """Members of a sorted set, each with its score."""
        for _ in range(self._length()):
            self.skip_string()
            # As a text: its length, beyond 252 for what is no number or infinite, and the text.
            length = self._byte() if as_text else 8
            self._skip(length if length < 253 else 0)

    def skip_nodes(self) -> None:
        """Nodes of a list, each with a mark for how it is packed."""
        for _ in range(self._length()):
            self._length()
            self.skip_string()

    def skip_fields(self) -> None:
        """Fields of a hash, each with an expiry of its own."""
        for _ in range(self._length()):
            self.skip_strings(2)
            self._skip(8)

    def skip_stream(self, version: int) -> None:
        """A stream: entries, what is known of their IDs, groups with pending entries, consumers."""
        self.skip_strings(2 * self._length())
        self.skip_lengths(3 if version == 1 else 8)
        for _ in range(self._length()):
            self.skip_string()
            self.skip_lengths(2 if version == 1 else 3)
            for _ in range(self._length()):
                self._skip(16 + 8)
                self._length()
            for _ in range(self._length()):
                self.skip_string()
                self._skip(8 if version < 3 else 16)
                self._skip(16 * self._length())

    def skip_many(self, each: int = 1) -> None:
        """Texts, so many to each member."""
        self.skip_strings(each * self._length())

    def skip_module(self) -> None:
        """A module's value, or what it says beside the keys: its ID, then parts with marks."""
        self._length()
        while (mark := self._length()) != 0:
            if mark in {1, 2}:
                self._length()
            elif mark == 3:
                self._skip(4)
            elif mark == 4:
                self._skip(8)
            elif mark == 5:
                self.skip_string()
            else:
                raise AofError(f"a module's part {mark} at byte {self._at:,} is not known here")

    def _length(self) -> int:
        length, encoded = self._length_or_code()
        if encoded:
            raise AofError(f"a length is missing at byte {self._at:,}: the file is damaged")
        return length

    def _length_or_code(self) -> tuple[int, bool]:
        first = self._byte()
        kind = first >> 6
        if kind == 0:
            return first, False
        if kind == 1:
            return (first & 0x3F) << 8 | self._byte(), False
        if kind == 3:
            return first & 0x3F, True
        if first in {0x80, 0x81}:
            return int.from_bytes(self._take(4 if first == 0x80 else 8)), False
        raise AofError(f"a length begins with {first:#x} at byte {self._at:,}: it is damaged")

    def _string(self) -> bytes:
        length, encoded = self._length_or_code()
        if not encoded:
            if length > _LENGTH_MAX:
                raise AofError(f"a name of {length:,} B at byte {self._at:,}: it is damaged")
            return self._take(length)
        if length in _ENCODED:
            taken = self._take(_ENCODED[length])
            return str(int.from_bytes(taken, "little", signed=True)).encode()
        if length != _LZF:
            raise AofError(f"a string of encoding {length} at byte {self._at:,} is not known here")
        packed, unpacked = self._length(), self._length()
        if packed > _LENGTH_MAX:
            raise AofError(f"a name of {packed:,} B at byte {self._at:,}: it is damaged")
        try:
            return _unpacked(self._take(packed), unpacked)
        except IndexError:
            raise AofError(f"the name that ends at byte {self._at:,} is damaged") from None

    def skip_string(self) -> None:
        length, encoded = self._length_or_code()
        if not encoded:
            self._skip(length)
        elif length in _ENCODED:
            self._skip(_ENCODED[length])
        elif length == _LZF:
            packed, _ = self._length(), self._length()
            self._skip(packed)
        else:
            raise AofError(f"a string of encoding {length} at byte {self._at:,} is not known here")

    def skip_strings(self, number: int) -> None:
        for _ in range(number):
            self.skip_string()

    def skip_lengths(self, number: int) -> None:
        for _ in range(number):
            self._length()

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, length: int) -> bytes:
        taken = self._file.read(length)
        if len(taken) < length:
            raise AofError(f"it ends at byte {self._at + len(taken):,}, before its end is marked")
        self._at += length
        return taken

    def _skip(self, length: int) -> None:
        while length:
            length -= len(self._take(min(length, 1 << 20)))


_VALUES: Final[dict[int, tuple[str, Callable[[_Reader], None]]]] = {
    0: ("string", _Reader.skip_string),
    1: ("list", _Reader.skip_many),
    2: ("set", _Reader.skip_many),
    3: ("sorted set", lambda reader: reader.skip_scored(as_text=True)),
    4: ("hash", lambda reader: reader.skip_many(2)),
    5: ("sorted set", lambda reader: reader.skip_scored(as_text=False)),
    7: ("module", _Reader.skip_module),
    # Packed into one string each: zipmap, ziplist, intset, listpack.
    9: ("hash", _Reader.skip_string),
    10: ("list", _Reader.skip_string),
    11: ("set", _Reader.skip_string),
    12: ("sorted set", _Reader.skip_string),
    13: ("hash", _Reader.skip_string),
    14: ("list", _Reader.skip_many),
    15: ("stream", lambda reader: reader.skip_stream(1)),
    16: ("hash", _Reader.skip_string),
    17: ("sorted set", _Reader.skip_string),
    18: ("list", _Reader.skip_nodes),
    19: ("stream", lambda reader: reader.skip_stream(2)),
    20: ("set", _Reader.skip_string),
    21: ("stream", lambda reader: reader.skip_stream(3)),
    22: ("hash", _Reader.skip_fields),
}
"""How a value of each type is called and skipped."""

_SKIPPED: Final[dict[int, Callable[[_Reader], None]]] = {
    0xFB: lambda reader: reader.skip_lengths(2),  # sizes of the tables
    0xF7: _Reader.skip_module,
    0xF5: lambda reader: reader.skip_string(),  # a library of functions
    0xF4: lambda reader: reader.skip_lengths(3),  # a slot of a cluster
}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _unpacked(packed: bytes, length: int) -> bytes:
    """Undo LZF: runs of bytes as they are, and references to what came before."""
    out = bytearray()
    at, end = 0, len(packed)
    while at < end:
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        run = control >> 5
        if run == 7:
            run += packed[at]
            at += 1
        back = len(out) - ((control & 0x1F) << 8 | packed[at]) - 1
        at += 1
        if back < 0:
            break
        for index in range(back, back + run + 2):
            out.append(out[index])
    if len(out) != length:
        raise IndexError("it unpacks to another length")
    return bytes(out)


def _crc64(file: BinaryIO, length: int) -> int:
    """
    CRC-64 as Redis has it (Jones), of so many bytes.

    It has no start value, so it is linear: that of two texts after each other is that of the first,
    moved on by the length of the second, and that of the second. So a block is cut into lanes that
    are reckoned side by side, and then put together in pairs; zeros in front change nothing, so
    they fill up the first block.
    """
    table = _table()
    # What moving on by one zero byte makes of each bit.
    move = [int(table[1 << bit]) if bit < 8 else 1 << (bit - 8) for bit in range(64)]
    for _ in range(_LANE_BYTES.bit_length() - 1):
        move = _twice(move)
    moves = [move]
    for _ in range(_LANES.bit_length() - 1):
        moves.append(_twice(moves[-1]))
    crc = 0
    size = length % _BLOCK_BYTES or min(length, _BLOCK_BYTES)
    while length > 0 and (block := file.read(size)):
        lanes = np.frombuffer(block.rjust(_BLOCK_BYTES, b"\0"), dtype=np.uint8)
        columns = np.ascontiguousarray(lanes.reshape(_LANES, _LANE_BYTES).T)
        values = np.zeros(_LANES, dtype=np.uint64)
        for column in columns:
            values = table[(values.astype(np.uint8) ^ column)] ^ (values >> np.uint64(8))
        for each in moves[:-1]:
            values = _moved(values[::2], each) ^ values[1::2]
        crc = int(_moved(np.array([crc], dtype=np.uint64), moves[-1])[0]) ^ int(values[0])
        length -= size
        size = _BLOCK_BYTES
    return crc


def _table() -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    """What each byte becomes."""
    values = np.arange(256, dtype=np.uint64)
    one = np.uint64(1)
    for _ in range(8):
        values = np.where(values & one, (values >> one) ^ np.uint64(_POLYNOMIAL), values >> one)
    return values


def _moved(
    values: "np.ndarray[tuple[int], np.dtype[np.uint64]]", move: list[int]
) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    out = np.zeros_like(values)
    for bit, becomes in enumerate(move):
        out ^= ((values >> np.uint64(bit)) & np.uint64(1)) * np.uint64(becomes)
    return out


def _twice(move: list[int]) -> list[int]:
    """Moving on by twice as much."""
    return [int(value) for value in _moved(np.array(move, dtype=np.uint64), move)]
