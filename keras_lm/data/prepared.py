"""A prepared directory, opened: tokenized shards that pipelines read in place of files.

S shards, V vocabulary.
"""

import functools
import math
import os
import pathlib
from typing import Any

import numpy as np

from keras_lm.data import checks
from keras_lm.data.fingerprint import fingerprint
from keras_lm.data.prepared_shards import ShardFiles
from keras_lm.shards import index
from keras_lm.tokenizers.loading import load
from keras_lm.tokenizers.tokenizer import Tokenizer

_MOST_STREAMS = 4


class Prepared:
    """What `keras_lm.data.prepare` wrote, and how it is read.

    A pipeline over it holds `shuffle_tokens` tokens about three times, whatever the corpus. In each
    epoch shards come in an order of their own, and rows are shuffled among their next neighbours:
    as many as `shuffle_tokens` hold.

    A batch is put together from streams. Each goes through a part of the rows that no other stream
    reads, so that workers, who take whole streams, read rows that no other worker reads. What a
    batch holds depends on the number of streams, not on the number of workers.

    Args:
        directory: see `keras_lm.data.prepare`.
        num_streams: divides the batch size, and is a multiple of the number of workers. None: the
            greatest common divisor of the batch size and 4.
        shuffle_tokens: see above.
        verify: whether all shards are read, and their checksums verified. Missing files and wrong
            sizes are found in any case.

    Attributes:
        directory: a `pathlib.Path`.
        index: a `keras_lm.shards.index.Index`.
        statistics: what was counted, by name.
        objective: "masked_lm" or "causal_lm".

    Raises:
        FileNotFoundError: the directory has no index: `prepare` was not finished; or a shard is
            missing.
        ValueError: an argument out of range, an index of a later version, a shard that is not what
            was written.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        num_streams: int | None = None,
        shuffle_tokens: int = 2**24,
        verify: bool = False,
    ):
        if num_streams is not None:
            num_streams = checks.integer("num_streams", num_streams, 1)
        self.num_streams = num_streams
        self.shuffle_tokens = checks.integer("shuffle_tokens", shuffle_tokens, 1)
        self.directory = pathlib.Path(directory)
        self.index = index.read_index(directory)
        self.statistics = self.index.statistics
        self.objective: str = self.index.settings["objective"]
        check = index.check_sums if verify else index.check_sizes
        check(self.directory, self.index.shards)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the corpus was prepared with."""
        mode = self.index.settings["special_tokens"]
        return load(self.directory / index.TOKENIZER, special_tokens=mode)

    @functools.cached_property
    def files(self) -> ShardFiles:
        """The shards, for graphs."""
        return ShardFiles(self.directory, self.index.shards, self.index.settings["dtype"])

    def token_counts(self, end_id: int | None) -> np.ndarray:
        """How often each id stands in the text, int64 `(V,)`, with an id behind each document."""
        counts = np.load(self.directory / index.COUNTS)
        if end_id is not None:
            counts[end_id] += self.statistics["documents"]
        return counts

    def streams(self, batch_size: int, shuffle: bool) -> int:
        """The number of streams of a pipeline.

        Raises:
            ValueError: it does not divide the batch size.
        """
        if not shuffle:
            return 1  # rows come as they stand
        number = self.num_streams or math.gcd(batch_size, _MOST_STREAMS)
        if batch_size % number:
            raise ValueError(
                "batch_size must be a multiple of num_streams. "
                f"Received: batch_size={batch_size}, num_streams={number}"
            )
        return number


def opened(
    source: Any, texts: Any, tokenizer: Tokenizer, objective: str, document: str | None
) -> Prepared | None:
    """The prepared corpus that a source is, checked; None where it is something else.

    Args:
        source: what a pipeline was given: a `Prepared`, or a path of one.
        texts: what else it was given.
        tokenizer: of the model.
        objective: of the pipeline.
        document: what the pipeline was told of documents.

    Raises:
        TypeError: texts are given, too.
        ValueError: it was prepared with another tokenizer, or for another objective; `document` is
            given.
    """
    if isinstance(source, str | os.PathLike) and os.path.isdir(source):
        names = (index.INDEX, index.UNFINISHED)
        if any(os.path.exists(os.path.join(source, name)) for name in names):
            source = Prepared(source)
    if not isinstance(source, Prepared):
        return None
    if texts is not None:
        raise TypeError("Give either source (files) or texts (strings). Received: both")
    where = f"{str(source.directory)!r}"
    if source.objective != objective:
        raise ValueError(
            f'The corpus must be prepared with objective="{objective}" for this pipeline. '
            f'Received: {where}, prepared with objective="{source.objective}"'
        )
    if document is not None:
        raise ValueError(
            "What ends a document is said when a corpus is prepared. "
            f"Received: document={document!r} for {where}"
        )
    if fingerprint(tokenizer) != source.index.settings["tokenizer"]:
        raise ValueError(
            "The tokenizer must be the one that the corpus was prepared with, such as "
            f"keras_lm.tokenizers.load({str(source.directory / index.TOKENIZER)!r}) gives. "
            f"Received: another {type(tokenizer).__name__} of {tokenizer.vocab_size} tokens"
        )
    return source
