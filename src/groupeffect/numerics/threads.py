"""One linear algebra thread for small matrices."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

__all__ = ["one_blas_thread"]


def one_blas_thread() -> AbstractContextManager[Any]:
    """Context in which matrix products use one thread.

    A product of a few hundred rows takes longer to share out than to compute: on a busy machine with two threads it
    was measured at 5 to 8 ms instead of 0.1 ms. Entering costs about 20 microseconds.
    """
    return _controller().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@cache
def _controller() -> Any:
    """Look up the loaded thread pools, once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
