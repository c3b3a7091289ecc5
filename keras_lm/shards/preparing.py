"""A corpus to a prepared directory: in parallel, and again from where it was stopped.

The text is read by one process, which divides it into shards by its length alone; shards are
tokenized and written by several. A run that was stopped reads the text again and passes over the
shards that it finds whole.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import io
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_lm.shards import index, writing
from keras_lm.shards.encoding import Encoding, Statistics
from keras_lm.shards.index import COUNTS, INDEX, TOKENIZER, UNFINISHED, Index
from keras_lm.shards.workers import Workers
from keras_lm.version import __version__

_SETTINGS, _LOCK = "settings.json", "lock"
_IN_FLIGHT = 2  # shards of each process that are read ahead

Documents = Iterable[Sequence[str]]


class Part(NamedTuple):
    """A part of a corpus, such as a file.

    Attributes:
        name: None for texts that are no file.
        bytes: the size of the file; 0 without one.
        documents: lists of lines; read once.
    """

    name: str | None
    bytes: int
    documents: Documents


@dataclasses.dataclass
class Progress:
    """How far a run is.

    Attributes:
        part: the number of the part that is read, from 1.
        parts: how many there are.
        shards: written or kept.
        kept: shards that were whole before this run.
        statistics: of these shards.
        duplicates: documents that were read before.
        seconds: since the run began.
    """

    part: int = 0
    parts: int = 0
    shards: int = 0
    kept: int = 0
    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    duplicates: int = 0
    seconds: float = 0.0


def prepare_parts(
    parts: Sequence[Part],
    directory: pathlib.Path,
    encoding: Encoding,
    *,
    settings: dict[str, Any],
    shard_size: int,
    drop_duplicates: bool,
    num_processes: int,
    save_tokenizer: Callable[[pathlib.Path], None],
    report: Callable[[Progress], None] = lambda progress: None,
) -> Index:
    """Writes a prepared directory, or finishes it; one that is whole is read and checked.

    Args:
        parts: of the corpus.
        directory: where to write.
        encoding: see there.
        settings: what the shards depend on, for the index; has "vocab_size".
        shard_size: characters of a shard; one is closed by the document that reaches them.
        drop_duplicates: whether a document that stands in the corpus before is left out.
        num_processes: that write shards; 1: this process alone.
        save_tokenizer: writes the tokenizer into a directory.
        report: is called after each shard.

    Raises:
        ValueError: the directory holds something else, or the corpus has no token.
        OSError: the directory cannot be written, or another process writes it.
    """
    with claimed(directory, settings, [(p.name, p.bytes) for p in parts if p.name]) as output:
        if output.whole is not None:
            return output.whole
        if num_processes == 1:
            writers: Any = contextlib.nullcontext(_Here(directory, encoding))
        else:
            writers = Workers(num_processes, directory, encoding)
        progress = Progress(parts=len(parts))
        begin = time.monotonic()
        documents = _unique(parts, drop_duplicates, progress)
        with writers as writer:
            for made in _reports(chunks(documents, shard_size), directory, writer, num_processes):
                output.add(made.report)
                progress.statistics = output.statistics
                progress.shards += 1
                progress.kept += made.kept
                progress.seconds = time.monotonic() - begin
                report(progress)
        return output.finish(progress.duplicates, save_tokenizer)


class Output:
    """A directory that is being written: adds up reports, and writes the index last.

    Args:
        directory: where it is.
        settings: see `Index`.
        corpus: see there.

    Attributes:
        whole: the index, if the directory was written before; then there is nothing to do.
        statistics: of the reports so far.
    """

    def __init__(
        self, directory: pathlib.Path, settings: dict[str, Any], corpus: list[dict[str, Any]]
    ):
        self.whole: Index | None = None
        self.statistics = Statistics()
        self._directory, self._settings, self._corpus = directory, settings, corpus
        self._shards: list[index.Shard] = []
        self._counts_V = np.zeros(settings["vocab_size"], np.int64)

    def add(self, report: writing.Report) -> None:
        """Adds the next shard."""
        self._counts_V[report.ids] += report.counts
        self.statistics += report.statistics
        if report.shard:
            self._shards.append(report.shard)

    def finish(self, duplicates: int, save_tokenizer: Callable[[pathlib.Path], None]) -> Index:
        """Writes all that is not a shard.

        Args:
            duplicates: documents whose text had come before.
            save_tokenizer: writes the tokenizer into a directory.

        Raises:
            ValueError: there is no shard.
        """
        directory = self._directory
        if not self._shards:
            shutil.rmtree(directory / UNFINISHED)
            raise ValueError("The text must hold at least one token. Received: an empty corpus")
        names = {shard.file for shard in self._shards}
        for path in directory.glob("*.tfrecord.gz"):
            if path.name not in names:  # of a run that was stopped, before the corpus was changed
                path.unlink()
        whole = Index(
            settings=self._settings,
            corpus=self._corpus,
            statistics={
                **dataclasses.asdict(self.statistics),
                "duplicate_documents": duplicates,
            },
            shards=self._shards,
            keras_lm=__version__,
        )
        save_tokenizer(directory / TOKENIZER)
        buffer = io.BytesIO()
        np.save(buffer, self._counts_V)
        index.write(directory / COUNTS, buffer.getvalue())
        index.write(directory / INDEX, whole.to_json().encode())
        shutil.rmtree(directory / UNFINISHED)
        return whole


@contextlib.contextmanager
def claimed(
    directory: pathlib.Path, settings: dict[str, Any], files: Sequence[tuple[str, int]]
) -> Iterator[Output]:
    """Makes the directory, or goes on with it, and holds it for this process alone.

    Args:
        directory: where to write.
        settings: what the shards depend on.
        files: names and sizes of the corpus.

    Raises:
        ValueError: see `prepare_parts`.
        OSError: see there.
    """
    corpus = [{"name": name, "bytes": size} for name, size in files]
    output = Output(directory, settings, corpus)
    if (directory / INDEX).exists():
        whole = index.read_index(directory)
        _check_same(directory, whole.settings, settings)
        _check_same(directory, {"corpus": whole.corpus}, {"corpus": corpus})
        index.check_sums(directory, whole.shards)
        output.whole = whole
        yield output
        return
    with _locked(directory):
        _begin(directory, settings)
        yield output


class _Made(NamedTuple):
    report: writing.Report
    kept: bool


class _Here:
    """Writes shards in this process; stands in for `Workers`."""

    def __init__(self, directory: pathlib.Path, encoding: Encoding):
        self.write = functools.partial(writing.write_shard, directory, encoding=encoding)


def _reports(
    parts: Iterable[Sequence[Sequence[str]]], directory: pathlib.Path, writer: Any, number: int
) -> Iterator[_Made]:
    """The shards of the chunks, in order; those that were whole before are kept."""

    def make(place: int, chunk: Sequence[Sequence[str]]) -> _Made:
        return _Made(*writing.kept_or_written(directory, f"{place:05}", chunk, writer.write))

    waiting: collections.deque[concurrent.futures.Future[_Made]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(number) as threads:
        try:
            for place, chunk in enumerate(parts):
                waiting.append(threads.submit(make, place, chunk))
                if len(waiting) >= _IN_FLIGHT * number:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            threads.shutdown(cancel_futures=True)  # what runs is finished, and kept
            raise


def chunks(documents: Documents, shard_size: int) -> Iterator[list[Sequence[str]]]:
    """Documents of so many characters, the last one of each being whole."""
    chunk: list[Sequence[str]] = []
    characters = 0
    for lines in documents:
        chunk.append(lines)
        characters += sum(map(len, lines))
        if characters >= shard_size:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _unique(parts: Sequence[Part], drop: bool, progress: Progress) -> Documents:
    """The documents of all parts; counts those that were there before, or leaves them out."""
    seen: set[bytes] = set()
    for number, part in enumerate(parts):
        progress.part = number + 1
        for lines in part.documents:
            digest = digest_of(lines)
            if digest in seen:
                progress.duplicates += 1
                if drop:
                    continue
            else:
                seen.add(digest)
            yield lines


def digest_of(lines: Sequence[str]) -> bytes:
    """16 bytes that tell documents of other texts apart."""
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Makes the directory, and holds it for this process alone."""
    try:
        foreign = sorted(path.name for path in directory.glob("*")) if directory.exists() else []
        if foreign and not (directory / UNFINISHED).is_dir():
            raise ValueError(
                "output must be a new directory, an empty one, or one that prepare wrote. "
                f"Received: {str(directory)!r}, which holds {foreign[0]!r}"
            )
        (directory / UNFINISHED).mkdir(parents=True, exist_ok=True)
        lock = open(directory / UNFINISHED / _LOCK, "wb")  # noqa: SIM115
    except OSError as error:
        raise type(error)(
            f"output must be a directory that can be written. Received: {str(directory)!r}: "
            f"{error.strerror}"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                "output must be written by one process at a time. "
                f"Received: {str(directory)!r}, which another one writes"
            ) from None
        yield


def _begin(directory: pathlib.Path, settings: dict[str, Any]) -> None:
    """Writes down what is made, or checks that it is what was begun."""
    path = directory / UNFINISHED / _SETTINGS
    if path.exists():
        _check_same(directory, json.loads(path.read_text("utf-8")), settings)
    else:
        index.write(path, json.dumps(settings).encode())
    for folder in (directory, directory / UNFINISHED):
        for rest in folder.glob(".*"):  # what a killed process was writing
            if rest.is_file():
                rest.unlink()


def _check_same(directory: pathlib.Path, there: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if there.get(name) != value:
            raise ValueError(
                f"output must be made with the same {name} as what it holds, or be another "
                f"directory. Received: {os.fspath(directory)!r} with {name}="
                f"{there.get(name)!r:.200}, and now {name}={value!r:.200}"
            )
