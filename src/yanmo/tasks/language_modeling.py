"""text-generation, fill-mask, feature-extraction: texts alone, read as a corpus reads them."""

from __future__ import annotations

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Task

TEXT_GENERATION = Task(
    name="text-generation",
    what=Words("texts to go on like", "供续写学习的文本"),
    shapes=(),
    reads_documents=True,
)
FILL_MASK = Task(
    name="fill-mask",
    what=Words("texts to hide words of", "供遮词学习的文本"),
    shapes=(),
    reads_documents=True,
)
FEATURE_EXTRACTION = Task(
    name="feature-extraction",
    what=Words("texts to make vectors of", "供提取向量的文本"),
    shapes=(),
    reads_documents=True,
)
