"""The teacher itself: the first layers of a BERT encoder, mean pooling and a linear head, in torch.

Rules:
1. torch, tokenizers and the weights are an extra: they are imported when a teacher is made, and whoever
   has none is told what to install.
2. The weights are read from the folder of the package that ships them, once their SHA-256 is the recipe's;
   they are tensors (safetensors), not code, and the package itself is never imported.
3. Same recipe, texts, libraries, device and number of threads: same labels. Nothing is promised across those.
"""

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.errors import ModelRefused
from models.scorers.scores import CLASSES
from models.training.dataset import Labelled
from models.training.teacher_recipe import EXTRA_MISSING, Encoder, TeacherRecipe

WINDOW_BATCHES: Final = 50
"""Texts of so many batches are put in order of length together, so that little is padding."""
HEAD_SPREAD: Final = 0.02  # standard deviation of the head's first weights, as BERT's own

Tensor = Any  # torch is an extra, so no type of it can be named
Weights = dict[str, Tensor]
Array = npt.NDArray[Any]


class _Shape(msgspec.Struct, frozen=True):
    """The part of a BERT's config.json that the arithmetic below depends on."""

    model_type: str
    hidden_act: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    layer_norm_eps: float
    pad_token_id: int


class BertTeacher:
    """Fits the encoder on gold texts and labels others with it; knows nothing of files but the weights."""

    def __init__(self, recipe: TeacherRecipe) -> None:
        """Load the encoder onto the best device there is. Raises ModelRefused."""
        self._torch, tokenizers, self._safetensors = (
            _extra(name) for name in ("torch", "tokenizers", "safetensors.torch")
        )
        self.libraries = {
            name: str(importlib.import_module(name).__version__)
            for name in ("torch", "tokenizers", "safetensors")
        }
        self._recipe = recipe
        folder = _folder(recipe.encoder)
        self._shape = _shape(folder, recipe.encoder)
        self.device = _device(self._torch)
        self._base = self._read_weights(folder)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(recipe.encoder.tokens_max)
        self._tokenizer.no_padding()

    def fit(self, gold: Labelled, seed: int, done: Callable[[int, int], None]) -> bytes:
        """Fit on gold texts; return what was learnt, as safetensors. `done` gets steps and of how many."""
        torch, how = self._torch, self._recipe.fit
        torch.manual_seed(seed)
        shuffle = np.random.default_rng(seed)
        weights = self._untaught()
        learnt = {name: value for name, value in weights.items() if self._is_learnt(name)}
        for value in learnt.values():
            value.requires_grad_(True)
        optimizer = torch.optim.AdamW(learnt.values(), lr=how.learning_rate, weight_decay=how.weight_decay)
        ids = self._word_pieces(gold.texts)
        labels = torch.as_tensor(gold.labels.astype(np.int64), device=self.device)
        of_class = torch.as_tensor(
            class_weights(gold.labels, how.class_weights_power), dtype=torch.float32, device=self.device
        )
        steps = how.epochs * -(-len(ids) // how.batch)
        step = 0
        for _ in range(how.epochs):
            for rows in batches([len(one) for one in ids], how.batch, shuffle):
                for group in optimizer.param_groups:
                    group["lr"] = how.learning_rate * rate_at(step, steps, how.warmup_share)
                logits = self._logits(weights, [ids[row] for row in rows], how.dropout)
                loss = torch.nn.functional.cross_entropy(
                    logits, labels[rows], weight=of_class, label_smoothing=how.label_smoothing
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                step += 1
                done(step, steps)
        return bytes(self._safetensors.save({name: value.detach().cpu() for name, value in learnt.items()}))

    def opened(self, learnt: bytes) -> Callable[[Sequence[str]], npt.NDArray[np.float32]]:
        """Return the teacher with what `fit` learnt: texts (n) to probabilities (n, 3)."""
        weights = self._base | {
            name: value.to(self.device) for name, value in self._safetensors.load(learnt).items()
        }

        def label(texts: Sequence[str]) -> npt.NDArray[np.float32]:
            ids = self._word_pieces(texts)
            probability = np.empty((len(texts), len(CLASSES)), np.float32)
            order = np.argsort([len(one) for one in ids], kind="stable")
            size = self._recipe.label.batch
            with self._torch.inference_mode():
                for rows in (order[start : start + size] for start in range(0, len(order), size)):
                    logits = self._logits(weights, [ids[row] for row in rows], dropout=0.0)
                    probability[rows] = logits.float().softmax(dim=1).cpu().numpy()
            return probability

        return label

    def _word_pieces(self, texts: Sequence[str]) -> list[list[int]]:
        # A lone surrogate has no UTF-8; "?" stands for it, as nothing could be learnt from it anyway.
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(readable)]

    def _read_weights(self, folder: Path) -> Weights:
        file = folder / "model.safetensors"
        content = _bytes(file)
        found = hashlib.sha256(content).hexdigest()
        if found != self._recipe.encoder.weights_sha256:
            raise ModelRefused(
                f"{file}: its sha256 is {found}, not the recipe's encoder.weights_sha256; "
                "review where it came from, then change the recipe"
            )
        used = tuple(f"encoder.layer.{layer}." for layer in range(self._recipe.encoder.layers))
        return {
            name: value.to(self.device)
            for name, value in self._safetensors.load(content).items()
            if name.startswith(used) or (name.startswith("embeddings.") and value.is_floating_point())
        }

    def _untaught(self) -> Weights:
        """Return a copy of the encoder, so that a fit changes no other, and a fresh head on top."""
        torch = self._torch
        weights = {name: value.clone() for name, value in self._base.items()}
        head = torch.randn(len(CLASSES), self._shape.hidden_size) * HEAD_SPREAD
        return weights | {
            "head.weight": head.to(self.device),
            "head.bias": torch.zeros(len(CLASSES), device=self.device),
        }

    def _is_learnt(self, name: str) -> bool:
        return not (self._recipe.encoder.embeddings_frozen and name.startswith("embeddings."))

    def _logits(self, weights: Weights, ids: list[list[int]], dropout: float) -> Tensor:
        pooled = self._pooled(weights, ids, dropout)
        return _linear(self._torch, weights, "head", self._torch.dropout(pooled, dropout, dropout > 0))

    def _pooled(self, weights: Weights, ids: list[list[int]], dropout: float) -> Tensor:
        """Mean of the last layer over the word pieces of each of n texts: (n, hidden size)."""
        torch = self._torch
        longest = max(len(one) for one in ids)
        pad = self._shape.pad_token_id
        padded = np.array([one + [pad] * (longest - len(one)) for one in ids], np.int64)
        lengths = np.array([len(one) for one in ids])
        there = torch.as_tensor(np.arange(longest) < lengths[:, None], device=self.device)
        words = weights["embeddings.word_embeddings.weight"][torch.as_tensor(padded, device=self.device)]
        places = weights["embeddings.position_embeddings.weight"][:longest]
        hidden = words + places + weights["embeddings.token_type_embeddings.weight"][0]
        hidden = torch.dropout(self._norm(weights, "embeddings.LayerNorm", hidden), dropout, dropout > 0)
        for layer in range(self._recipe.encoder.layers):
            hidden = self._layer(weights, f"encoder.layer.{layer}.", hidden, there, dropout)
        kept = there[:, :, None].to(hidden.dtype)
        return (hidden * kept).sum(dim=1) / kept.sum(dim=1)

    def _layer(self, weights: Weights, at: str, hidden: Tensor, there: Tensor, dropout: float) -> Tensor:
        """One layer of BERT: attention over the pieces that are there, then two matrices; norms come last."""
        torch = self._torch
        texts, longest, width = hidden.shape
        heads = (texts, longest, self._shape.num_attention_heads, -1)
        query, key, value = (
            _linear(torch, weights, f"{at}attention.self.{name}", hidden).view(heads).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=there[:, None, None, :], dropout_p=dropout
        )
        seen = seen.transpose(1, 2).reshape(texts, longest, width)
        seen = _linear(torch, weights, f"{at}attention.output.dense", seen)
        hidden = hidden + torch.dropout(seen, dropout, dropout > 0)
        hidden = self._norm(weights, f"{at}attention.output.LayerNorm", hidden)
        inner = torch.nn.functional.gelu(_linear(torch, weights, f"{at}intermediate.dense", hidden))
        inner = _linear(torch, weights, f"{at}output.dense", inner)
        hidden = hidden + torch.dropout(inner, dropout, dropout > 0)
        return self._norm(weights, f"{at}output.LayerNorm", hidden)

    def _norm(self, weights: Weights, name: str, hidden: Tensor) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return self._torch.layer_norm(hidden, weight.shape, weight, bias, self._shape.layer_norm_eps)


def class_weights(labels: Array, power: float) -> npt.NDArray[np.float64]:
    """Weights (3,) of the classes: (mean rows of a class / rows of this one) ^ power."""
    rows = np.bincount(labels, minlength=len(CLASSES))
    weights: npt.NDArray[np.float64] = (len(labels) / len(CLASSES) / np.maximum(rows, 1)) ** power
    return weights


def rate_at(step: int, steps: int, warmup_share: float) -> float:
    """The learning rate at a step, as a share of its highest: up over the warm-up, then down to 0."""
    warmup = max(1, round(steps * warmup_share))
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup + 1))


