"""Ways to damage a file, all from a seed: bits, lengths, and the values of the JSON inside it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

# Where in a file its JSON lies: (first byte, behind the last byte), or None where it is no longer found.
FindJson = Callable[[bytes], tuple[int, int] | None]
_MARK = "\N{BLACK SQUARE}"
# As they are written: some of them json.dumps would not write.
_NASTY = (
    *("0", "1", "-1", "2", "7", "0.5", "-0.0", "1e308", "1e999", "NaN", "Infinity", "-Infinity"),
    *(str(2**power + plus) for power in (8, 31, 32, 40, 62, 63, 64) for plus in (-1, 0)),
    *("9" * 41, "9" * 5000, "true", "false", "null", '""', "[]", "{}", "[[]]", "[0]", "[-1, -1]"),
    *(
        '"F32"',
        '"BF16"',
        '"F64"',
        '"U8"',
        '"BOOL"',
        '"F4"',
        '"../../etc/passwd"',
        '"/dev/zero"',
        '"config.json"',
    ),
    *('"' + "x" * 100_000 + '"', r'"\u0000"', r'"\ud800"', '"' + "名" * 600 + '"', '"model.safetensors"'),
    *(
        "[" * 50 + "]" * 50,
        "[" * 20_000 + "]" * 20_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        "[" + "1," * 50 + "1]",
    ),
    *(
        "[4294967296, 4294967296]",
        "[0, 9223372036854775807]",
        "[0, 0]",
        "[8, 0]",
        "[0, 18446744073709551616]",
    ),
)
_NUMBERS = (0, 1, 7, 8, 255, 2**31 - 1, 2**31, 2**32, 10**8, 10**8 + 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def damage(rng: random.Random, content: bytes, find_json: FindJson | None) -> bytes:
    """The content with one to three kinds of damage.

    Args:
        rng: what is done follows from it alone.
        content: an intact file.
        find_json: where its JSON lies; None for a format without.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        span = find_json(content) if find_json is not None else None
        if span is not None and rng.random() < 0.6:
            content = _in_json(rng, content, *span)
        else:
            content = rng.choice(_BYTE_DAMAGES)(rng, content)
    return content


def whole_file(content: bytes) -> tuple[int, int]:
    """The JSON of a file that is nothing else."""
    return 0, len(content)


def safetensors_header(content: bytes) -> tuple[int, int] | None:
    """The JSON of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return (8, 8 + length) if 0 < length <= len(content) - 8 else None


def _place(rng: random.Random, content: bytes) -> int:
    """Half of the time near the beginning, where the numbers stand."""
    return rng.randrange(max(1, min(len(content), 512 if rng.random() < 0.5 else len(content))))


def _flip_bits(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if content else 0):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def _insert(rng: random.Random, content: bytes) -> bytes:
    at = rng.choice((_place(rng, content), len(content)))
    piece = rng.choice(
        (rng.randbytes(rng.randint(1, 64)), bytes(rng.randint(1, 4096)), content[at : at + 64])
    )
    return content[:at] + piece + content[at:]


def _remove(rng: random.Random, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + rng.choice((1, 4, 8, 100)) :]


def _overwrite(rng: random.Random, content: bytes) -> bytes:
    at, length = _place(rng, content), rng.choice((1, 2, 4, 8, 32))
    return content[:at] + rng.randbytes(length) + content[at + length :]


def _number(rng: random.Random, content: bytes) -> bytes:
    """A number of 4 or 8 bytes, mostly one of the first."""
    size = rng.choice((4, 8))
    at = rng.choice((0, 8 * rng.randrange(8), _place(rng, content)))
    value = rng.choice((*_NUMBERS, len(content), len(content) - 8, rng.getrandbits(63)))
    return content[:at] + (value % (1 << 8 * size)).to_bytes(size, "little") + content[at + size :]


_BYTE_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip_bits,
    _truncate,
    _insert,
    _remove,
    _overwrite,
    _number,
)


def _in_json(rng: random.Random, content: bytes, first: int, last: int) -> bytes:
    """Change the JSON; a length in front of it is set right, so that what is read is what was changed."""
    try:
        value = json.loads(content[first:last])
    except (ValueError, RecursionError):
        return _flip_bits(rng, content)
    changed: str = rng.choice((_swap_value, _swap_value, _swap_key, _key_twice, _exchange, _shift))(
        rng, value
    )
    raw = changed.encode("utf-8", "surrogatepass")
    length = len(raw).to_bytes(8, "little") if first == 8 else b""
    return length + raw + content[last:]


def _nodes(value: Any, kinds: tuple[type, ...] = (dict, list)) -> list[Any]:
    """All containers of the kinds, from the outermost."""
    found, level = [], [value]
    while level:
        found += [item for item in level if isinstance(item, kinds)]
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return [item for item in found if item]


def _slot(rng: random.Random, value: Any, kinds: tuple[type, ...] = (dict, list)) -> tuple[Any, Any] | None:
    """A container and a key or index in it."""
    nodes = _nodes(value, kinds)
    if not nodes:
        return None
    node = rng.choice(nodes)
    return node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))


def _swap_value(rng: random.Random, value: Any) -> str:
    slot = _slot(rng, value)
    nasty = rng.choice(_NASTY)
    if slot is None:
        return nasty
    node, key = slot
    node[key] = _MARK
    return json.dumps(value, ensure_ascii=False).replace(f'"{_MARK}"', nasty)


def _swap_key(rng: random.Random, value: Any) -> str:
    slot = _slot(rng, value, (dict,))
    if slot is not None:
        node, key = slot
        names = ("", "x" * 600, "../w", "a\nb", "__metadata__", "weight_map", "w0", "\ud800", "auto_map")
        node[rng.choice(names)] = node.pop(key)
    return json.dumps(value)


def _key_twice(rng: random.Random, value: Any) -> str:
    slot = _slot(rng, value, (dict,))
    if slot is None:
        return "{}"
    node, key = slot
    node[_MARK] = rng.choice((node[key], rng.choice(list(node.values()))))
    return json.dumps(value, ensure_ascii=False).replace(f'"{_MARK}"', json.dumps(key))


def _exchange(rng: random.Random, value: Any) -> str:
    """Two values change places, or one takes the place of both (offsets that overlap, shapes of others)."""
    one, other = _slot(rng, value), _slot(rng, value)
    if one is not None and other is not None:
        first, second = one[0][one[1]], other[0][other[1]]
        texts = json.dumps(first), json.dumps(second)
        one[0][one[1]] = json.loads(texts[1])
        # The first change may have replaced the container of the second; then this one shows nowhere.
        other[0][other[1]] = json.loads(rng.choice(texts))
    return json.dumps(value)


def _shift(rng: random.Random, value: Any) -> str:
    """A list of numbers (a shape, offsets) moved by a little."""
    lists = [node for node in _nodes(value, (list,)) if all(isinstance(item, int | float) for item in node)]
    if lists:
        node = rng.choice(lists)
        by = rng.choice((-8, -4, -1, 1, 2, 4, 8, 64))
        for index in range(len(node)) if rng.random() < 0.5 else [rng.randrange(len(node))]:
            node[index] += by
    return json.dumps(value)
