"""How requests are joined: TensorFlow Serving's BatchingParameters, and its text format.

Source: servables/tensorflow/session_bundle_config.proto. Its Python is in no package, so the
message is described here.
"""

import dataclasses
import os
import pathlib
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

_FIELDS = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How the rows of several requests are run as one.

    Attributes:
        max_batch_size: rows that are run together at most. 1: none are joined.
        batch_timeout_micros: how long a request may wait for others when a thread is free. 0: what
            came while the threads were busy is joined, and nothing ever waits.
        max_enqueued_batches: batches of full size that may wait for each signature of each version;
            what comes then is refused.
        num_batch_threads: batches that run at the same time.
        allowed_batch_sizes: sizes that batches are filled up to, in increasing order, the last of
            them `max_batch_size`. Empty: any.

    Raises:
        ValueError: a number is out of range.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 16
    num_batch_threads: int = 1
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive. Received: {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ValueError(
                f"batch_timeout_micros must not be negative. Received: {self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1):
            raise ValueError(f"allowed_batch_sizes must increase. Received: {list(sizes)}")
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.max_batch_size}"
            )

    @property
    def capacity(self) -> int:
        """Rows that may wait for one signature."""
        return self.max_batch_size * self.max_enqueued_batches


def read(path: str | os.PathLike) -> tuple[BatchingParameters, list[str]]:
    """Reads a `batching_parameters.txt`.

    Args:
        path: a text file in protobuf's text format.

    Returns:
        The parameters, with this server's defaults for what is not said, and the names of those
        fields that were said and are not followed.

    Raises:
        ValueError: it is not in the format, or a number is out of range.
        OSError: it cannot be read.
    """
    message = _message_class()()
    try:
        text_format.Parse(pathlib.Path(path).read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            f"A file of batching parameters holds fields of TensorFlow Serving's "
            f"BatchingParameters in protobuf's text format. Received: {path}: {error}"
        ) from error
    followed = {field.name for field in dataclasses.fields(BatchingParameters)}
    values: dict[str, Any] = {}
    ignored = []
    for field, value in message.ListFields():
        if field.name not in followed:
            ignored.append(field.name)
        elif field.name == "allowed_batch_sizes":
            values[field.name] = tuple(value)
        else:
            values[field.name] = value.value
    return BatchingParameters(**values), ignored


def _message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, (number, wrapper) in _FIELDS.items():
        message.field.add(
            name=name,
            number=number,
            label=kinds.LABEL_OPTIONAL,
            type=kinds.TYPE_MESSAGE,
            type_name=f".google.protobuf.{wrapper}",
        )
    message.field.add(
        name="allowed_batch_sizes", number=6, label=kinds.LABEL_REPEATED, type=kinds.TYPE_INT64
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=7,
        label=kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_BOOL,
    )
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    )
