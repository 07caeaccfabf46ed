"""A tokenizer folder in the Hugging Face layout: read, written, and used.

The folder holds tokenizer.json (the ``tokenizers`` library's own format), tokenizer_config.json and
chat_template.jinja; transformers' AutoTokenizer opens it with identical ids. Text is never
normalised: whatever is encoded decodes to the same string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from yanmo.artifact import read_json, sha256_of_text, write_bytes, write_json
from yanmo.errors import InputError
from yanmo.tokenizers import chat_template
from yanmo.tokenizers.byte_level import StreamDecoder, Utf8Stream, byte_level_to_bytes

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
PAD = "<|pad|>"
# In this order behind the ordinary tokens, as in the Qwen family.
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, PAD)

# The library takes some 200 bytes of memory per byte of text, so long texts are encoded in pieces. No
# token crosses from a word to the space after it, or from a line break to a word after it.
_PIECE_CHARS = 500_000
_CUT = re.compile(r"(?<=\S)(?= )|(?<=\n)(?=\S)")

_NO_LIMIT = int(1e30)  # what transformers writes for "no limit"


class Tokenizer:
    """Text to token ids and back, with the special tokens and the chat template of its folder.

    A special token's string inside a text is ordinary text here: only ``encode_chat`` makes special
    ids, and only from the template.
    """

    def __init__(
        self,
        tokenizer_json: str,
        *,
        template: str | None = chat_template.CHATML,
        eos_token: str | None = END_OF_TEXT,
        pad_token: str | None = PAD,
        bos_token: str | None = None,
        chat_tuned: bool = False,
        where: object = None,
    ) -> None:
        """Wrap the content of a tokenizer.json.

        Args:
            tokenizer_json: the file's content.
            template: Jinja chat template, or None where there is none.
            eos_token: string of the token that ends a document.
            pad_token: string of the padding token.
            bos_token: string of the token that begins a document, if the model wants one.
            chat_tuned: whether a model that comes with this folder was trained on conversations.
            where: file it came from, for messages.

        Raises:
            InputError: the content is not a tokenizer.
        """
        try:
            self._backend = tokenizers.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            reason = " ".join(str(error).split())
            raise InputError(
                f"not a tokenizer: {reason}", where=where, remedy="the file is damaged; make it again"
            ) from None
        self._backend.encode_special_tokens = True
        self._backend.no_padding()
        self._backend.no_truncation()
        self._json = tokenizer_json
        self.chat_template = template
        self.chat_tuned = chat_tuned
        self._names = {"eos_token": eos_token, "pad_token": pad_token, "bos_token": bos_token}
        self._special_ids = {
            token.content: token_id
            for token_id, token in sorted(self._backend.get_added_tokens_decoder().items())
            if token.special
        }
        self._special_by_id = {token_id: text for text, token_id in self._special_ids.items()}

    @classmethod
    def load(cls, folder: Path | str) -> Tokenizer:
        """Read a tokenizer folder (or a model folder that holds one).

        Raises:
            InputError: tokenizer.json is missing or damaged.
        """
        folder = Path(folder)
        path = folder / TOKENIZER_FILE
        try:
            content = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            remedy = "give a tokenizer or model folder"
            raise InputError(f"has no {TOKENIZER_FILE}", where=folder, remedy=remedy) from None
        except UnicodeDecodeError:
            remedy = "the file is damaged; make it again"
            raise InputError("not a tokenizer: not UTF-8", where=path, remedy=remedy) from None
        config_path, template_path = folder / CONFIG_FILE, folder / TEMPLATE_FILE
        config = read_json(config_path) if config_path.is_file() else {}
        # Folders from before transformers 5 may name their special tokens in a file apart.
        older_path = folder / "special_tokens_map.json"
        config = {**(read_json(older_path) if older_path.is_file() else {}), **config}
        template = config.get("chat_template")
        if template_path.is_file():
            template = template_path.read_text(encoding="utf-8")
        template = template if isinstance(template, str) else None
        return cls(
            content,
            template=template,
            eos_token=_token_text(config.get("eos_token")),
            pad_token=_token_text(config.get("pad_token")),
            bos_token=_token_text(config.get("bos_token")),
            chat_tuned=bool(config.get("yanmo_chat", template is not None)),
            where=path,
        )

    def save(self, folder: Path | str, *, max_seq_len: int | None = None) -> None:
        """Write the folder's files into ``folder``, which is made if need be.

        Args:
            folder: a tokenizer folder, or the model folder it belongs to.
            max_seq_len: longest context of the model in tokens, if known.

        Raises:
            YanmoError: the disk is full or the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self._names,
            "unk_token": None,
            "model_max_length": max_seq_len or _NO_LIMIT,
            "clean_up_tokenization_spaces": False,
            "yanmo_chat": self.chat_tuned,
        }
        write_bytes(folder / TOKENIZER_FILE, self._json.encode())
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
            write_bytes(folder / TEMPLATE_FILE, self.chat_template.encode())
        write_json(folder / CONFIG_FILE, config)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included; every id is below it."""
        return self._vocab_size

    @cached_property
    def _vocab_size(self) -> int:
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 that names this tokenizer: the same for the same tokenizer.json."""
        return sha256_of_text(self._json)

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a document.

        Raises:
            InputError: the folder names no such token.
        """
        token_id = self._named_id("eos_token")
        if token_id is None:
            remedy = f"name eos_token in {CONFIG_FILE}"
            raise InputError("the tokenizer has no end-of-text token", remedy=remedy)
        return token_id

    @property
    def pad_id(self) -> int:
        """Id used for padding; the end-of-text token where there is no other."""
        token_id = self._named_id("pad_token")
        return self.eos_id if token_id is None else token_id

    @property
    def bos_id(self) -> int | None:
        """Id that begins a document, or None where documents begin with nothing."""
        return self._named_id("bos_token")

    @property
    def im_start_id(self) -> int | None:
        """Id that begins a chat message, or None."""
        return self._special_ids.get(IM_START)

    @property
    def im_end_id(self) -> int | None:
        """Id that ends a chat message, or None."""
        return self._special_ids.get(IM_END)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """All special tokens: string to id."""
        return self._special_ids

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; strings that look like special tokens are ordinary text.

        Raises:
            InputError: the text is not valid Unicode (it holds a lone surrogate).
        """
        _require_unicode(text)
        ids: list[int] = []
        for piece in _pieces(text):
            ids.extend(self._backend.encode(piece, add_special_tokens=False).ids)
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of many texts, on all cores; the same ids as ``encode`` one by one."""
        for text in texts:
            _require_unicode(text)
        pieces = [list(_pieces(text)) for text in texts]
        flat = [piece for pieces_of_text in pieces for piece in pieces_of_text]
        encodings = iter(self._backend.encode_batch_fast(flat, add_special_tokens=False))
        ids = (np.array(encoding.ids, dtype=np.int64) for encoding in encodings)
        return [
            next(ids) if len(pieces_of_text) == 1 else np.concatenate([next(ids) for _ in pieces_of_text])
            for pieces_of_text in pieces
        ]

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids; bytes that are no UTF-8 become U+FFFD.

        Args:
            token_ids: ids below ``vocab_size``.
            skip_special_tokens: leave special tokens out instead of writing their names.
        """
        ids = [int(token_id) for token_id in token_ids]
        return str(self._backend.decode(ids, skip_special_tokens=skip_special_tokens))

    def token_bytes(self, token_id: int) -> bytes:
        """Exact bytes of a token; empty for a special token, which stands for no text.

        Raises:
            InputError: there is no such id.
        """
        if not 0 <= token_id < self.vocab_size:
            raise InputError(f"there is no token {token_id}", remedy=f"ids are 0 to {self.vocab_size - 1}")
        return self._bytes_by_id[token_id]

    @cached_property
    def _bytes_by_id(self) -> list[bytes]:
        table = [b""] * self.vocab_size
        for token, token_id in self._backend.get_vocab(with_added_tokens=True).items():
            if token_id not in self._special_by_id:
                table[token_id] = byte_level_to_bytes(token)
        return table

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that come one at a time; special tokens give no text."""
        return Utf8Stream(self._bytes_by_id)

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the chat template writes it.

        Args:
            messages: each with ``role`` and ``content``, both strings.
            add_generation_prompt: end with the opening of the assistant's answer.

        Raises:
            InputError: a message is not of that form, or the template refuses it.
        """
        return chat_template.render(
            self._require_template(), messages, add_generation_prompt=add_generation_prompt, names=self._names
        )

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a conversation; only the template, never a message, makes special tokens.

        Args:
            messages: each with ``role`` and ``content``, both strings.
            add_generation_prompt: end with the opening of the assistant's answer.

        Raises:
            InputError: a message is not of that form, or the template refuses it.
        """
        pieces = chat_template.split(
            self._require_template(),
            messages,
            specials=tuple(self._special_ids),
            add_generation_prompt=add_generation_prompt,
            names=self._names,
        )
        ids: list[int] = []
        for piece in pieces:
            ids.extend([self._special_ids[piece.text]] if piece.is_special else self.encode(piece.text))
        return ids

    def _require_template(self) -> str:
        if self.chat_template is None:
            remedy = f"add a {TEMPLATE_FILE} to its folder"
            raise InputError("the tokenizer has no chat template", remedy=remedy)
        return self.chat_template

    def _named_id(self, role: str) -> int | None:
        text = self._names[role]
        token_id = None if text is None else self._backend.token_to_id(text)
        return None if token_id is None else int(token_id)


def _token_text(value: object) -> str | None:
    """A special token in tokenizer_config.json: a string, or a table with its content."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces, cut where no token crosses if there is such a place."""
    start = 0
    while len(text) - start > 2 * _PIECE_CHARS:
        found = _CUT.search(text, start + _PIECE_CHARS, start + 2 * _PIECE_CHARS)
        end = found.start() if found else start + 2 * _PIECE_CHARS
        yield text[start:end]
        start = end
    yield text[start:]


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"not valid Unicode: lone surrogate at character {error.start}", remedy="remove or replace it"
        ) from None
