"""What a page says when a worker does not answer it."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import LookUpError, UnavailableError
from service.worker_client import WorkerRefusedError


@contextmanager
def asked(worker_url: str) -> Iterator[None]:
    """Raise LookUpError with a sentence for the page where the body asks a worker that is away, or refuses."""
    try:
        yield
    except UnavailableError:
        raise LookUpError(
            f"No worker answers at {worker_url}: start cartcast worker, or correct CARTCAST_DASHBOARD__WORKER_URL."
        ) from None
    except WorkerRefusedError as refused:
        raise LookUpError(f"The worker refuses: {refused.message}.") from None
