"""The ClickHouse engine in this process: one data directory, one fresh handle a statement.

Handles of one directory share the engine and run at the same time; `SET` and `USE` stay in the handle that said them.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

from cartcast.local.clickhouse_protocol import (
    InsertFrom,
    Statement,
    Summary,
    quoted,
    quoted_name,
    refuse_outside,
)
from service.errors import LocalStackError

LOCK_TIMEOUT_SECONDS = 15.0
"""How long the lock of a killed predecessor may linger on the data directory."""
CONFIGURATION: Final = Path(__file__).with_name("clickhouse")
_LONG_STATEMENT: Final = 100_000
"""Bytes from which a statement, quoted in another one, may be longer than the engine reads by default."""


class EngineError(Exception):
    """The engine refused a statement; its own words."""


class Engine:
    """Keeps the directory open; `execute` and `stream` may be called from many threads."""

    def __init__(self, directory: Path, *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        """Open `directory`, waiting for a predecessor's lock; raises LocalStackError when it stays locked."""
        import chdb  # noqa: PLC0415 - loads 400 MB of engine, which only this process needs

        self._connect: Callable[[str], Any] = chdb.connect
        self._directory = directory
        self._address = f"{directory}?config-file={CONFIGURATION}/config.xml&users_config={CONFIGURATION}/users.xml"
        give_up = time.monotonic() + timeout_seconds
        self._lock = self._lock_directory(give_up)
        self._keeper = self._open(give_up)
        self._bodies = directory / "bodies"
        shutil.rmtree(self._bodies, ignore_errors=True)  # what a killed predecessor left
        self._bodies.mkdir(mode=0o700)
        self.timezone = self._keeper.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()

    def _lock_directory(self, give_up: float) -> IO[bytes]:
        """Wait in silence for a predecessor of ours; the engine's own lock complains on stderr at every try."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._directory / "cartcast.lock").open("wb")
        except OSError as failure:
            raise LocalStackError(
                f"the ClickHouse engine cannot write to {self._directory} ({failure.strerror}): choose another one"
            ) from None
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait(give_up)
            else:
                return lock

    def _open(self, give_up: float) -> Any:  # noqa: ANN401 - chdb has no types
        while True:
            try:
                return self._connect(self._address)
            except RuntimeError:
                self._wait(give_up)

    def _wait(self, give_up: float) -> None:
        if time.monotonic() > give_up:
            raise LocalStackError(
                f"the ClickHouse engine cannot open {self._directory}: "
                "stop the other process that uses it, or choose another directory"
            ) from None
        time.sleep(0.1)

    def execute(self, statement: Statement) -> tuple[bytes, Summary]:
        """Run `statement` to its end and return the whole answer."""
        self._refuse_outside(statement)
        insert = statement.insert_from()
        if insert is not None:
            return self._execute_insert(statement, insert)
        return self._run(statement, statement.sql)

    def _execute_insert(self, statement: Statement, insert: InsertFrom) -> tuple[bytes, Summary]:
        """Hand the data over as a file, for chdb's other two ways lose rows.

        In one piece with the statement, an empty line ends the data, as in a console. `send_insert` reports success
        when the table refuses the block (chdb 4.4: a violated constraint, too many partitions).
        """
        try:
            with NamedTemporaryFile(dir=self._bodies, suffix=".body") as body:
                body.write(insert.data)
                body.flush()
                return self._run(statement, insert.sql(body.name))
        except OSError as failure:
            raise EngineError(
                f"Code: 243. Cannot write the data of an insert: {failure.strerror}. (NOT_ENOUGH_SPACE)"
            ) from None

    def _run(self, statement: Statement, sql: bytes) -> tuple[bytes, Summary]:
        with self._handle(statement) as handle, _engine_words():
            result = handle.query(sql, statement.format, params=dict(statement.parameters))
            answer = bytes(result.bytes())
        return answer, Summary(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            elapsed_seconds=result.elapsed(),
        )

    def stream(self, statement: Statement) -> Generator[bytes, None, None]:
        """Yield the answer block by block; closing the iterator cancels the statement."""
        self._refuse_outside(statement)
        with self._handle(statement) as handle, _engine_words():
            blocks = handle.send_query(statement.sql, statement.format, params=dict(statement.parameters))
            with blocks:
                for block in blocks:
                    yield bytes(block.bytes())

    def _refuse_outside(self, statement: Statement) -> None:
        """Raise BadRequestError for what would reach outside the engine, EngineError for what it cannot parse.

        It refuses several statements in one, as ClickHouse does and chdb does not.
        """
        sql = statement.without_data
        literal = sql.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
        try:
            with self._connect(self._address) as handle, _engine_words():
                if len(sql) > _LONG_STATEMENT:
                    handle.query(f"SET max_query_size = {3 * len(sql)}")
                formatted = handle.query(b"SELECT formatQuerySingleLine('" + literal + b"')", "TSVRaw")
                text = bytes(formatted.bytes()).decode(errors="replace")
        except EngineError as failure:
            raise EngineError(str(failure).partition(": In scope SELECT formatQuery")[0]) from None
        refuse_outside(text, statement.parameters)

    @contextmanager
    def _handle(self, statement: Statement) -> Iterator[Any]:
        with self._connect(self._address) as handle, _engine_words():
            if statement.database:
                handle.query(f"USE {quoted_name(statement.database)}")
            settings = dict(statement.settings)
            if statement.read_only:
                settings["readonly"] = "2"
            if settings:
                handle.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))
            yield handle

    def cancel_all(self) -> None:
        """Ask every running statement to end."""
        self._keeper.query("KILL QUERY WHERE query_id != queryID() ASYNC")

    def close(self) -> None:
        """Give the directory back."""
        self._keeper.close()
        self._lock.close()


@contextmanager
def _engine_words() -> Iterator[None]:
    """Turn chdb's exceptions into EngineError; one that quotes bytes which are no UTF-8 comes as UnicodeDecodeError."""
    try:
        yield
    except (RuntimeError, UnicodeDecodeError) as failure:
        message = str(failure)
        if isinstance(failure, UnicodeDecodeError):
            message = failure.object.decode(errors="backslashreplace")
        raise EngineError(message[max(message.find("Code: "), 0) :].strip()) from None
