"""What a teacher is made of: the recipe, read from YAML and checked before anything is done.

A field that is not known is an error, so that a typing mistake is never a silent default.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from models.training.recipe import read_yaml

EXTRA_MISSING: Final = "is not installed, and the teacher needs it: pip install '.[teacher]'"

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Encoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the weights come from, and how much of them is used. `module` is found, never imported."""

    module: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")]
    folder: Name
    weights_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    layers: Annotated[int, Meta(ge=1, le=48)]
    tokens_max: Annotated[int, Meta(ge=3, le=512)]
    embeddings_frozen: bool


class TeacherFitting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the encoder and its linear head are fitted; `batch` in texts."""

    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    epochs: Annotated[int, Meta(ge=1, le=100)]
    batch: Annotated[int, Meta(ge=1, le=65_536)]
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)]
    warmup_share: Share
    weight_decay: Share
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)]
    class_weights_power: Share
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)]


class Labelling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How soft labels are given: `folds` of the gold texts (0: no cross-fitting), rows kept at a time."""

    folds: Annotated[int, Meta(ge=0, le=20)]
    chunk_rows: Annotated[int, Meta(ge=1, le=1_000_000)]
    batch: Annotated[int, Meta(ge=1, le=65_536)]


class TeacherSets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the sets, each `<name>.parquet` in the folder of data."""

    gold: Name
    pool: list[Name]
    held_out: Annotated[list[Name], Meta(min_length=1)]


class TeacherRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides on the soft labels, but for the data and the versions of the libraries."""

    v: Annotated[int, Meta(ge=1, le=1)]
    encoder: Encoder
    fit: TeacherFitting
    label: Labelling
    data: TeacherSets

    def __post_init__(self) -> None:
        """Refuse what the types cannot: msgspec turns this ValueError into its own."""
        if self.label.folds == 1:
            raise ValueError("label.folds is 1, which leaves nothing to fit on; 0, or 2 and more")
        names = [self.data.gold, *self.data.pool, *self.data.held_out]
        if len(set(names)) < len(names):
            raise ValueError("data names a set twice; gold, pool and held_out are different texts")


def read_recipe(path: Path) -> TeacherRecipe:
    """Read a recipe. Raises DataUnusable, and ModelRefused where no YAML can be read at all."""
    return read_yaml(path, TeacherRecipe)
