"""Where trials run, and how far that is from where a person lives.

A place is known by coordinates, else by a postal code of the United States, which stands for the middle of its area
(`data/postal_us.csv`). A distance is the great circle between the two (haversine, on a sphere of the earth's mean
radius), which no road is shorter than. It is as good as its places are: some kilometres.
"""

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials.evidence import Array, Facts, Judged
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Trial
from spv_platform.trials.questions import Reach, Site
from spv_platform.trials.registry import Study

#: Mean radius of the earth (IUGG).
RADIUS_KM = 6371.0088
_UNITED_STATES = ("us", "usa", "united states", "united states of america")
#: Sites of the registry that take patients; many studies state no status of their sites.
_TAKING = ("RECRUITING", "")

Point = tuple[float, float]


def sites_of(trial: Trial, study: Study | None) -> tuple[Site, ...]:
    """Where a trial runs: as its file says, else as the registry does."""
    if trial.sites or study is None:
        return trial.sites
    return tuple(
        Site(
            name=site.facility or site.city or "unnamed site",
            status="open" if site.status in _TAKING else "closed",
            country=site.country,
            postal_code=site.zip,
            latitude=site.latitude if site.longitude is not None else None,
            longitude=site.longitude if site.latitude is not None else None,
        )
        for site in study.sites
    )


def point_of(site: Site) -> Point | None:
    """Where a site is; None: no table tells."""
    if site.latitude is not None and site.longitude is not None:
        return site.latitude, site.longitude
    return _postal(site.country, "", site.postal_code)


def judge_reach(test: Reach, facts: Facts) -> Judged:
    """Where persons live: whether it is near enough to an open site. Far only if it is known where all of these are."""
    places = facts.of("place")
    moved = places.array("moved", lambda: (pl.col("time_end") < facts.horizon).fill_null(value=False))
    here = np.flatnonzero(~moved)
    codes, said = places.coded_as("said", _said())
    lat, lon = places.keep("points", lambda: _points(said))
    near = _nearest(test.sites, lat, lon)[0] <= test.within_km
    all_known = bool(test.sites) and all(point_of(site) is not None for site in _open(test.sites))
    verdict = np.where(near, MET, np.where(np.isfinite(lat) & all_known, NOT_MET, UNKNOWN)).astype(np.int8)
    return places.judged(here, verdict[codes[here]])


def distances(test: Reach, facts: Facts, rows: Array) -> pl.Series:
    """What is told of places of residence: how far the nearest open site is, in whole kilometres, and its name.

    Null where that is not known.
    """
    names = [site.name for site in _open(test.sites) if point_of(site) is not None]
    kilometres, which = _nearest(test.sites, *_points(facts.columns(rows, _said()).to_series()))
    told = [
        f"place of residence, {km:.0f} km from {names[at]}" if np.isfinite(km) else None
        for km, at in zip(kilometres, which, strict=True)
    ]
    return pl.Series(told, dtype=pl.String)


def great_circle_km(one: tuple[Array, Array], other: Point) -> Array:
    """Distance of points, in degrees of latitude and longitude, from another."""
    (lat, lon), (lat_0, lon_0) = map(np.radians, one), np.radians(other)
    half = np.sin((lat - lat_0) / 2) ** 2 + np.cos(lat) * np.cos(lat_0) * np.sin((lon - lon_0) / 2) ** 2
    found: Array = 2 * RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1)))
    return found


def _open(sites: Iterable[Site]) -> list[Site]:
    return [site for site in sites if site.status == "open"]


def _nearest(sites: Iterable[Site], lat: Array, lon: Array) -> tuple[Array, Array]:
    """Of each place the distance to the nearest open site, infinite if that is not known, and which one it is."""
    least, which = np.full(len(lat), np.inf), np.zeros(len(lat), np.int64)
    known = [point for site in _open(sites) if (point := point_of(site)) is not None]
    for number, point in enumerate(known):
        km = great_circle_km((lat, lon), point)
        nearer = km < least
        least, which = np.where(nearer, km, least), np.where(nearer, number, which)
    return least, which


def _points(said: Iterable[str]) -> Array:
    """Latitudes and longitudes; not a number where they are not known."""
    points = [_point(text) or (np.nan, np.nan) for text in said]
    return np.array(points, np.float64).reshape(-1, 2).T


def _said() -> pl.Expr:
    """All that a fact says about where it is, in lines."""
    return pl.concat_str(pl.col("value_text").fill_null(""), pl.col("value_codes").list.join("\n"), separator="\n")


def _point(said: str) -> Point | None:
    geo, country, state, postal_code = said.split("\n")
    if geo:
        latitude, longitude = map(float, geo.removeprefix("geo:").split(","))
        # what lies nowhere, or in the sea where both are 0, stands for something that is not known
        somewhere = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude or longitude)
        return (latitude, longitude) if somewhere else None
    return _postal(country, state, postal_code)


def _postal(country: str, state: str, code: str) -> Point | None:
    # who writes no country beside a state of the United States means these
    us = country.strip().casefold() in _UNITED_STATES or (
        not country.strip() and _STATES.fullmatch(state.strip().upper())
    )
    return _us().get(code.strip()[:5]) if us else None


@cache
def _us() -> dict[str, Point]:
    text = (files("spv_platform.trials") / "data" / "postal_us.csv").read_text(encoding="utf-8")
    rows: Iterable[dict[str, Any]] = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["postal_code"]: (float(row["latitude"]), float(row["longitude"])) for row in rows}


_STATES = re.compile(
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
