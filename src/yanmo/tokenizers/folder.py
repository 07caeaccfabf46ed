"""The files of a tokenizer folder: what they say, and what goes back when it is saved again.

Of the two descriptions that a folder may hold, tokenizer.json decides. transformers 5 builds some
classes (LlamaTokenizer, T5Tokenizer, MBartTokenizer ...) anew around the vocabulary instead, with a
normalizer and a pre-tokenizer of its own, and agrees with the file wherever it wrote the file. Of
tokenizer_config.json, the settings that its classes lay over the file hold here too: BERT's
``do_lower_case``, ``strip_accents`` and ``tokenize_chinese_chars``, and byte-level BPE's
``add_prefix_space``. ``add_bos_token`` and ``add_eos_token`` do not, there as here: the post-processor of
tokenizer.json says what is put around a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.artifact import read_json, write_bytes, write_json
from yanmo.errors import InputError
from yanmo.tokenizers.encoding import Side
from yanmo.tokenizers.wordpiece_vocab import VOCAB_FILE, build_wordpiece

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
TEMPLATES_FOLDER = "additional_chat_templates"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

# The largest tokenizer.json of the field has 33 MB.
_MAX_BYTES = 256 * 2**20
_NO_LIMIT = 10**9
_WRITTEN_NO_LIMIT = int(1e30)  # what transformers writes for "no limit"
# Written for a tokenizer that has them; the others always.
_ENCODER_ROLES = ("cls_token", "sep_token", "mask_token")
# Classes that take tokenizer.json as it is.
_PLAIN_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
_LEFT_PADDING_CLASSES = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer")
_BERT_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Files of tokenizers that need other libraries, or whose rules only a class of transformers knows.
SLOW_FILES = (
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "spm.model",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
)


@dataclass(frozen=True, kw_only=True)
class TokenizerFolder:
    """What a tokenizer folder holds.

    Attributes:
        path: of tokenizer.json, for messages.
        content: of tokenizer.json, as it is in the file.
        config: tokenizer_config.json.
        special_tokens_map: special_tokens_map.json; empty where there is none.
        added_tokens: added_tokens.json; empty where there is none.
        template: the chat template, or None.
        files: name to bytes of every file that makes up the tokenizer.
    """

    path: Path
    content: str
    config: Mapping[str, Any]
    special_tokens_map: Mapping[str, Any]
    added_tokens: Mapping[str, Any]
    template: str | None
    files: Mapping[str, bytes]

    @property
    def is_chat_tuned(self) -> bool:
        """Whether a model that comes with it was trained on conversations: so if it brings a template."""
        return bool(self.config.get("yanmo_chat", self.template is not None))

    @property
    def max_seq_len(self) -> int | None:
        """Longest text in tokens, or None where there is no limit."""
        limit = self.config.get("model_max_length", self.config.get("max_len"))
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        return int(limit) if is_number and 0 < limit < _NO_LIMIT else None

    @property
    def cleans_up(self) -> bool:
        """Whether decoding takes back spaces before punctuation."""
        return self.config.get("clean_up_tokenization_spaces") is True

    def side(self, name: str) -> Side | None:
        """``padding`` or ``truncation``: ``left`` or ``right``, or None where the configs do not say.

        Raises:
            InputError: it is something else.
        """
        side = self.config.get(f"{name}_side")
        if side not in ("left", "right", None):
            where = self.path.with_name(CONFIG_FILE)
            raise InputError(f"{name}_side cannot be {side!r}", where=where, remedy="left or right")
        if side is None and name == "padding" and self._class in _LEFT_PADDING_CLASSES:
            return "left"
        return side

    def settled_content(self, parts: Mapping[str, Mapping[str, Any] | None]) -> str:
        """The content of tokenizer.json with what tokenizer_config.json lays over it.

        Args:
            parts: ``normalizer``, ``pre_tokenizer`` and ``post_processor``, as the content has them.
        """
        if self._class in _PLAIN_CLASSES:
            return self.content
        changed = dict(parts)
        normalizer, prefix_space = parts["normalizer"], self.config.get("add_prefix_space")
        if normalizer is not None and normalizer.get("type") == "BertNormalizer":
            wanted = {ours: self.config[name] for name, ours in _BERT_SETTINGS.items() if name in self.config}
            changed["normalizer"] = {**normalizer, **wanted}
        if isinstance(prefix_space, bool):
            for name, kind in (("pre_tokenizer", "ByteLevel"), ("post_processor", "RobertaProcessing")):
                changed[name] = _with_prefix_space(parts[name], kind, prefix_space)
        if changed == parts:
            return self.content
        try:
            content = json.loads(self.content)
        except (ValueError, RecursionError) as error:  # a number or a depth that the library takes
            raise InputError(f"not JSON: {error}", where=self.path, remedy="the file is damaged") from None
        return json.dumps(content | changed, ensure_ascii=False)

    @property
    def _class(self) -> str:
        return str(self.config.get("tokenizer_class", "")).removesuffix("Fast")


def read_folder(folder: Path) -> TokenizerFolder:
    """Read the files of a tokenizer folder, or of a model folder that holds a tokenizer.

    Raises:
        InputError: there is no tokenizer that can be read, or a file is damaged.
    """
    files: dict[str, bytes] = {}
    for name in (
        TOKENIZER_FILE,
        CONFIG_FILE,
        TEMPLATE_FILE,
        SPECIAL_TOKENS_FILE,
        ADDED_TOKENS_FILE,
        VOCAB_FILE,
    ):
        if (raw := _read(folder / name)) is not None:
            files[name] = raw
    for path in sorted(folder.glob(f"{TEMPLATES_FOLDER}/*.jinja")):
        if (raw := _read(path)) is not None:
            files[f"{TEMPLATES_FOLDER}/{path.name}"] = raw
    tables = {
        name: read_json(folder / name) if name in files else {}
        for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE)
    }
    config = tables[CONFIG_FILE]
    if TOKENIZER_FILE in files:
        content = _text(files[TOKENIZER_FILE], folder / TOKENIZER_FILE)
        files.pop(VOCAB_FILE, None)
    else:
        content = _build_content(folder, files, config)
    return TokenizerFolder(
        path=folder / (TOKENIZER_FILE if TOKENIZER_FILE in files else VOCAB_FILE),
        content=content,
        config=config,
        special_tokens_map=tables[SPECIAL_TOKENS_FILE],
        added_tokens=tables[ADDED_TOKENS_FILE],
        template=_template(folder, files, config),
        files=files,
    )


def fresh_config(names: Mapping[str, str | None], max_seq_len: int | None) -> dict[str, Any]:
    """tokenizer_config.json of a tokenizer that came from no folder.

    Args:
        names: strings of tokens by role.
        max_seq_len: longest context of its model in tokens, if known.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{role: names[role] for role in ("eos_token", "pad_token", "bos_token", "unk_token")},
        **{role: names[role] for role in _ENCODER_ROLES if names[role] is not None},
        "model_max_length": max_seq_len or _WRITTEN_NO_LIMIT,
        "clean_up_tokenization_spaces": False,
    }


