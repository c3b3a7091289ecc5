"""Texts that can be searched by meaning: their embeddings, in an index of faiss.

The package `faiss` is an extra, `search`. N texts, D width of their vectors.
"""

import importlib
import io
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_lm.models.given_texts import as_texts
from keras_lm.models.interface import made_once
from keras_lm.tasks.text_embedder import TextEmbedder
from keras_lm.tasks.text_search import TextSearch

KINDS = ("exact", "hnsw")
_NEIGHBOURS = 32  # of each vector in a graph; M of the paper
_SEARCHED = 64  # candidates of a query at least; ef of the paper
_FACTS, _TEXTS, _VECTORS = "index.json", "texts.jsonl", "vectors.faiss"
_FORMAT = 1


class SearchResults(NamedTuple):
    """What was found for queries, the most alike first; of a single query the values alone.

    Attributes:
        texts: for each query a list of texts.
        scores: for each a list of cosines.
        places: for each a list of the texts' numbers, in the order they were added.
    """

    texts: Any
    scores: Any
    places: Any


class SearchIndex:
    """Finds the texts whose embeddings have the highest cosine with that of a query.

    Args:
        model: a `TextEmbedder` with its tokenizer; it embeds texts and queries alike.
        texts: what is searched.
        kind: `"exact"`: every vector is compared; `"hnsw"`: a graph of neighbours (Malkov and
            Yashunin 2016, arXiv:1603.09320), which for many texts takes a fraction of the time and
            may miss some.
        batch_size: texts that are embedded at once. None: 32.
        verbose: 0: no progress bar.

    Attributes:
        model: as given.
        texts: what is searched, a list.
        kind: as given.

    Raises:
        ImportError: `faiss` is not installed.
        ValueError: an unknown kind, a text that is empty, or a model without a tokenizer.
    """

    def __init__(
        self,
        model: TextEmbedder,
        texts: Iterable[str],
        *,
        kind: str = "exact",
        batch_size: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        _check_model(model)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}. Received: kind={kind!r}")
        faiss = _faiss()
        self.model, self.kind = model, kind
        self.texts: list[str] = []
        if kind == "exact":
            self._index = faiss.IndexFlatIP(model.hidden_size)
        else:
            metric = faiss.METRIC_INNER_PRODUCT
            self._index = faiss.IndexHNSWFlat(model.hidden_size, _NEIGHBOURS, metric)
        self.add(texts, batch_size=batch_size, verbose=verbose)

    def __len__(self) -> int:
        return len(self.texts)

    def add(
        self, texts: Iterable[str], *, batch_size: int | None = None, verbose: Any = "auto"
    ) -> None:
        """Embeds more texts and adds them.

        Args:
            texts: strings; the same one may come again.
            batch_size: texts that are embedded at once. None: 32.
            verbose: 0: no progress bar.

        Raises:
            ValueError: there is none, or one is empty or no string.
        """
        if isinstance(texts, str | bytes):
            raise ValueError(f"texts must be a list of strings. Received: {texts!r:.80}")
        more = list(texts)
        for place, text in enumerate(more):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    "A text to be searched must be a string that is not empty. "
                    f"Received: {text!r:.80} at {place}"
                )
        vectors = self._embedded(more, batch_size, verbose)
        self._index.add(vectors)
        self.texts.extend(more)
        self.__dict__.pop("_made_once", None)  # the graph of an export

    def query(
        self,
        queries: Any,
        top_k: int = 5,
        *,
        batch_size: int | None = None,
        verbose: Any = 0,
    ) -> SearchResults:
        """Finds what is most alike.

        Args:
            queries: a string or a list of strings.
            top_k: how many texts each finds at most.
            batch_size: queries that are embedded at once. None: 32.
            verbose: 0: no progress bar.

        Raises:
            ValueError: `top_k` is not positive, or queries are no strings.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be positive. Received: top_k={top_k}")
        read = as_texts(queries)
        if read is None or len(read[0]) > 1:
            raise ValueError(
                f"A query is a string, or a list of strings. Received: {queries!r:.80}"
            )
        (asked,), single = read
        most = min(top_k, len(self.texts))
        if self.kind == "hnsw":
            self._index.hnsw.efSearch = max(_SEARCHED, most)
        scores, places = self._index.search(self._embedded(asked, batch_size, verbose), most)
        found = [
            [(float(score), int(place)) for score, place in zip(*row, strict=True) if place >= 0]
            for row in zip(scores, places, strict=True)
        ]
        texts = [[self.texts[place] for _, place in row] for row in found]
        results = SearchResults(
            texts,
            [[score for score, _ in row] for row in found],
            [[i for _, i in row] for row in found],
        )
        return SearchResults(*(part[0] for part in results)) if single else results

    def vectors(self) -> np.ndarray:
        """The embeddings, of length 1, float32 `(N, D)`."""
        return self._index.reconstruct_n(0, len(self.texts))

    def _embedded(self, texts: list[str], batch_size: int | None, verbose: Any) -> np.ndarray:
        found = self.model.predict(texts, batch_size=batch_size, verbose=verbose).vectors
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.ascontiguousarray(found / np.maximum(norms, 1e-12), np.float32)

    # Files

    def save(self, path: str | os.PathLike) -> None:
        """Writes texts and vectors into one file, whole or not at all. The model is not in it.

        Args:
            path: of the file, a ZIP archive.
        """
        path = pathlib.Path(path)
        facts = {
            "format": _FORMAT,
            "kind": self.kind,
            "texts": len(self.texts),
            "width": self.model.hidden_size,
        }
        lines = io.StringIO()
        for text in self.texts:
            lines.write(json.dumps(text, ensure_ascii=False) + "\n")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                archive.writestr(_FACTS, json.dumps(facts, indent=2))
                archive.writestr(_TEXTS, lines.getvalue().encode("utf-8", "surrogatepass"))
                archive.writestr(_VECTORS, _faiss().serialize_index(self._index).tobytes())
            pathlib.Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from others
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike, model: TextEmbedder) -> "SearchIndex":
        """Reads what `save` wrote.

        Args:
            path: of the file.
            model: the one that the texts were embedded with; the first of them is embedded again
                to see that it is.

        Raises:
            FileNotFoundError: there is no such file.
            ImportError: `faiss` is not installed.
            ValueError: it is another kind of file, or was made with another model.
        """
        _check_model(model)
        faiss = _faiss()
        path = pathlib.Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"load takes a file that save wrote. Received: {path}, not there"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                facts = json.loads(archive.read(_FACTS))
                lines = archive.read(_TEXTS).decode("utf-8", "surrogatepass").split("\n")
                content = np.frombuffer(archive.read(_VECTORS), np.uint8)
            texts = [json.loads(line) for line in lines[:-1]]
            index = faiss.deserialize_index(content)
            whole = facts["format"] == _FORMAT and facts["kind"] in KINDS
            whole = whole and index.ntotal == len(texts) == facts["texts"]
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"load takes a file that save wrote. Received: {path}: {error}"
            ) from None
        if not whole:
            raise ValueError(
                f"load takes a file of format {_FORMAT} with as many texts as vectors. "
                f"Received: {path} with {facts}, {len(texts)} texts, {index.ntotal} vectors"
            )
        made = cls.__new__(cls)
        made.model, made.kind, made.texts, made._index = model, facts["kind"], texts, index
        first = index.reconstruct(0) if index.d == model.hidden_size else None
        if first is None or np.abs(made._embedded(texts[:1], None, 0)[0] - first).max() > 1e-3:
            raise ValueError(
                "An index must be loaded with the model that its texts were embedded with. "
                f"Received: {path}, whose first text has another vector"
            )
        return made

    # What an export asks of a model.

    built = True
    heads: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> Any:
        """That of the model."""
        return self.model.tokenizer

    @property
    def max_length(self) -> int:
        """That of the model."""
        return self.model.max_length

    @property
    def dtype_policy(self) -> keras.DTypePolicy:
        """That of the model."""
        return self.model.dtype_policy

    @property
    def weights(self) -> list[Any]:
        """Those of the model."""
        return self.model.weights

    @property
    def variables(self) -> list[Any]:
        """Those of the model, and the vectors."""
        return [*self.model.variables, made_once(TextSearch, self, self.tokenizer).vectors]

    def count_params(self) -> int:
        """The parameters of the model."""
        return self.model.count_params()


def _check_model(model: Any) -> None:
    if not isinstance(model, TextEmbedder):
        raise ValueError(f"A SearchIndex takes a TextEmbedder. Received: a {type(model).__name__}")
    model.require_tokenizer("SearchIndex()")


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise ImportError(
            "A SearchIndex needs the extra `search`: pip install keras_lm[search]. "
            "Received: no package faiss"
        ) from None
