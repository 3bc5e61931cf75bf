"""The search for garbage is put off, not turned off."""

import gc

from spv_platform.memory import no_collections


def test_the_search_for_garbage_goes_on_after_an_error():
    try:
        with no_collections():
            assert not gc.isenabled()
            raise ValueError
    except ValueError:
        pass
    assert gc.isenabled()
