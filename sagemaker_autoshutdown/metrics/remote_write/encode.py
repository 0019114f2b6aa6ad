"""Samples as a body of Prometheus remote write 1.0: protobuf, compressed with snappy.

This module owns the form of the message, which Prometheus defines (``prompb/remote.proto``, its
fields 1 and 2), but not the sending. protobuf and cramjam do the encoding; they are imported when
first needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

#: Labels of a series, with its name (``__name__``), sorted by label name as receivers demand.
Series = tuple[tuple[str, str], ...]

#: The NaN with which Prometheus marks the end of a series.
(STALE,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))


class Sample(NamedTuple):
    """A value of a series at a time, in milliseconds since 1970."""

    series: Series
    value: float
    timestamp: int


class MissingExtra(Exception):
    """The packages of the extra are not installed."""


def check_installed() -> None:
    """Raises :class:`MissingExtra` if the extra is not installed."""
    try:
        import cramjam  # noqa: F401

        write_request()
    except ImportError as error:
        raise MissingExtra(
            f"remote_write_url is set, but {error.name} is not installed; install "
            "sagemaker-autoshutdown[remote-write]"
        ) from None


@lru_cache(maxsize=1)
def write_request() -> Any:
    """The class of the message ``WriteRequest``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="sagemaker_autoshutdown/remote.proto", package="prometheus", syntax="proto3"
    )
    field = descriptor_pb2.FieldDescriptorProto
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    shapes: dict[str, list[tuple[str, int, Any, Any]]] = {
        "Label": [("name", 1, one, field.TYPE_STRING), ("value", 2, one, field.TYPE_STRING)],
        "Sample": [("value", 1, one, field.TYPE_DOUBLE), ("timestamp", 2, one, field.TYPE_INT64)],
        "TimeSeries": [("labels", 1, many, "Label"), ("samples", 2, many, "Sample")],
        "WriteRequest": [("timeseries", 1, many, "TimeSeries")],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field_name, number, label, kind in fields:
            added = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".prometheus.{kind}"
            else:
                added.type = kind
    # A pool of its own, because another package may use these names for Prometheus's messages.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("prometheus.WriteRequest")
    return message_factory.GetMessageClass(descriptor)


def encode(samples: Iterable[Sample]) -> bytes:
    """The body of a request with these samples."""
    import cramjam

    request = write_request()()
    for sample in samples:
        series = request.timeseries.add()
        for name, value in sample.series:
            series.labels.add(name=name, value=value)
        series.samples.add(value=sample.value, timestamp=sample.timestamp)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
