"""A pipeline over a prepared corpus that holds a few shards at a time.

An epoch puts the shards in an order; their rows, one behind the other, are divided among streams,
and a stream into windows. A window is loaded as a whole, in the background, and its rows are
shuffled. Which row stands where is computed from the numbers of rows alone, so a run starts at any
step for the price of one window of each stream.

Tried and dropped: a shuffle buffer (`Dataset.shuffle`), whose state at step i is known only by
running to it; windows of whole shards, which would not end where batches end.

S shards, W rows of a window, B rows of a batch, b rows that a stream gives to it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_lm.data.pipeline import (
    DRAWS,
    OFFSET,
    ORDER,
    WINDOW,
    Pipeline,
    numbers,
    seed_for,
    shuffled,
)
from keras_lm.data.prepared import Prepared
from keras_lm.data.prepared_rows import Rows

Tensor = Any
# What `Rows.batch` gives, and a seed int64 (2,), to a structure of tensors whose first dimension is
# b. Pure: it is traced into the graph.
Finish = Callable[[Any, Tensor], Any]
# No Python statement here looks at a tensor; AutoGraph would look for one, for seconds.
_as_it_is = tf.autograph.experimental.do_not_convert


class PreparedPipeline(Pipeline):
    """Batches of `batch_size` rows of a prepared corpus.

    Rows that do not fill a batch are left out, others in each epoch when rows are shuffled.

    Args:
        prepared: the corpus, and how it is read.
        rows: of the kind that is asked for.
        finish: rows to a batch.
        batch_size: B.
        seed: any integer of 64 bits.
        shuffle: whether each epoch has an order of its own. Without it, rows come as they stand,
            in one stream.
        start_step: the first step, counted over all epochs.
        token_counts: see `Pipeline`.
        streams: the numbers of the streams that are read. None: all.

    Attributes:
        num_streams: of the whole pipeline.
        num_rows: of the whole corpus.
        batch_size: B; of a part, the rows that it gives.

    Raises:
        ValueError: there are fewer rows than one batch takes, or the batch size is no multiple of
            the number of streams.
    """

    def __init__(
        self,
        prepared: Prepared,
        rows: Rows,
        finish: Finish,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        start_step: int = 0,
        token_counts: np.ndarray | None = None,
        streams: Sequence[int] | None = None,
    ):
        num_rows = int(rows.num_rows.sum())
        if num_rows < batch_size:
            raise ValueError(
                "The text must give at least one batch of rows. "
                f"Received: rows={num_rows}, batch_size={batch_size}"
            )
        self._arguments = {
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": shuffle,
            "token_counts": token_counts,
        }
        self._prepared, self._rows, self._finish = prepared, rows, finish
        self._seed, self._shuffle = seed, shuffle
        self.num_streams = prepared.streams(batch_size, shuffle)
        self._streams = list(range(self.num_streams)) if streams is None else list(streams)
        self._share = batch_size // self.num_streams
        self.batch_size = self._share * len(self._streams)
        steps = num_rows // batch_size
        # Windows of an epoch, as long as each other.
        wanted = max(1, prepared.shuffle_tokens // rows.capacity // batch_size)
        self._windows = -(-steps // wanted)
        self._window_steps = -(-steps // self._windows)
        self._windows = -(-steps // self._window_steps)
        with tf.device("CPU:0"):
            self._rows_S = tf.constant(rows.num_rows)
        super().__init__(steps_per_epoch=steps, start_step=start_step, token_counts=token_counts)
        self.num_rows = num_rows
        self.files = [part["name"] for part in prepared.index.corpus] or None

    def for_worker(
        self, num_workers: int, index: int, start_step: int | None = None
    ) -> "PreparedPipeline":
        """The part of each batch that one of several workers trains on.

        The parts of all workers, one behind the other, are the batches of this pipeline. No row is
        read by two workers; a shard is read by two where the rows of one end in it.

        Args:
            num_workers: of which `num_streams` is a multiple.
            index: of the worker, from 0.
            start_step: None: that of this pipeline.

        Raises:
            ValueError: the streams cannot be divided evenly, or `index` is out of range.
        """
        if len(self._streams) < self.num_streams:
            raise ValueError("A part cannot be divided again. Received: a pipeline of a worker")
        if num_workers < 1 or self.num_streams % num_workers or not 0 <= index < num_workers:
            raise ValueError(
                "num_workers must divide num_streams, which is 1 without shuffling (see "
                "keras_lm.data.Prepared), and index be one of them. "
                f"Received: num_workers={num_workers}, index={index}, "
                f"num_streams={self.num_streams}"
            )
        number = self.num_streams // num_workers
        return PreparedPipeline(
            self._prepared,
            self._rows,
            self._finish,
            **self._arguments,  # type: ignore[arg-type]
            start_step=self.start_step if start_step is None else start_step,
            streams=range(index * number, (index + 1) * number),
        )

    def distributed(self, strategy: Any, start_step: int = 0) -> Any:
        """The endless view over the workers of a strategy, each making its own part of a batch.

        `fit` of a `LanguageModel` takes it under MultiWorkerMirroredStrategy. Where `num_streams`
        is no multiple of the number of workers, each makes whole batches, and keeps its part.

        Args:
            strategy: a `tf.distribute.Strategy`.
            start_step: see `endless`.

        Returns:
            A `tf.distribute.DistributedDataset`; for `fit` of a `keras.Model` with
            `steps_per_epoch`.

        Raises:
            ValueError: the batch cannot be divided evenly among the replicas.
        """
        replicas = strategy.num_replicas_in_sync
        whole = self._share * self.num_streams
        if whole % replicas:
            raise ValueError(
                "batch_size must be a multiple of the number of replicas. "
                f"Received: batch_size={whole}, {replicas} replicas"
            )

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            number, index = context.num_input_pipelines, context.input_pipeline_id
            if self.num_streams % number == 0:
                batches = self.for_worker(number, index).endless(start_step)
            else:
                rows = slice(index * whole // number, (index + 1) * whole // number)
                batches = self.endless(start_step).map(
                    lambda *batch: tf.nest.map_structure(lambda value: value[rows], batch)
                )
            if replicas == number:
                return batches
            return batches.rebatch(whole // replicas, drop_remainder=True)

        return strategy.distribute_datasets_from_function(of_worker)

    def step(self, step: Tensor) -> Any:
        """Batch number `step`, an integer, counted over all epochs; loads its windows for it."""
        return next(iter(self.endless(int(step))))

    def _batches(self, start: int, end: int | None) -> tf.data.Dataset:
        parts = [self._stream(stream, start, end) for stream in self._streams]
        graphs = self._graphs

        @_as_it_is
        def together(*parts: Any) -> Any:
            batches = [graphs.finish(rows, draw) for rows, draw in parts]
            if len(batches) == 1:
                return batches[0]
            return tf.nest.map_structure(lambda *values: tf.concat(values, 0), *batches)

        batches = tf.data.Dataset.zip(tuple(parts)).map(
            together, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        # flat_map does not know how many there are.
        number = tf.data.INFINITE_CARDINALITY if end is None else end - start
        known = tf.data.experimental.assert_cardinality(number)
        return batches.prefetch(tf.data.AUTOTUNE).apply(known)

    def _stream(self, stream: int, start: int, end: int | None) -> tf.data.Dataset:
        """What a stream gives to each step: rows, and a number that its draws are made from."""
        first = self._window_of(start)
        last = None if end is None else self._window_of(end - 1) + 1
        graphs = self._graphs

        @_as_it_is
        def window(number: Tensor) -> Any:
            return number, graphs.window(tf.constant(stream, tf.int64), number)

        @_as_it_is
        def batches(number: Tensor, window: tuple[Tensor, ...]) -> tf.data.Dataset:
            begin, behind = self._steps_of(number)

            @_as_it_is
            def batch(step: Tensor) -> Any:
                draw = step * self.num_streams + stream
                return graphs.batch(window, step - begin, draw), draw

            return tf.data.Dataset.range(tf.maximum(begin, start), behind).map(batch)

        # One window is read while another one is used.
        return numbers(first, last).map(window).prefetch(1).flat_map(batches)

    @functools.cached_property
    def _graphs(self) -> "_Graphs":
        """Traced once for this dataset, all streams and all endless ones."""
        number = tf.TensorSpec((), tf.int64)
        window = _traced(self._window, number, number)
        batch = _traced(self._rows_of_step, _specs(window), number, number)
        return _Graphs(window, batch, _traced(self._finish_rows, _specs(batch), number))

    def _rows_of_step(self, window: tuple[Tensor, ...], step: Tensor, draw: Tensor) -> Any:
        """What a stream gives to step number `step` of a window."""
        place_b = step * self._share + tf.range(self._share, dtype=tf.int64)
        return self._rows.batch(window, place_b, seed_for(~self._seed, DRAWS, draw))

    def _finish_rows(self, rows: Any, draw: Tensor) -> Any:
        return self._finish(rows, seed_for(self._seed, DRAWS, draw))

    def _window_of(self, step: int) -> int:
        """The number of a window, counted over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return epoch * self._windows + place // self._window_steps

    def _steps_of(self, number: Tensor) -> tuple[Tensor, Tensor]:
        """The first step of a window, and the one behind its last, counted over all epochs."""
        epoch, place = number // self._windows, number % self._windows
        begin = place * self._window_steps
        behind = tf.minimum(begin + self._window_steps, self.steps_per_epoch)
        return epoch * self.steps_per_epoch + begin, epoch * self.steps_per_epoch + behind

    def _window(self, stream: Tensor, number: Tensor) -> tuple[Tensor, ...]:
        """Loads a window: what `Rows.window` makes of it."""
        epoch = number // self._windows
        begin, behind = (step - epoch * self.steps_per_epoch for step in self._steps_of(number))
        before = stream * self.steps_per_epoch
        place_W = tf.range((before + begin) * self._share, (before + behind) * self._share)
        order_S = tf.range(tf.shape(self._rows_S, tf.int64)[0])
        if self._shuffle:
            seed = seed_for(self._seed, ORDER, epoch)
            order_S = shuffled(order_S, tf.shape(order_S, tf.int64)[0], seed)
        rows_S = tf.gather(self._rows_S, order_S)
        end_S = tf.cumsum(rows_S)
        at_W = tf.searchsorted(end_S, place_W, side="right", out_type=tf.int64)
        row_W = place_W - tf.gather(end_S - rows_S, at_W)
        first, last = at_W[0], at_W[-1] + 1
        if self._shuffle:
            # Another row is the last one of its shard in each epoch, and may be left out.
            offset_S = tf.random.stateless_uniform(
                tf.shape(order_S), seed_for(self._seed, OFFSET, epoch), 0, 2**30, tf.int32, "philox"
            )
            turn_W = tf.cast(tf.gather(offset_S, at_W), tf.int64)
            row_W = (row_W + turn_W) % tf.gather(rows_S, at_W)
            seed = seed_for(self._seed, WINDOW, number * self.num_streams + stream)
            size = tf.shape(place_W, tf.int64)[0]
            mixed_W = shuffled(tf.range(size), size, seed)
            at_W, row_W = tf.gather(at_W, mixed_W), tf.gather(row_W, mixed_W)
        shard_n = order_S[first:last]
        shards = tf.data.Dataset.from_tensor_slices(shard_n).map(_as_it_is(self._rows.load))
        loaded = shards.batch(last - first).get_single_element()
        return self._rows.window(loaded, shard_n, at_W - first, row_W)


class _Graphs(NamedTuple):
    """The three functions that a pipeline calls.

    Attributes:
        window: the numbers of a stream and of a window to what is loaded.
        batch: it, the number of a step in it and a number for draws to rows.
        finish: rows and a number for draws to a batch.
    """

    window: Any
    batch: Any
    finish: Any


def _traced(function: Any, *specs: Any) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def _specs(traced: Any) -> Any:
    return tf.nest.map_structure(
        lambda value: tf.TensorSpec(value.shape, value.dtype), traced.structured_outputs
    )
