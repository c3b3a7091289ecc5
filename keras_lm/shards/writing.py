"""One shard: its documents to a file, and a report of it beside.

Pure but for the files: the same documents give the same bytes.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from keras_lm.shards.encoding import Encoding, Statistics, encode
from keras_lm.shards.index import UNFINISHED, Shard, file_sha256, shard_name, write
from keras_lm.shards.tfrecords import compressed


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of the documents of a shard.

    Attributes:
        shard: None where they have no token; then there is no file.
        text_sha256: of the documents.
        statistics: see there.
        ids: see `encoding.Encoded`.
        counts: see there.
    """

    shard: Shard | None
    text_sha256: str
    statistics: Statistics
    ids: np.ndarray
    counts: np.ndarray


def text_sha256(documents: Iterable[Sequence[str]]) -> str:
    """A SHA-256 of documents, in hexadecimal; the borders of lines and documents count."""
    digest = hashlib.sha256()
    for lines in documents:
        # Neither of the two is in a line.
        digest.update(("\n".join(lines) + "\r\n\n").encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def write_shard(
    directory: pathlib.Path, name: str, documents: Sequence[Sequence[str]], encoding: Encoding
) -> Report:
    """Writes a shard and then its report; each whole or not at all.

    Args:
        directory: has a directory `unfinished`.
        name: of the shard, such as "00000".
        documents: lists of lines.
        encoding: see there.
    """
    encoded = encode(documents, encoding)
    digest, shard = text_sha256(documents), None
    if encoded.records:
        content = compressed(encoded.records)
        shard = Shard(
            file=shard_name(name),
            blocks=len(encoded.records) // 2,
            documents=encoded.statistics.documents,
            tokens=encoded.statistics.tokens,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            text_sha256=digest,
        )
        write(directory / shard.file, content)
    report = Report(shard, digest, encoded.statistics, encoded.ids, encoded.counts)
    buffer = io.BytesIO()
    values = {
        "shard": shard and dataclasses.asdict(shard),
        "text_sha256": digest,
        "statistics": dataclasses.asdict(encoded.statistics),
    }
    np.savez_compressed(
        buffer, ids=report.ids, counts=report.counts, values=np.array(json.dumps(values))
    )
    write(_report_path(directory, name), buffer.getvalue())
    return report


def stored_report(directory: pathlib.Path, name: str) -> Report:
    """The report that was written with a shard.

    Raises:
        FileNotFoundError: there is none.
    """
    with np.load(_report_path(directory, name)) as arrays:
        values = json.loads(str(arrays["values"]))
        ids, counts = arrays["ids"], arrays["counts"]
    shard = values["shard"] and Shard(**values["shard"])
    return Report(shard, values["text_sha256"], Statistics(**values["statistics"]), ids, counts)


def kept_or_written(
    directory: pathlib.Path,
    name: str,
    documents: Sequence[Sequence[str]],
    write: Callable[[str, Sequence[Sequence[str]]], Report],
) -> tuple[Report, bool]:
    """The report of a shard, and whether it was whole before; otherwise `write` makes it.

    Args:
        directory: see `write_shard`.
        name: see there.
        documents: see there.
        write: `write_shard` without its first and its last argument.
    """
    try:
        report = stored_report(directory, name)
    except FileNotFoundError:
        return write(name, documents), False
    whole = report.text_sha256 == text_sha256(documents)
    if whole and report.shard:
        path = directory / report.shard.file
        whole = path.exists() and file_sha256(path) == report.shard.sha256
    return (report, True) if whole else (write(name, documents), False)


def _report_path(directory: pathlib.Path, name: str) -> pathlib.Path:
    return directory / UNFINISHED / f"{name}.npz"