def batches(lengths: Sequence[int], size: int, shuffle: np.random.Generator) -> Iterator[list[int]]:
    """Yield every row once, in batches of similar length, the batches in random order."""
    order = shuffle.permutation(len(lengths))
    window = size * WINDOW_BATCHES
    cut: list[list[int]] = []
    for start in range(0, len(order), window):
        rows = sorted(order[start : start + window].tolist(), key=lengths.__getitem__)
        cut += [rows[first : first + size] for first in range(0, len(rows), size)]
    for batch in shuffle.permutation(len(cut)):
        yield cut[batch]


def _linear(torch: Any, weights: Weights, name: str, value: Tensor) -> Tensor:
    return torch.nn.functional.linear(value, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelRefused(f"{name.partition('.')[0]} {EXTRA_MISSING}") from error


def _folder(encoder: Encoder) -> Path:
    found = importlib.util.find_spec(encoder.module)  # of a top-level name: nothing of it is run
    if found is None or not found.submodule_search_locations:
        raise ModelRefused(f"{encoder.module.replace('_', '-')} {EXTRA_MISSING}")
    return Path(next(iter(found.submodule_search_locations))) / encoder.folder


def _shape(folder: Path, encoder: Encoder) -> _Shape:
    file = folder / "config.json"
    try:
        shape = msgspec.json.decode(_bytes(file), type=_Shape)
    except msgspec.DecodeError as error:
        raise ModelRefused(f"{file}: {error}; an encoder of the BERT family is needed") from error
    if (shape.model_type, shape.hidden_act) != ("bert", "gelu"):
        raise ModelRefused(f"{file}: {shape.model_type} with {shape.hidden_act}; BERT with gelu is needed")
    for wanted, there, what in (
        (encoder.layers, shape.num_hidden_layers, "layers"),
        (encoder.tokens_max, shape.max_position_embeddings, "tokens_max"),
    ):
        if wanted > there:
            raise ModelRefused(f"{file}: the recipe's encoder.{what} is {wanted}, the encoder has {there}")
    return shape


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{file} cannot be read: {error.strerror or error}") from error
