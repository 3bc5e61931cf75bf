"""Dagster's daemon, with a shorter pause between two looks at the sensors.

Dagster looks every 5 s whether a sensor's tick is due, whatever its `minimum_interval_seconds` says. A tick of the
landing sensor goes on looking, but the one that has found something ends; what lands until the next one would wait
for up to those 5 s. There is no setting for it. With the stock daemon everything works, only later.
"""

#: The module that is run so without the shorter pause.
STOCK = "dagster._daemon"
PAUSE_S = 0.5


def shorten() -> None:
    """Let this process's sensor daemon look twice a second.

    Raises:
        AttributeError: this version of Dagster has no such pause.
    """
    from dagster._daemon import sensor

    sensor.MIN_INTERVAL_LOOP_TIME  # noqa: B018 - a constant that has another name must not pass unseen
    sensor.MIN_INTERVAL_LOOP_TIME = PAUSE_S  # type: ignore[assignment]


if __name__ == "__main__":
    from dagster._daemon.cli import main

    shorten()
    main()
