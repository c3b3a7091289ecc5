"""TensorFlow's record format, written without TensorFlow.

A record is its length (uint64), the length's checksum, the bytes, and the bytes' checksum; numbers
are little-endian, checksums masked CRC-32C (https://www.tensorflow.org/tutorials/load_data/tfrecord,
"TFRecords format details"). A compressed file is all of it through gzip.
"""

import gzip
import struct
from collections.abc import Iterable

import google_crc32c

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
# Text of this size is small at level 6; level 9 takes twice the time for 1 % less.
_LEVEL = 6


def _masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def compressed(records: Iterable[bytes]) -> bytes:
    """A file of records, such as `tf.data.TFRecordDataset(path, "GZIP")` reads.

    The same records give the same bytes: no time is written into the file.
    """
    parts: list[bytes] = []
    for record in records:
        length = len(record).to_bytes(8, "little")
        parts += [
            _HEADER.pack(len(record), _masked(length)),
            record,
            _CHECKSUM.pack(_masked(record)),
        ]
    return gzip.compress(b"".join(parts), _LEVEL, mtime=0)
