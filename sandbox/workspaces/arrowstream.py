"""A result as an Arrow IPC stream in pieces, for an answer that is sent while the rows still arrive."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa

from sandbox.workspaces.downloads import LABEL


class ArrowStream:
    """An Arrow IPC stream in pieces, whose end says whether it is whole.

    The schema's metadata has the mark. After the last rows comes a batch without rows whose metadata is
    `pds.done` or `pds.error`, as JSON. A good stream then has Arrow's end-of-stream marker; a failed one is cut in the
    middle of a message, so that a reader that knows nothing of this raises instead of taking it for complete.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._buffer = io.BytesIO()
        self._schema = schema.with_metadata({**(schema.metadata or {}), "simulated": "true", "mark": LABEL})
        self._writer = pa.ipc.new_stream(self._buffer, self._schema)

    def head(self) -> bytes:
        """The schema."""
        return self._take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """The next rows."""
        self._writer.write_batch(batch.replace_schema_metadata(self._schema.metadata))
        return self._take()

    def done(self, said: dict[str, Any]) -> bytes:
        """The end of a whole result."""
        self._last("pds.done", said)
        self._writer.close()
        return self._take()

    def broken(self, said: dict[str, Any]) -> bytes:
        """The end of one that failed: a message announced and never sent."""
        self._last("pds.error", said)
        return self._take() + b"\xff\xff\xff\xff\x08\x00\x00\x00"

    def _last(self, key: str, said: dict[str, Any]) -> None:
        empty = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in self._schema], schema=self._schema)
        self._writer.write_batch(empty, custom_metadata={key: json.dumps(said, ensure_ascii=False)})

    def _take(self) -> bytes:
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return data
