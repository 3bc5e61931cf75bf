"""Dagster sensors: what has landed, and what changed in the feeds."""

from spv_platform.sensors.feeds import feeds_sensor
from spv_platform.sensors.landing import landing_sensor

SENSORS = [landing_sensor, feeds_sensor]
