"""What a task is to its data: the shapes of its tables, the layouts of its other files, what rows become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yanmo.corpus.files import Blob, Encoding
from yanmo.reporting.axes import Words
from yanmo.tasks.broken import BrokenRow, Note
from yanmo.tasks.columns import Columns, Role
from yanmo.tasks.examples import Example, Origin
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.tags import TagScheme

Cells = Mapping[str, Any]
"""From the roles of a shape to the cells of a row; roles without a column are not in it."""
Item = Example | BrokenRow


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How files are read where guessing is not wanted or not enough."""

    columns: Columns = field(default_factory=dict)
    """From roles to names of columns: ``{"text": "review", "label": "stars"}``."""
    labelled: bool = True
    """Whether what is to be predicted must be there; rows to predict on have none."""
    header: bool | None = None
    """Whether the first rows of tables name their columns."""
    label_kind: LabelKind | None = None
    tag_scheme: TagScheme | None = None
    split_column: str | None = None
    """The column that says of each row which split it belongs to."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How the rows of one file become examples."""

    settings: ReadSettings
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: LabelKind = LabelKind.ONE
    separator: str = ""
    """Between several classes in one cell."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """From roles to the names of classes that the cells number."""
    scheme: TagScheme = TagScheme.PLAIN
    is_repaired: bool = False
    """Whether bytes of the file were invalid, so that U+FFFD stands for them."""

    @property
    def labelled(self) -> bool:
        """Whether a row without its target is broken."""
        return self.settings.labelled


def as_it_is(sample: Sequence[Cells], how: How) -> How:
    """Learn nothing from a sample."""
    return how


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One way in which tables hold the examples of a task."""

    roles: tuple[Role, ...]
    build: Callable[[Cells, Origin, How], Iterable[Item]]
    """The examples of a row; raises ``FlawError`` where it is broken."""
    study: Callable[[Sequence[Cells], How], How] = as_it_is
    """What the first rows tell of how to read all."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which files that are no tables hold them."""

    what: str
    """For messages: ``CoNLL``."""
    fits: Callable[[Sequence[str]], bool]
    """Whether a file begins like that, by its first lines."""
    suffixes: tuple[str, ...] = ()
    """Names of files that are nothing else."""
    read: Callable[[Blob, Encoding, ReadSettings, Note], Iterator[Item]]
    """Reads it; raises ``FlawError`` or ``RefusedError`` for the file as a whole."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of the field, by the name that it has on the Hugging Face hub."""

    name: str
    what: Words
    shapes: tuple[Shape, ...]
    """Those that say more first."""
    layouts: tuple[Layout, ...] = ()
    reads_class_folders: bool = False
    """Whether a folder of texts stands for a class."""
    reads_parallel_files: bool = False
    """Whether line n of one file belongs to line n of another."""
    reads_documents: bool = False
    """Whether any document of a corpus is an example."""

    def roles(self) -> dict[str, Role]:
        """All roles of its shapes by name."""
        return {role.name: role for shape in reversed(self.shapes) for role in shape.roles}
