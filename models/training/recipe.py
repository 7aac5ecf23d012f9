"""What the shipped model is made of: the recipe, read from YAML and checked before anything is done.

A field that is not known is an error, so that a typing mistake is never a silent default.
"""

from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from models.errors import DataUnusable, ModelRefused

RECIPE_BYTES_MAX: Final = 64 * 1024

Made = TypeVar("Made")

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Weight = Annotated[float, Meta(gt=0.0, le=100.0)]
Rows = Annotated[int, Meta(ge=0, le=5_000_000)]


class Ngrams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lengths of the n-grams, shortest and longest, and how many buckets they are hashed into."""

    ngrams: tuple[Annotated[int, Meta(ge=1, le=8)], Annotated[int, Meta(ge=1, le=8)]]
    buckets: Annotated[int, Meta(ge=2, le=2**24)]


class Features(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The two vectorizers."""

    words: Ngrams
    letters: Ngrams


class Fitting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network and how it is fitted; `batch` in texts."""

    hidden: Annotated[int, Meta(ge=1, le=64)]
    epochs: Annotated[int, Meta(ge=1, le=100)]
    batch: Annotated[int, Meta(ge=1, le=65_536)]
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)]
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)]
    hidden_scale: Annotated[float, Meta(gt=0.0, le=10.0)]
    output_scale: Annotated[float, Meta(gt=0.0, le=10.0)]
    mantissa_bits: Annotated[int, Meta(ge=1, le=23)]


class Set(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of texts, `<name>.parquet`. `soft` names the columns of a teacher's probabilities.

    A gold label counts 1 - `soft_share`, the teacher's the rest. `balanced`: each class weighs the same.
    """

    name: Name
    weight: Weight
    balanced: bool = False
    soft: Annotated[list[str], Meta(min_length=3, max_length=3)] | None = None
    soft_share: Share = 1.0


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a gold set that is held out for calibration."""

    name: Name
    share: Annotated[float, Meta(gt=0.0, lt=1.0)]


class Sets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files teach, and which only measure."""

    gold: Annotated[list[Set], Meta(min_length=1)]
    pool: list[Set]
    held_out: Annotated[list[Name], Meta(min_length=1)]
    calibration: Calibration


class Sentences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Made sentences: how many (`share` 1: some 105,000), and what each weighs."""

    share: Annotated[float, Meta(ge=0.0, le=100.0)]
    weight: Weight


class Copies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Existing texts in another form: how many, and what each weighs beside the text it is of."""

    rows: Rows
    weight: Weight


class InPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of the texts of gold and pool that are read in another form instead of their own."""

    share: Share


class Making(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is made by rule."""

    sentences: Sentences
    changed: InPlace
    variants: Copies
    signs: Copies


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language gate: how many foreign texts, in other forms how many of them, and where it closes."""

    rows: Rows
    weight: Weight
    variants_share: Share
    unscored_from: Annotated[float, Meta(gt=0.0, le=1.0)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides on the model, but for the data and the versions of the libraries."""

    v: Annotated[int, Meta(ge=1, le=1)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    features: Features
    fit: Fitting
    data: Sets
    made: Making
    gate: Gate

    def __post_init__(self) -> None:
        """Refuse what the types cannot: msgspec turns this ValueError into its own."""
        names = [one.name for one in (*self.data.gold, *self.data.pool)] + self.data.held_out
        if len(set(names)) < len(names):
            raise ValueError("data names a set twice; gold, pool and held_out are different texts")
        if self.data.calibration.name not in [one.name for one in self.data.gold]:
            raise ValueError("data.calibration is a part of a gold set; it names none")
        if any(one.soft is None for one in self.data.pool):
            raise ValueError("a set of the pool has no labels but a teacher's; name their columns in soft")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises DataUnusable, and ModelRefused where no YAML can be read at all."""
    return read_yaml(path, Recipe)


def read_yaml(path: Path, of: type[Made]) -> Made:
    """Read a recipe of some type. Raises DataUnusable, and ModelRefused where no YAML can be read at all."""
    try:
        with path.open("rb") as file:
            content = file.read(RECIPE_BYTES_MAX + 1)
    except OSError as error:
        raise DataUnusable(f"recipe {path} cannot be read: {error.strerror or error}") from error
    if len(content) > RECIPE_BYTES_MAX:
        raise DataUnusable(f"recipe {path} is larger than {RECIPE_BYTES_MAX} bytes")
    try:
        return msgspec.yaml.decode(content, type=of)
    except ImportError as error:
        raise ModelRefused("recipes are YAML, and pyyaml is not installed: pip install pyyaml") from error
    except msgspec.DecodeError as error:
        reason = " ".join(str(error).split())[:300]
        raise DataUnusable(f"recipe {path}: {reason}") from error
