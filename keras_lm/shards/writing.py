"""One shard: its documents to a file, and a report of it beside.

Pure but for the files: the same documents give the same bytes.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Iterable, Sequence

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
    directory: pathlib.Path, number: int, documents: Sequence[Sequence[str]], encoding: Encoding
) -> Report:
    """Writes shard `number` and then its report; each whole or not at all.

    Args:
        directory: has a directory `unfinished`.
        number: of the shard.
        documents: lists of lines.
        encoding: see there.
    """
    encoded = encode(documents, encoding)
    digest, shard = text_sha256(documents), None
    if encoded.records:
        content = compressed(encoded.records)
        shard = Shard(
            file=shard_name(number),
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
    write(_report_path(directory, number), buffer.getvalue())
    return report


def read_report(directory: pathlib.Path, number: int, digest: str) -> Report | None:
    """The report of a shard that was written before; None unless all is as it should be.

    Args:
        directory: see `write_shard`.
        number: see there.
        digest: `text_sha256` of the documents that it must have been made of.
    """
    path = _report_path(directory, number)
    if not path.exists():
        return None
    with np.load(path) as arrays:
        values = json.loads(str(arrays["values"]))
        ids, counts = arrays["ids"], arrays["counts"]
    shard = values["shard"] and Shard(**values["shard"])
    if values["text_sha256"] != digest:
        return None
    if shard:
        file = directory / shard.file
        if not file.exists() or file_sha256(file) != shard.sha256:
            return None
    return Report(shard, digest, Statistics(**values["statistics"]), ids, counts)


def _report_path(directory: pathlib.Path, number: int) -> pathlib.Path:
    return directory / UNFINISHED / f"{number:05}.npz"
