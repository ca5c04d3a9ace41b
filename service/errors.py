"""Failures that a user can act on.

CartcastError
 +-- model.CheckpointError     a checkpoint is missing, broken or of another layout
 +-- model.FormatError         a file does not hold what its format promises
 +-- model.TrainingError       data from which nothing can be learnt
 +-- model.CertificateError    a file of certificates is missing, is none, or has expired
 +-- model.EvaluationError     data on which nothing can be measured
 +-- streams.StreamError       Kafka refuses, or its topics do not fit together
 +-- sinks.SinkError           ClickHouse refuses
 +-- cartcast.OutputError      a result cannot be written
 +-- cartcast.UsageError       options or settings that make no sense (exit code 2)
 +-- cartcast.LookUpError      nobody knows a shopper or an event
 +-- cartcast.LocalStackError  the local Kafka or ClickHouse does not start

The base lives in the room that imports no other, because every room raises its own kind.
"""


class CartcastError(Exception):
    """Its message is one line that says what happened, where, and what to do next.

    The command prints that line and exits with 1; a traceback is for bugs.
    """


class CheckpointError(CartcastError):
    """A checkpoint is missing, broken or of another layout."""


class FormatError(CartcastError):
    """A file does not hold what its format promises."""


class TrainingError(CartcastError):
    """The data cannot train a model; the message says what it lacks."""


class CertificateError(CartcastError):
    """A file of certificates is missing, is none, or has expired."""


class EvaluationError(CartcastError):
    """The data cannot measure a model; the message says what they lack."""
