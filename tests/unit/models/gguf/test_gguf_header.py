"""The header of a GGUF file, written here byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from gguf.constants import GGMLQuantizationType as Kind
from gguf.constants import GGUFValueType as V

from yanmo.errors import InputError
from yanmo.models.gguf.header import Header, parse_header


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, dims: tuple[int, ...], kind: int, offset: int) -> bytes:
    return (
        text(name)
        + struct.pack("<I", len(dims))
        + struct.pack(f"<{len(dims)}Q", *dims)
        + struct.pack("<IQ", kind, offset)
    )


def build(
    pairs: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: bytes = b"\x03\0\0\0",
    magic: bytes = b"GGUF",
    alignment: int = 32,
) -> bytes:
    head = magic + version + struct.pack("<QQ", len(tensors), len(pairs)) + b"".join([*pairs, *tensors])
    return head + bytes(-len(head) % alignment) + data


def parse(raw: bytes) -> Header:
    return parse_header(raw, where=Path("m.gguf"))


def test_values_of_every_type() -> None:
    header = parse(
        build(
            [
                pair("a", V.UINT8, b"\xff"),
                pair("b", V.INT8, b"\xff"),
                pair("c", V.UINT16, b"\xff\xff"),
                pair("d", V.INT16, b"\xfe\xff"),
                pair("e", V.UINT32, b"\xff" * 4),
                pair("f", V.INT32, b"\xff" * 4),
                pair("g", V.UINT64, b"\xff" * 8),
                pair("h", V.INT64, b"\xff" * 8),
                pair("i", V.FLOAT32, struct.pack("<f", 0.5)),
                pair("j", V.FLOAT64, struct.pack("<d", 0.1)),
                pair("k", V.BOOL, b"\x01"),
                pair("l", V.STRING, text("你好")),
                pair("m", V.ARRAY, struct.pack("<IQ", V.STRING, 2) + text("x") + text("")),
                pair("n", V.ARRAY, struct.pack("<IQ", V.INT32, 2) + struct.pack("<2i", 1, -1)),
                pair("o", V.ARRAY, struct.pack("<IQ", V.BOOL, 2) + b"\x01\x00"),
            ]
        )
    )
    assert header.version == 3
    numbers = {"a": 255, "b": -1, "c": 65535, "d": -2, "e": 2**32 - 1, "f": -1, "g": 2**64 - 1, "h": -1}
    others = {"i": 0.5, "j": 0.1, "k": True, "l": "你好", "m": ["x", ""], "n": [1, -1], "o": [True, False]}
    assert dict(header.metadata) == numbers | others
    assert header.metadata["k"] is True


def test_tensors_lie_behind_the_padding() -> None:
    raw = build(
        [pair("general.alignment", V.UINT32, struct.pack("<I", 64))],
        [tensor("x", (3, 2), Kind.F32, 0), tensor("y", (32, 4), Kind.Q8_0, 64)],
        bytes(64 + 4 * 34),
        version=b"\x02\0\0\0",
        alignment=64,
    )
    header = parse(raw)
    begin = len(raw) - 64 - 4 * 34
    x, y = header.tensors["x"], header.tensors["y"]
    assert (header.version, x.shape, x.offset, x.num_bytes) == (2, (2, 3), begin, 24)
    assert (y.shape, y.kind, y.offset, y.num_bytes) == ((4, 32), Kind.Q8_0, begin + 64, 136)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "cut short"),
        (build(magic=b"GGML"), "not a GGUF file"),
        (build(version=b"\0\0\0\x03"), "big-endian"),
        (build(version=b"\x01\0\0\0"), "version 1"),
        (build(version=b"\x04\0\0\0"), "version 4"),
        (build()[:20], "cut short"),
        (b"GGUF\x03\0\0\0" + struct.pack("<QQ", 2**60, 0), "promises"),
        (b"GGUF\x03\0\0\0" + struct.pack("<QQ", 0, 2**60), "promises"),
        (build([pair("a", V.BOOL, b"\x02"), b" " * 20]), "neither true nor false"),
        (build([pair("a", 13, b""), b" " * 20]), "unknown type 13"),
        (build([pair("a", V.UINT8, b"\0"), pair("a", V.UINT8, b"\0")]), "twice"),
        (build([pair("", V.UINT8, b"\0")]), "no sound name"),
        (build([pair("a\n", V.UINT8, b"\0")]), "no sound name"),
        (build([pair(b"\xff", V.UINT8, b"\0")]), "no sound name"),
        (build([pair("a", V.STRING, struct.pack("<Q", 2**63))]), "a string of"),
        (build([pair("a", V.ARRAY, struct.pack("<IQ", V.UINT8, 2**50))]), "promises"),
        (build([pair("a", V.ARRAY, struct.pack("<IQ", V.STRING, 100))]), "promises"),
        (build([pair("a", V.ARRAY, struct.pack("<IQ", V.ARRAY, 1))]), "array of arrays"),
        (build([pair("general.alignment", V.UINT32, struct.pack("<I", 12))]), "alignment"),
        (build([pair("general.alignment", V.UINT32, struct.pack("<I", 0))]), "alignment"),
        (build([pair("general.alignment", V.FLOAT32, struct.pack("<f", 32))]), "alignment"),
        (build([], [tensor("x", (), Kind.F32, 0)], bytes(64)), "0 dimensions"),
        (build([], [tensor("x", (1,) * 5, Kind.F32, 0)], bytes(64)), "5 dimensions"),
        (build([], [tensor("x", (0,), Kind.F32, 0)], bytes(64)), "impossible shape"),
        (build([], [tensor("x", (33,), Kind.Q8_0, 0)], bytes(64)), "impossible shape"),
        (build([], [tensor("x", (4,), 4, 0)], bytes(64)), "unknown type 4"),
        (build([], [tensor("x", (2**32, 2**32), Kind.F32, 0)], bytes(64)), "does not fit"),
        (build([], [tensor("x", (4,), Kind.F32, 2**63)], bytes(64)), "does not fit"),
        (build([], [tensor("x", (4,), Kind.F32, 16)], bytes(64)), "does not fit"),
        (build([], [tensor("x", (64,), Kind.F32, 0)], bytes(200)), "bytes are missing"),
        (build([], [tensor("x" * 65, (4,), Kind.F32, 0)], bytes(64)), "a string of 65"),
        (build([], [tensor("x", (4,), Kind.F32, 0), tensor("x", (4,), Kind.F32, 32)], bytes(64)), "twice"),
        (build([], [tensor("x", (9,), Kind.F32, 0), tensor("y", (4,), Kind.F32, 32)], bytes(64)), "overlaps"),
    ],
)
def test_what_cannot_be_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        parse(raw)
    assert str(caught.value).startswith("m.gguf: ")


def test_a_value_in_another_encoding_does_not_keep_the_file_from_being_read() -> None:
    header = parse(build([pair("general.author", V.STRING, text("André".encode("latin-1")))]))
    assert header.metadata["general.author"] == "Andr�"
