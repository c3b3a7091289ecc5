"""Where the rows of a prepared corpus begin, in files beside its shards.

Where a row ends depends on its words, and so where the next one begins. The first pipeline that
needs rows of some length reads the shards once and writes it down; later ones find it. A table is
of little-endian int32, a file for each shard.

S shards, R rows and U units of a shard, N tokens.
"""

import atexit
import hashlib
import json
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_lm.data.corpus import Corpus
from keras_lm.data.prepared import Prepared
from keras_lm.data.rows import consecutive_rows, rows_between
from keras_lm.data.sentence_pairs import pair_rows
from keras_lm.shards.index import INDEX, ROWS, write

_COUNTS = "rows.json"
# One shard's tables by name.
Tables = dict[str, np.ndarray]


class RowTables(NamedTuple):
    """Tables of all shards.

    Attributes:
        directory: where they are.
        num_rows: int64 `(S,)`, how many rows begin in each shard.
    """

    directory: pathlib.Path
    num_rows: np.ndarray

    def paths(self, table: str) -> list[str]:
        """The files of a table."""
        return [str(self.directory / _name(i, table)) for i in range(len(self.num_rows))]


def span_tables(
    prepared: Prepared, capacity: int, continues: np.ndarray | None, end_id: int | None
) -> RowTables:
    """Rows as `rows.consecutive_rows` cuts them, with an `end_id` from shard to shard.

    The table "rows" is `(R, 2)`: where a row begins in its shard, and its length.
    """
    if end_id is None:
        return _kept(prepared, f"within-{capacity}", lambda: _within(prepared, capacity, continues))
    return _kept(
        prepared, f"across-{capacity}", lambda: _across(prepared, capacity, continues, end_id)
    )


def pair_tables(prepared: Prepared, capacity: int, continues: np.ndarray | None) -> RowTables:
    """Rows as `sentence_pairs.pair_rows` makes them, shard by shard.

    The table "units" is `(U + 1,)`, "rows" `(R, 5)`: the other fields of `PairRows`, in order.

    Raises:
        ValueError: a shard has fewer than two documents with a row.
    """
    return _kept(prepared, f"pairs-{capacity}", lambda: _pairs(prepared, capacity, continues))


def _across(
    prepared: Prepared, capacity: int, continues: np.ndarray | None, end_id: int
) -> Iterator[Tables]:
    files, place = prepared.files, 0
    more_S = files.blocks_behind(capacity + 1)
    for shard, limit in enumerate(files.size.tolist()):
        ids, _ = files.on_host(shard, more_S[shard])
        start_R, length_R, place = rows_between(
            ids, place, len(ids), limit, capacity, continues, end_id
        )
        place -= limit
        yield {"rows": np.stack([start_R, length_R], -1)}


def _within(prepared: Prepared, capacity: int, continues: np.ndarray | None) -> Iterator[Tables]:
    for shard in range(len(prepared.index.shards)):
        rows = consecutive_rows(_corpus(prepared, shard), capacity, continues, None)
        yield {"rows": np.stack(rows, -1)}


def _pairs(prepared: Prepared, capacity: int, continues: np.ndarray | None) -> Iterator[Tables]:
    for shard, about in enumerate(prepared.index.shards):
        try:
            rows = pair_rows(_corpus(prepared, shard), capacity, continues)
        except ValueError as error:
            error.add_note(
                f"The other sentence is looked for in the same shard, here {about.file}; see "
                "shard_size and document of prepare."
            )
            raise
        yield {"units": rows.units, "rows": np.stack(rows[1:], -1)}


def _corpus(prepared: Prepared, shard: int) -> Corpus:
    ids, length_L = prepared.files.on_host(shard)
    is_text_L = length_L > 0
    ids = ids[np.repeat(is_text_L, np.maximum(length_L, 1))]
    texts = np.concatenate([[0], np.cumsum(length_L[is_text_L])])
    documents = np.concatenate([[0], np.cumsum(is_text_L)[~is_text_L]])
    return Corpus(ids, texts, documents)


def _kept(prepared: Prepared, name: str, make: Callable[[], Iterator[Tables]]) -> RowTables:
    """The tables of that name, made where they are not there yet."""
    index = hashlib.sha256((prepared.directory / INDEX).read_bytes()).hexdigest()
    directory = prepared.directory / ROWS / name
    try:
        values = json.loads((directory / _COUNTS).read_text("utf-8"))
        if values["index"] == index:
            return RowTables(directory, np.array(values["rows"], np.int64))
        shutil.rmtree(directory)
    except (FileNotFoundError, NotADirectoryError):
        pass
    try:
        directory.parent.mkdir(exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{name}."))
    except OSError as error:
        warnings.warn(
            f"Where rows begin is written to a temporary directory, and found again by nobody: "
            f"{str(directory.parent)!r} cannot be written ({error.strerror}).",
            stacklevel=4,
        )
        beside = directory = pathlib.Path(tempfile.mkdtemp(prefix="keras_lm_rows."))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    try:
        num_rows = []
        for shard, tables in enumerate(make()):
            num_rows.append(len(tables["rows"]))
            for table, array in tables.items():
                (beside / _name(shard, table)).write_bytes(array.astype("<i4").tobytes())
        counts = json.dumps({"index": index, "rows": num_rows})
        write(beside / _COUNTS, counts.encode())
        beside.chmod(0o755)
        if beside != directory:
            _rename(beside, directory)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return RowTables(directory, np.array(num_rows, np.int64))


def _rename(beside: pathlib.Path, directory: pathlib.Path) -> None:
    try:
        beside.rename(directory)
    except OSError:
        if not (directory / _COUNTS).exists():
            raise
        shutil.rmtree(beside)  # another worker was faster, and wrote the same


def _name(shard: int, table: str) -> str:
    return f"{shard:05}.{table}"
