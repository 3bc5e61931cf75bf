"""How long a tick of the landing sensor looks."""

import pytest

from spv_platform.sensors import landing


def test_a_tick_that_finds_nothing_begins_no_look_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, begun = [0.0], list[float]()  # a clock that only looks and pauses move

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    def look() -> None:
        begun.append(now[0])
        assert len(begun) < 1000, "it would look for ever"
        pass_time(0.7)

    monkeypatch.setattr(landing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(landing.time, "sleep", pass_time)
    assert landing.look_until(look) is None
    assert len(begun) > 1
    assert begun[-1] <= landing.LOOK_FOR_S + landing.LOOK_EVERY_S


def test_a_tick_that_finds_something_ends_at_once() -> None:
    answers = iter([[], ["batch"], []])
    assert landing.look_until(lambda: next(answers)) == ["batch"]
