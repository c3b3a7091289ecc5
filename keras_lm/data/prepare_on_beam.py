"""`prepare` on Apache Beam: the same functions, on as many machines as a runner has.

A file of the corpus is the unit of work. Its text does not travel: what is known of duplicates are
hashes, and each file is read a second time. `apache_beam` comes with the extra `beam`.
"""

import functools
import importlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from keras_lm.data import checks
from keras_lm.data.documents import read_documents
from keras_lm.data.prepare import encoding_of
from keras_lm.data.prepared import Prepared
from keras_lm.shards.encoding import Encoding
from keras_lm.shards.index import UNFINISHED, write
from keras_lm.shards.preparing import chunks, claimed, digest_of
from keras_lm.shards.writing import kept_or_written, stored_report, write_shard
from keras_lm.tokenizers import resolve
from keras_lm.tokenizers.text_files import Source
from keras_lm.tokenizers.tokenizer import Tokenizer

# A file of the corpus: its number and its path.
File = tuple[int, str]


def prepare_on_beam(
    source: Source,
    tokenizer: Tokenizer,
    *,
    output: str | os.PathLike,
    objective: str | None = None,
    document: str | None = None,
    drop_duplicates: bool = False,
    mask_personal: bool = False,
    shard_size: int = 8_000_000,
    options: Sequence[str] = (),
) -> Prepared:
    """Tokenizes a corpus as `prepare` does, as a pipeline of Apache Beam.

    Rows and statistics are those of `prepare`; shards end with files, and are named for them. A
    corpus in one file is the work of one process.

    A run that was stopped goes on when it is started again: shards that are whole are kept.

    Args:
        source: text files, at the same paths for all workers.
        tokenizer: see `prepare`.
        output: see `prepare`; a directory that all workers share.
        objective: see `prepare`, and so the arguments below.
        document: see there.
        drop_duplicates: see there.
        mask_personal: see there.
        shard_size: see there.
        options: of the pipeline, such as `["--runner=DirectRunner", "--direct_num_workers=4"]`.

    Returns:
        The directory, opened.

    Raises:
        ImportError: `apache_beam` is not installed.
        TypeError: see `prepare`.
        ValueError: see there.
        OSError: see there.
    """
    try:
        beam = importlib.import_module("apache_beam")
    except ImportError as error:
        raise ImportError(
            f'prepare_on_beam() needs Apache Beam: pip install "keras_lm[beam]". Received: {error}'
        ) from error
    pipeline_options = importlib.import_module("apache_beam.options.pipeline_options")
    tokenizer = checks.tokenizer(tokenizer)
    encoding, settings = encoding_of(
        tokenizer, objective, document, drop_duplicates, mask_personal, shard_size
    )
    read_documents(source, None, document)  # checks them
    paths = resolve(source)
    directory = pathlib.Path(output).absolute()
    files: list[File] = [(i, str(path.absolute())) for i, path in enumerate(paths)]
    read = functools.partial(_documents, document=document, objective=encoding.objective)
    sizes = [(str(path), path.stat().st_size) for path in paths]
    with claimed(directory, settings, sizes) as made:
        if made.whole is not None:
            return Prepared(output)
        for number, _ in files:
            _note(directory, number).unlink(missing_ok=True)
        with beam.Pipeline(
            options=pipeline_options.PipelineOptions(list(options), save_main_session=False)
        ) as pipeline:
            named = pipeline | beam.Create(files) | beam.Reshuffle()
            first = (
                named
                | "hash" >> beam.FlatMap(_digests, read)
                | "find the first" >> beam.CombinePerKey(min)
                | beam.Values()
                | beam.GroupByKey()
            )
            _ = (
                {"path": named, "first": first}
                | beam.CoGroupByKey()
                | "write" >> beam.Map(_write, read, directory, encoding, settings)
            )
        duplicates = 0
        for number, _ in files:
            note = json.loads(_note(directory, number).read_text("utf-8"))
            duplicates += note["duplicates"]
            for name in note["shards"]:
                made.add(stored_report(directory, name))
        made.finish(duplicates, tokenizer.save)
    return Prepared(output)


def _documents(path: str, *, document: str | None, objective: str) -> Iterator[list[str]]:
    return read_documents(path, None, document, keep_blank_lines=objective == "causal_lm")


def _digests(file: File, read: Any) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The hash of each document, and where it stands: the number of its file, and its own."""
    number, path = file
    for i, lines in enumerate(read(path)):
        yield digest_of(lines), (number, i)


def _write(
    element: tuple[int, dict[str, Any]],
    read: Any,
    directory: pathlib.Path,
    encoding: Encoding,
    settings: dict[str, Any],
) -> None:
    """Writes the shards of a file, and a note of what they are.

    Args:
        element: the number of the file, its path, and which of its documents are the first with
            their text.
        read: path to documents.
        directory: see `write_shard`.
        encoding: see there.
        settings: see `prepare`.
    """
    number, found = element
    (path,) = found["path"]
    first = set().union(*found["first"])
    duplicates = 0

    def documents() -> Iterator[list[str]]:
        nonlocal duplicates
        for i, lines in enumerate(read(path)):
            duplicates += i not in first
            if i in first or not settings["drop_duplicates"]:
                yield lines

    write_here = functools.partial(write_shard, directory, encoding=encoding)
    names = []
    for i, chunk in enumerate(chunks(documents(), settings["shard_size"])):
        names.append(f"{number:05}-{i:05}")
        kept_or_written(directory, names[-1], chunk, write_here)
    content = json.dumps({"shards": names, "duplicates": duplicates})
    write(_note(directory, number), content.encode())


def _note(directory: pathlib.Path, number: int) -> pathlib.Path:
    return directory / UNFINISHED / f"file-{number:05}.json"