def write_files(
    folder: Path, files: Mapping[str, bytes], config: Mapping[str, Any], *, source: TokenizerFolder | None
) -> None:
    """Write a tokenizer's files into ``folder``, which is made if need be.

    Args:
        folder: where to.
        files: name to bytes.
        config: tokenizer_config.json; where it is still that of ``source``, the file goes back as it came.
        source: the folder that the tokenizer was read from, if any.

    Raises:
        YanmoError: the disk is full or the folder cannot be written.
    """
    is_as_it_came = source is not None and config == source.config
    for name, raw in files.items():
        if name != CONFIG_FILE or is_as_it_came:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, raw)
    if not is_as_it_came:
        write_json(folder / CONFIG_FILE, config)


def _read(path: Path) -> bytes | None:
    """A file's bytes, or None where there is no such file."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            remedy = "check that the folder is a tokenizer's"
            raise InputError(f"is too large for a tokenizer: {size} bytes", where=path, remedy=remedy)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        remedy = "the file is damaged; make it again"
        raise InputError("not a tokenizer: not UTF-8", where=path, remedy=remedy) from None


def _build_content(folder: Path, files: Mapping[str, bytes], config: Mapping[str, Any]) -> str:
    """The tokenizer.json of a folder that has none, where its other files leave no doubt."""
    model = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if VOCAB_FILE in files:
        names = (config.get("tokenizer_class"), model.get("model_type"))
        built = build_wordpiece(_text(files[VOCAB_FILE], folder / VOCAB_FILE), config, names=names)
        if built is not None:
            return built
    slow = next((name for name in SLOW_FILES if (folder / name).is_file()), None)
    if slow is None:
        raise InputError(f"has no {TOKENIZER_FILE}", where=folder, remedy="give a tokenizer or model folder")
    raise InputError(
        f"has no {TOKENIZER_FILE}, only {slow} of a slow tokenizer",
        where=folder,
        remedy="where transformers and sentencepiece are installed, run "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    )


def _template(folder: Path, files: Mapping[str, bytes], config: Mapping[str, Any]) -> str | None:
    """The chat template: a file's before the config's, and of several the one named ``default``."""
    for name in (TEMPLATE_FILE, f"{TEMPLATES_FOLDER}/default.jinja"):
        if name in files:
            return _text(files[name], folder / name)
    template = config.get("chat_template")
    if isinstance(template, list):
        named = [entry for entry in template if isinstance(entry, Mapping)]
        template = {entry.get("name"): entry.get("template") for entry in named}
    if isinstance(template, Mapping):
        template = template.get("default")
    return template if isinstance(template, str) else None


def _with_prefix_space(part: Mapping[str, Any] | None, kind: str, wanted: bool) -> Mapping[str, Any] | None:
    if part is not None and isinstance(part.get("pretokenizers"), list):
        steps = [_with_prefix_space(step, kind, wanted) for step in part["pretokenizers"]]
        return {**part, "pretokenizers": steps}
    return part if part is None or part.get("type") != kind else {**part, "add_prefix_space": wanted}
