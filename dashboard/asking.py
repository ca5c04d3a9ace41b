"""What a page says when a worker does not answer it."""

from collections.abc import Collection, Iterator
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


def check_pipeline(worker_url: str, scored: str, topics: Collection[str]) -> None:
    """Raise LookUpError with a sentence for the page if a worker scores none of the topics that the page is about."""
    if scored not in topics:
        raise LookUpError(
            f"The worker at {worker_url} is another pipeline's: it scores {scored}, not {' or '.join(topics)}. Correct "
            "CARTCAST_DASHBOARD__WORKER_URL."
        )
