"""The memory of this process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def give_back() -> None:
    """Give what was freed, and is kept for more of the same, back to the host: some milliseconds."""
    import pyarrow as pa

    # of the pool that `spv_platform/__init__.py` chooses it is the C library's whole heap
    pa.default_memory_pool().release_unused()


@contextmanager
def no_collections() -> Iterator[None]:
    """Make many objects that stay, or that hold no cycles, without looking for garbage among them all the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
