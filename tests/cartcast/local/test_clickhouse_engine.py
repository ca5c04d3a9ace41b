"""What the local engine says of its disk."""

from types import SimpleNamespace
from unittest.mock import patch

import pytest

from cartcast.local import clickhouse_engine
from cartcast.local.clickhouse_engine import Engine, EngineError
from cartcast.local.clickhouse_protocol import error_code


def test_a_full_disk_is_told_as_clickhouse_tells_it():
    """So that who inserts waits for room, as for ClickHouse itself."""
    engine = object.__new__(Engine)  # a real one would hold this process's only engine
    engine._bodies = None
    full = OSError(28, "No space left on device")
    with (
        patch.object(clickhouse_engine, "NamedTemporaryFile", side_effect=full),
        pytest.raises(EngineError, match="No space left on device") as failure,
    ):
        engine._execute_insert(SimpleNamespace(), SimpleNamespace(data=b"{}"))
    assert error_code(str(failure.value)) == 243
