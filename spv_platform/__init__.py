"""spv_platform: encrypted EMR files in, one explainable view of each patient and trial eligibility out."""

import os

# Polars keeps what it frees for ten seconds, up to half of what a worker has in use; at once is a quarter of its time
# in the kernel, which has to give it the next pages. It reads this when it is loaded.
os.environ.setdefault("_RJEM_MALLOC_CONF", "background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0")
# Arrow's own allocator keeps what one thread took and another freed: 200 MB after a batch. Read when it is loaded, too.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"
