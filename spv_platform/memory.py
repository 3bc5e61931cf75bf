"""The memory of this process."""


def give_back() -> None:
    """Give what was freed, and is kept for more of the same, back to the host: some milliseconds."""
    import pyarrow as pa

    # of the pool that `spv_platform/__init__.py` chooses it is the C library's whole heap
    pa.default_memory_pool().release_unused()
