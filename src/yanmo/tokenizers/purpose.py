"""What a trained tokenizer is for: the special tokens that an objective needs, and the frame of a text.

Causal: as in the Qwen family. Masked: Devlin et al. 2019 (arXiv 1810.04805, section 3, figure 2).
Denoising: one sentinel for each hidden span, as in T5's vocabulary (Raffel et al. 2020, arXiv 1910.10683,
section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from yanmo.tokenizers import chat_template
from yanmo.tokenizers.load import END_OF_TEXT, PAD, SPECIAL_TOKENS

NUM_SENTINELS = 100
UNKNOWN = "<|unk|>"


class Purpose(StrEnum):
    """The objective that a tokenizer is trained for."""

    CAUSAL = "causal"
    MASKED = "masked"
    DENOISING = "denoising"


@dataclass(frozen=True, kw_only=True)
class Specials:
    """Special tokens of one purpose.

    Attributes:
        tokens: in the order of their ids, which stand behind those of ordinary tokens.
        roles: which token has which role.
        single: what stands around a text, as the ``tokenizers`` library writes it; empty for nothing.
        pair: what stands around two.
        chat_template: of conversations, or None.
    """

    tokens: tuple[str, ...]
    roles: Mapping[str, str] = field(default_factory=dict)
    single: str = ""
    pair: str = ""
    chat_template: str | None = None

    def add_to(self, backend: Tokenizer) -> None:
        """Give a tokenizer these tokens, and the frame."""
        backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in self.tokens])
        if self.single:
            framing = [token for token in self.tokens if f"{token}:" in self.pair]
            backend.post_processor = processors.TemplateProcessing(
                single=self.single,
                pair=self.pair,
                special_tokens=[(token, backend.token_to_id(token)) for token in framing],
            )

    def with_unknown(self) -> Specials:
        """The same with a token for what a vocabulary cannot write, where there is none yet."""
        if "unk_token" in self.roles:
            return self
        roles = {**self.roles, "unk_token": UNKNOWN}
        return replace(self, tokens=(*self.tokens, UNKNOWN), roles=roles)

    def settings(self) -> dict[str, Any]:
        """What ``yanmo.tokenizers.load.Tokenizer`` is told beside the file's content."""
        return {"template": self.chat_template, "roles": self.roles}


SPECIALS = {
    Purpose.CAUSAL: Specials(
        tokens=SPECIAL_TOKENS,
        roles={"eos_token": END_OF_TEXT, "pad_token": PAD},
        chat_template=chat_template.CHATML,
    ),
    Purpose.MASKED: Specials(
        tokens=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        roles={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            # What ends a text parts the documents of a token store.
            "eos_token": "[SEP]",
        },
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
    ),
    Purpose.DENOISING: Specials(
        tokens=("<pad>", "</s>", "<unk>", *(f"<extra_id_{number}>" for number in range(NUM_SENTINELS))),
        roles={"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        single="$A:0 </s>:0",
        pair="$A:0 </s>:0 $B:0 </s>:0",
    ),
}
