"""A tokenizer folder in the Hugging Face layout: read, written, and used.

The folder holds tokenizer.json (the ``tokenizers`` library's own format), tokenizer_config.json and
chat_template.jinja; transformers' AutoTokenizer opens it with identical ids. Any kind that the library
knows can be used: WordPiece, Unigram, SentencePiece's BPE, byte-level BPE. Those that yanmo trains never
normalise a text, so whatever is encoded decodes to the same string; those from elsewhere may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from yanmo.artifact import sha256_of_text
from yanmo.errors import InputError
from yanmo.tokenizers import chat_template, special
from yanmo.tokenizers.backend import flat, library_errors, open_backend, part_of
from yanmo.tokenizers.byte_level import StreamDecoder
from yanmo.tokenizers.decoding import Decoder, clean_up
from yanmo.tokenizers.encoding import Encoding, Framer, TextEncoder, enclose, side_of
from yanmo.tokenizers.folder import (
    CONFIG_FILE,
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    TokenizerFolder,
    fresh_config,
    read_folder,
    write_files,
)

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
PAD = "<|pad|>"
# In this order behind the ordinary tokens, as in the Qwen family.
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, PAD)

_SENTINEL = re.compile(r"<extra_id_(\d+)>")


class Tokenizer:
    """Text to token ids and back, with the special tokens and the chat template of its folder.

    A special token's string inside a text is ordinary text here: only ``encode_chat`` and the template
    of ``encode_with_specials`` make special ids. ``padding_side`` and ``truncation_side`` say where shorter
    texts of a batch are filled up and longer ones cut.
    """

    def __init__(
        self,
        tokenizer_json: str,
        *,
        template: str | None = chat_template.CHATML,
        eos_token: str | None = END_OF_TEXT,
        pad_token: str | None = PAD,
        bos_token: str | None = None,
        roles: Mapping[str, str] | None = None,
        chat_tuned: bool = False,
        where: object = None,
        source: TokenizerFolder | None = None,
    ) -> None:
        """Wrap the content of a tokenizer.json.

        Args:
            tokenizer_json: the file's content.
            template: Jinja chat template, or None where there is none.
            eos_token: string of the token that ends a document.
            pad_token: string of the padding token.
            bos_token: string of the token that begins a document; it does where the post-processor of
                ``tokenizer_json`` puts it there.
            roles: strings of the tokens of all roles instead, by name (``mask_token`` ...); those that are
                not named have none.
            chat_tuned: whether a model that comes with this folder was trained on conversations.
            where: file it came from, for messages.
            source: the folder it came from, whose configs then say the tokens' names and the rest.

        Raises:
            InputError: the content is not a tokenizer.
        """
        backend = open_backend(tokenizer_json, where=where)
        names: Mapping[str, str | None] = {
            "eos_token": eos_token,
            "pad_token": pad_token,
            "bos_token": bos_token,
        }
        names = names if roles is None else roles
        self._names: dict[str, str | None] = dict.fromkeys(special.ROLES) | dict(names)
        self._json = tokenizer_json
        self._source = source
        self.padding_side = side_of(backend.padding)
        self.truncation_side = side_of(backend.truncation)
        if source is not None:
            backend = self._lay_over(backend, source)
        backend.no_padding()
        backend.no_truncation()
        self.framer = Framer(backend.post_processor)
        # Special tokens are put around texts apart from encoding them.
        backend.post_processor = None
        self._backend = backend
        self.encoder = TextEncoder(backend)
        self._cleans_up = source is not None and source.cleans_up and type(backend.model).__name__ != "BPE"
        self._decoder = Decoder(flat(part_of(backend.decoder)), cleans_up=self._cleans_up)
        self._special_ids = {
            token.content: token_id
            for token_id, token in sorted(backend.get_added_tokens_decoder().items())
            if token.special
        }
        self._special_by_id = {token_id: text for text, token_id in self._special_ids.items()}
        self.chat_template = template
        self.chat_tuned = chat_tuned

    def _lay_over(self, backend: tokenizers.Tokenizer, source: TokenizerFolder) -> tokenizers.Tokenizer:
        """Take in what the configs of a folder say beyond its tokenizer.json."""
        where = source.path.with_name(CONFIG_FILE)
        names = ("normalizer", "pre_tokenizer", "post_processor")
        settled = source.settled_content({name: part_of(getattr(backend, name)) for name in names})
        if settled != source.content:
            backend, self._json = open_backend(settled, where=where), settled
        config = special.merged_config(source.config, source.special_tokens_map)
        known = backend.get_added_tokens_decoder().values()
        new = special.tokens_to_add(config, source.added_tokens, [t.content for t in known], where=where)
        if backend.add_tokens(new):
            self._json = backend.to_str()
        specials = [token.content for token in known if token.special]
        self._names = special.names_by_role(config, specials)
        self.padding_side = source.side("padding") or self.padding_side
        self.truncation_side = source.side("truncation") or self.truncation_side
        return backend

    @classmethod
    def load(cls, folder: Path | str) -> Tokenizer:
        """Read a tokenizer folder (or a model folder that holds one).

        Raises:
            InputError: there is no tokenizer.json, nor what it could be made of, or a file is damaged.
        """
        source = read_folder(Path(folder))
        return cls(
            source.content,
            template=source.template,
            chat_tuned=source.is_chat_tuned,
            where=source.path,
            source=source,
        )

    def save(self, folder: Path | str, *, max_seq_len: int | None = None, token_types: bool = False) -> None:
        """Write the folder's files into ``folder``, which is made if need be.

        What was read from a folder goes back as it came, byte for byte; only a chat template or the chat
        flag that was changed since, and a limit that the folder did not have, are written anew.

        Args:
            folder: a tokenizer folder, or the model folder it belongs to.
            max_seq_len: longest context of the model in tokens, if known.
            token_types: whether the model wants to know which of two texts a token is of.

        Raises:
            YanmoError: the disk is full or the folder cannot be written.
        """
        config: dict[str, Any] = {} if self._source is None else dict(self._source.config)
        files = {} if self._source is None else dict(self._source.files)
        files.setdefault(TOKENIZER_FILE, self._json.encode())
        if self._source is None:
            config = fresh_config(self._names, max_seq_len)
        elif max_seq_len is not None:
            config.setdefault("model_max_length", max_seq_len)
        if token_types:
            config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        if self._source is None or self.chat_template != self._source.template:
            files.pop(TEMPLATE_FILE, None)
            config.pop("chat_template", None)
            if self.chat_template is not None:
                config["chat_template"] = self.chat_template
                files[TEMPLATE_FILE] = self.chat_template.encode()
        if self._source is None or self.chat_tuned != self._source.is_chat_tuned:
            config["yanmo_chat"] = self.chat_tuned
        write_files(Path(folder), files, config, source=self._source)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included; every id is below it."""
        return self._vocab_size

    @cached_property
    def _vocab_size(self) -> int:
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def num_text_ids(self) -> int:
        """Number of ids up to the last that ordinary text can give; every id from there on is special."""
        ids = self._backend.get_vocab(with_added_tokens=True).values()
        return max((i for i in ids if i not in self._special_by_id), default=-1) + 1

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 that names this tokenizer: the same for the same tokenizer.json."""
        return sha256_of_text(self._json)

    @property
    def content(self) -> str:
        """Of tokenizer.json, with what the configs of its folder say beyond it."""
        return self._json

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
    def edge_id(self) -> int:
        """Id that parts documents: the one that ends a text, or the separator of an encoder that has none.

        Raises:
            InputError: the folder names neither.
        """
        token_id = self._named_id("eos_token")
        return token_id if token_id is not None else self.eos_id if self.sep_id is None else self.sep_id

    @property
    def pad_id(self) -> int:
        """Id used for padding; the end-of-text token where there is no other."""
        token_id = self._named_id("pad_token")
        return self.eos_id if token_id is None else token_id

    @cached_property
    def bos_id(self) -> int | None:
        """Id that begins a document, or None where documents begin with nothing.

        Many tokenizers name such a token and never write it (GPT-2, SmolLM2): see ``named_ids`` for it.
        """
        token_id = self._named_id("bos_token")
        return token_id if token_id is not None and self.framer.begins_with(token_id) else None

    @property
    def unk_id(self) -> int | None:
        """Id that stands for what the vocabulary cannot write, or None."""
        return self._named_id("unk_token")

    @property
    def cls_id(self) -> int | None:
        """Id whose vector stands for the whole text in an encoder, or None."""
        return self._named_id("cls_token")

    @property
    def sep_id(self) -> int | None:
        """Id that ends each text in an encoder, or None."""
        return self._named_id("sep_token")

    @property
    def mask_id(self) -> int | None:
        """Id that stands for a hidden token, or None."""
        return self._named_id("mask_token")

    @cached_property
    def sentinel_ids(self) -> tuple[int, ...]:
        """Ids that stand for hidden spans, ``<extra_id_0>`` first; none where there are none."""
        numbered = [
            (int(found[1]), token_id)
            for text, token_id in self._special_ids.items()
            if (found := _SENTINEL.fullmatch(text))
        ]
        return tuple(token_id for _, token_id in sorted(numbered))

    @property
    def named_ids(self) -> dict[str, int]:
        """Ids of all tokens that have a role, by its name: ``bos_token``, ``mask_token`` ..."""
        ids = {role: self._named_id(role) for role in special.ROLES}
        return {role: token_id for role, token_id in ids.items() if token_id is not None}

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end an answer: the end of the text, and of a chat message; none where there are none."""
        ids = (self._named_id("eos_token"), self.im_end_id)
        return tuple(dict.fromkeys(token_id for token_id in ids if token_id is not None))

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

    @property
    def max_seq_len(self) -> int | None:
        """Longest text in tokens that the folder allows, or None where it sets no limit."""
        return None if self._source is None else self._source.max_seq_len

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; strings that look like special tokens are ordinary text.

        Raises:
            InputError: the text is not valid Unicode (it holds a lone surrogate).
        """
        return self.encoder.ids(text)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of many texts, on all cores; the same ids as ``encode`` one by one."""
        return self.encoder.ids_of_many(texts)

    def encode_batch_with_starts(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of each text the ids of ``encode_batch``, and the character that each token begins with."""
        return self.encoder.ids_and_starts_of_many(texts)

    def encode_with_specials(
        self, text: str, pair: str | None = None, *, max_seq_len: int | None = None
    ) -> Encoding:
        """A text, or a pair, with the special tokens that its model wants around it.

        Args:
            text: as in ``encode``.
            pair: a second text; an empty one is a text too.
            max_seq_len: longest result in tokens. What is too long is cut at ``truncation_side``, of a pair
                the longer text first; the special tokens stay.

        Raises:
            InputError: a text is not valid Unicode, or there is no room beside the special tokens.
        """
        pairs = None if pair is None else [pair]
        return self.encode_batch_with_specials([text], pairs, max_seq_len=max_seq_len)[0]

    def encode_batch_with_specials(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_seq_len: int | None = None
    ) -> list[Encoding]:
        """As ``encode_with_specials``, of many texts, on all cores.

        Args:
            texts: the (first) texts.
            pairs: a second text for each.
            max_seq_len: longest result in tokens.

        Raises:
            InputError: as ``encode_with_specials``, or the numbers of texts differ.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts cannot be paired with {len(pairs)}")
        frame = self.framer.begin(
            is_pair=pairs is not None, max_seq_len=max_seq_len, side=self.truncation_side
        )
        seconds = [None] * len(texts) if pairs is None else self.encoder.encodings(pairs)
        firsts = self.encoder.encodings(texts)
        return [enclose(frame, first, second) for first, second in zip(firsts, seconds, strict=True)]

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids; bytes that are no UTF-8 become U+FFFD.

        Args:
            token_ids: ids below ``vocab_size``; others give no text.
            skip_special_tokens: leave special tokens out instead of writing their names.

        Raises:
            InputError: an id is negative.
        """
        ids = [int(token_id) for token_id in token_ids]
        if min(ids, default=0) < 0:
            raise InputError(f"there is no token {min(ids)}")
        with library_errors("the tokenizer cannot decode these ids"):
            text = str(self._backend.decode(ids, skip_special_tokens=skip_special_tokens))
        return clean_up(text) if self._cleans_up else text

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that a token adds to a text that has begun; empty for a special token, which adds none.

        Exact for byte-level BPE, and for SentencePiece's kinds where the text is not normalised (the space
        that they think before a text is dropped by ``decode``). WordPiece keeps neither spaces nor case:
        there a token that begins a word is the word with one space before it.

        Raises:
            InputError: there is no such id.
        """
        if not 0 <= token_id < self.vocab_size:
            raise InputError(f"there is no token {token_id}", remedy=f"ids are 0 to {self.vocab_size - 1}")
        return self._bytes_by_id[token_id]

    @cached_property
    def tokens_by_id(self) -> list[str | None]:
        """Each id's token as the vocabulary writes it; None for a special one, and where there is none."""
        tokens = map(self._backend.id_to_token, range(self.vocab_size))
        return [None if token in self._special_ids else token for token in tokens]

    @cached_property
    def _bytes_by_id(self) -> list[bytes]:
        return [b"" if token is None else self._decoder.token_bytes(token) for token in self.tokens_by_id]

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that come one at a time; special tokens give no text.

        Its pieces are, together, exactly what ``decode`` gives for all the ids.

        Raises:
            InputError: the tokenizer's decoder needs all of a text at once (those of speech).
        """
        return self._decoder.stream(self.tokens_by_id, self._bytes_by_id)

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

    def chat_pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[chat_template.ChatPiece]:
        """As ``render_chat``, the template's special tokens apart from the text between them.

        Raises InputError as it does.
        """
        return chat_template.split(
            self._require_template(),
            messages,
            specials=tuple(self._special_ids),
            add_generation_prompt=add_generation_prompt,
            names=self._names,
            tools=tools,
        )

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Token ids of a conversation; only the template, never a message, makes special tokens.

        Args:
            messages: each with ``role`` and ``content``, both strings, and what else the template reads.
            add_generation_prompt: end with the opening of the assistant's answer.
            tools: that the model may call, as JSON schemas of functions.

        Raises:
            InputError: a message is not of that form, or the template refuses it.
        """
        pieces_of_chat = self.chat_pieces(messages, add_generation_prompt=add_generation_prompt, tools=tools)
        text = "".join(piece.text for piece in pieces_of_chat)
        wanted = [self._special_ids[piece.text] for piece in pieces_of_chat if piece.is_special]
        ids = self.encoder.ids_finding_specials(text)
        found = [token_id for token_id in ids if token_id in self._special_by_id and token_id != self.unk_id]
        if found == [token_id for token_id in wanted if token_id != self.unk_id]:
            return ids
        # A message holds, or becomes when normalised, the string of a special token.
        ids = []
        for piece in pieces_of_chat:
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
