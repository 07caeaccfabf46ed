"""From findings to edits: masks, pseudonyms, or the refusal of the document."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from yanmo.corpus.edits import Edit
from yanmo.corpus.personal.pseudonyms import pseudonym
from yanmo.corpus.personal.settings import Action, Found, PersonalSettings
from yanmo.errors import InputError, YanmoError

_KEY_BYTES = 32
_REMEDY = "a key is 64 hexadecimal digits; leave the file out and one is made"


class Masker:
    """What becomes of findings, under one key for the whole of a corpus."""

    def __init__(self, settings: PersonalSettings, key: bytes = b"") -> None:
        """Keep settings and key.

        Args:
            settings: what becomes of each kind.
            key: as ``read_key`` gives it; needed where anything becomes a pseudonym.

        Raises:
            InputError: pseudonyms are asked for and there is no key.
        """
        if settings.needs_key and len(key) < _KEY_BYTES:
            raise InputError("pseudonyms need a key", where="personal data", remedy=_REMEDY)
        self._settings, self._key = settings, key

    def edits(self, text: str, found: Sequence[Found]) -> list[Edit]:
        """What is to be replaced; nothing for kinds that are kept.

        Args:
            text: as it was given to ``find``.
            found: what ``find`` returned.
        """
        edits = []
        for kind, start, end in found:
            action = self._settings.action_for(kind)
            if action is Action.PSEUDONYM:
                edits.append(Edit(start, end, pseudonym(kind, text[start:end], self._key)))
            elif action is not Action.KEEP:
                edits.append(Edit(start, end, self._settings.mask_for(kind)))
        return edits

    def refusal(self, found: Iterable[Found]) -> str:
        """Why the document is refused, such as ``resident-id 2``; empty where it is not."""
        counts = Counter(f.kind for f in found if self._settings.action_for(f.kind) is Action.DROP)
        return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def read_key(path: Path, corpus: Path) -> bytes:
    """The key of pseudonyms, made at random the first time.

    Args:
        path: its file.
        corpus: the corpus folder, which is handed on and must not hold it.

    Raises:
        InputError: the file lies in the corpus folder or holds no key.
        YanmoError: it can be neither read nor written.
    """
    if path.resolve().is_relative_to(corpus.resolve()):
        remedy = "keep it elsewhere: who has both can link pseudonyms to values"
        raise InputError("the key would lie inside the corpus folder", where=path, remedy=remedy)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _parse_key(path)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return _parse_key(path)
    except OSError as error:
        raise YanmoError(f"the key cannot be kept: {error.strerror or error}", where=path) from None


def usual_key_file(corpus: Path) -> Path:
    """Beside the corpus folder, under its name."""
    return corpus.with_name(f"{corpus.name}.pseudonyms.key")


def _parse_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        # The message must not quote what the file holds.
        raise InputError("this is not a key of pseudonyms", where=path, remedy=_REMEDY) from None
    if len(key) != _KEY_BYTES:
        raise InputError("this is not a key of pseudonyms", where=path, remedy=_REMEDY)
    return key
