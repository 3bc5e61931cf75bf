"""Installations that are compared with each other: fresh ones for a test, with keys that all of them share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
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


@pytest.fixture(scope="session")
def installations(servers: Settings, shared_keys: Path) -> Callable[..., AbstractContextManager[World]]:
    """Makes fresh installations, which live as long as their contexts."""

    def make(**changes: Any) -> AbstractContextManager[World]:
        return installation(servers, shared_keys.parent / f"home-{next(_number)}", shared_keys, **changes)

    return make


@pytest.fixture(scope="module")
def new_world(installations: Callable[..., AbstractContextManager[World]]) -> Iterator[Callable[..., World]]:
    """Makes fresh installations, which live as long as the module's tests."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(installations(**changes))


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """A fresh installation."""
    return new_world()
