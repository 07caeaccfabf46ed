"""Tiny tokenizers of every kind, written as folders of transformers' own classes."""

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

from yanmo.tokenizers.bpe import SPLIT_PATTERN

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
