"""Installations that are compared with each other: fresh ones for a test, with keys that all of them share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pipeline_world import World, installation

from spv_platform.settings import Settings

_number = count()


@pytest.fixture(scope="session")
def shared_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world") / "keys"


@pytest.fixture(scope="module")
def new_world(servers: Settings, shared_keys: Path) -> Iterator[Callable[..., World]]:
    """Makes fresh installations, which live as long as the module's tests."""
    with ExitStack() as stack:

        def make(**changes: Any) -> World:
            home = shared_keys.parent / f"home-{next(_number)}"
            return stack.enter_context(installation(servers, home, shared_keys, **changes))

        yield make


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """A fresh installation."""
    return new_world()
