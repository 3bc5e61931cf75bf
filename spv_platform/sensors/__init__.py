"""Dagster sensors: what landed, what changed in the feeds, which history is behind, what is due, what went wrong."""

from spv_platform.sensors.failures import alerts_sensor, run_failures
from spv_platform.sensors.feeds import feeds_sensor
from spv_platform.sensors.history import history_sensor
from spv_platform.sensors.landing import landing_sensor
from spv_platform.sensors.notifications import notifications_sensor
from spv_platform.sensors.set_aside import set_aside_sensor

SENSORS = [
    landing_sensor,
    feeds_sensor,
    history_sensor,
    notifications_sensor,
    set_aside_sensor,
    run_failures,
    alerts_sensor,
]
