"""Everything that can go wrong for a reason that a user can act on, as one tree.

CartcastError              the command prints its line and exits with 1; a traceback is for bugs
├── UsageError             options or settings that make no sense together; exit code 2
├── OutputError            a result cannot be written
├── LocalStackError        the local Kafka or ClickHouse does not start, or has ended
├── LookUpError            nobody knows the shopper or the event, or nobody can say now
├── CheckpointError        a checkpoint is missing, broken or of another layout
├── FormatError            a file does not hold what its format promises
├── TrainingError          the data cannot train a model
├── EvaluationError        the data cannot measure a model
├── CertificateError       a file of certificates is missing, is none, or has expired
├── ListenError            an address cannot be listened on, or must not be
├── UnavailableError       Kafka or ClickHouse does not answer, or not now: the same may succeed later
│   ├── CommitRefusedError Kafka did not take a commit, usually because the group rebalances
│   └── TooSlowError       ClickHouse gave up on a query that took too long
└── RefusedError           Kafka or ClickHouse refuses, for a reason that waiting will not change
    ├── NotMigratedError   ClickHouse lacks a table, a view or a column
    ├── TooLargeError      a proxy takes no request of this size
    └── RowsRefusedError   at least one row of an insert cannot be stored, so none was
"""


class CartcastError(Exception):
    """A failure whose text says, in one line, what happened, where, and what to do next."""


class UsageError(CartcastError):
    """Options or settings that make no sense together; exit code 2."""


class OutputError(CartcastError):
    """A result cannot be written, for a reason that only shows when it is."""


class LocalStackError(CartcastError):
    """The local Kafka or ClickHouse does not start or has ended."""


class LookUpError(CartcastError):
    """Nobody knows the shopper or the event, or nobody can say now."""


class CheckpointError(CartcastError):
    """A checkpoint is missing, broken or of another layout."""


class FormatError(CartcastError):
    """A file does not hold what its format promises."""


class TrainingError(CartcastError):
    """The data cannot train a model; the message says what it lacks."""


class EvaluationError(CartcastError):
    """The data cannot measure a model; the message says what they lack."""


class CertificateError(CartcastError):
    """A file of certificates is missing, is none, or has expired."""


class ListenError(CartcastError):
    """An address cannot be listened on, or other machines would read there what is not for them."""


class UnavailableError(CartcastError):
    """Kafka or ClickHouse does not answer, or not now: back off, then do the same again."""


class CommitRefusedError(UnavailableError):
    """A commit was not taken: nothing may be inserted on the strength of it."""


class TooSlowError(UnavailableError):
    """ClickHouse gave up on a query that took too long; a shorter time range helps."""


class RefusedError(CartcastError):
    """Kafka or ClickHouse refuses, for a reason that waiting will not change."""


class NotMigratedError(RefusedError):
    """ClickHouse lacks a table, a view or a column: `cartcast migrate` makes it."""


class TooLargeError(RefusedError):
    """A proxy before ClickHouse takes no request of this size."""


class RowsRefusedError(RefusedError):
    """The table cannot take these rows; the text names column and type or the broken rule, never a value."""
