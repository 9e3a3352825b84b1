"""Damages: what happens to bytes on disks and wires, and what somebody may put into a file on purpose."""

import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]
VALUES: list[Any] = [None, True, [], {}, "", "\0", "ü" * 300, -1, 0, 2, 2**31, 10**30, 1e308, -0.5, [[]], "1"]
NUMBERS = [b"-1", b"0", b"1e999", b"nan", b"99999999999999999999", b"4294967295", b"0.5", b"1000000"]
CANARY = "spikeseq-canary"
CODE = b"cos\nmkdir\n(V" + CANARY.encode() + b"\ntR."
"""A pickle that makes a folder where it is run: nothing that we open may."""


def place(content: bytes, rng: random.Random) -> int:
    """Anywhere, and often near the beginning, where formats say what follows."""
    return rng.randrange(min(len(content), rng.choice((64, 1024, len(content) or 1))) or 1)


def part(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = place(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 8, 100, 4096)))


def flip(content: bytes, rng: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if made:
            made[place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(made)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((0, 1, len(content) - 1, place(content, rng)))]


def insert(content: bytes, rng: random.Random) -> bytes:
    start = place(content, rng)
    given = rng.choice(
        (rng.randbytes(rng.choice((1, 4, 100))), b"\0" * 8, b"\n", b"\xff\xfe", b"[" * 2000, CODE)
    )
    return content[:start] + given + content[start:]


def delete(content: bytes, rng: random.Random) -> bytes:
    start, end = part(content, rng)
    return content[:start] + content[end:]


def twice(content: bytes, rng: random.Random) -> bytes:
    start, end = part(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 30)) + content[end:]


def swap(content: bytes, rng: random.Random) -> bytes:
    start, end = part(content, rng)
    other = place(content, rng)
    made = bytearray(content)
    made[start:end], made[other : other + end - start] = (
        content[other : other + end - start],
        content[start:end],
    )
    return bytes(made)


def blank(content: bytes, rng: random.Random) -> bytes:
    start, end = part(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff", b" ")) * (end - start) + content[end:]


def number(content: bytes, rng: random.Random) -> bytes:
    """Another number in the place of one that is written in digits."""
    digits = [i for i in range(len(content)) if content[i : i + 1].isdigit()]
    if not digits:
        return flip(content, rng)
    start = end = rng.choice(digits)
    while content[end : end + 1].isdigit():
        end += 1
    return content[:start] + rng.choice(NUMBERS) + content[end:]


def line(content: bytes, rng: random.Random) -> bytes:
    """A line twice, gone, moved or in the place of another."""
    lines = content.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        lines.insert(other, lines[one])
    elif what == 1:
        del lines[one]
    elif what == 2:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one] = lines[other]
    return b"\n".join(lines)


def plain(content: bytes, rng: random.Random) -> bytes:
    """One of the damages of bytes."""
    return rng.choice((flip, flip, cut, insert, delete, twice, swap, blank, number, line))(content, rng)


def json_value(content: bytes, rng: random.Random) -> bytes:
    """One value of a JSON document, or of a line of it, is another one, gone, or twice."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return json_line(content, rng)
    return json.dumps(changed(document, rng)).encode()


def json_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    chosen = rng.randrange(len(lines))
    try:
        lines[chosen] = json.dumps(changed(json.loads(lines[chosen]), rng)).encode()
    except (ValueError, RecursionError):
        return plain(content, rng)
    return b"\n".join(lines)


def changed(document: Any, rng: random.Random) -> Any:
    """The document with one of its values changed; lists and objects among these."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        inside = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, one in inside:
            places.append((value, key))
            walk(one)

    walk(document)
    if not places or rng.random() < 0.02:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    if rng.random() < 0.2:
        del holder[key]
    elif isinstance(holder, dict) and rng.random() < 0.1:
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = rng.choice(VALUES)
    return document


def tensors(content: bytes, rng: random.Random) -> bytes:
    """Of a safetensors file: its header changed and of the right length, or single numbers."""
    size = int.from_bytes(content[:8], "little")
    if rng.random() < 0.5 or not 0 < size <= len(content) - 8:
        return plain(content, rng)
    header = (
        json_value(content[8 : 8 + size], rng) if rng.random() < 0.5 else plain(content[8 : 8 + size], rng)
    )
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def zipped(content: bytes, rng: random.Random) -> bytes:
    """Of a zip file: one member changed, its checksum right, or gone."""
    if not content.startswith(b"PK"):  # a checksum before it is no damage that could be undone
        return plain(content, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            members = {info.filename: old.read(info) for info in old.infolist()}
    except (zipfile.BadZipFile, ValueError):
        return plain(content, rng)
    name = rng.choice(sorted(members))
    if rng.random() < 0.1:
        del members[name]
    else:
        members[name] = CODE if rng.random() < 0.05 else plain(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return buffer.getvalue()


def gzipped(content: bytes, rng: random.Random) -> bytes:
    """Of a gzip file: its content changed, and packed again."""
    try:
        inside = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return plain(content, rng)
    return gzip.compress(plain(inside, rng), 1, mtime=0)


def of_kind(name: str) -> list[Mutation]:
    """What may happen to a file, by its suffix; the usual damages are among it."""
    own: dict[str, list[Mutation]] = {
        "json": [json_value], "jsonl": [json_line], "safetensors": [tensors], "pt": [zipped], "npz": [zipped],
        "zip": [zipped], "gz": [gzipped],
    }  # fmt: skip
    return [plain, *own.get(name.rpartition(".")[2], [])]


def mutated(content: bytes, name: str, rng: random.Random) -> bytes:
    """One damage, at times two or three."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(of_kind(name))(content, rng)
    return content
