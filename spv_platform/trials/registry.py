"""Studies of the registry ClinicalTrials.gov (API v2, https://clinicaltrials.gov/data-api/api): status and sites."""

import gzip
import io
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from spv_platform.errors import UsageError

MAX_BYTES = 64 * 2**20
_GZIP_MAGIC = b"\x1f\x8b"


class StudyError(UsageError):
    """The bytes are not a study of the registry."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the study runs; `status` is empty where the registry states none.

    Coordinates are those of the registry, which are of the city.
    """

    facility: str = ""
    status: str = ""
    city: str = ""
    state: str = ""
    zip: str = ""
    country: str = ""
    latitude: float | None = None
    longitude: float | None = None


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry says of a study. Dates are as the registry has them: `2024-04-29` or `2024-04`."""

    nct_id: str
    title: str
    overall_status: str
    sites: tuple[Site, ...] = ()
    last_update: str = ""
    start: str = ""
    completion: str = ""

    @property
    def recruiting(self) -> bool:
        """Whether new patients are taken, by the registry's overall status."""
        return self.overall_status == "RECRUITING"


def parse_study(data: bytes, file: str = "study") -> Study:
    """Parse one study.

    Args:
        data: the JSON of the API, plain or gzip.
        file: a name for error messages.

    Raises:
        StudyError: not JSON, too large, not exactly one study, or a study without id or status.
    """
    studies = parse_studies(data, file)
    if len(studies) != 1:
        raise StudyError(f"{file}: holds {len(studies)} studies where one is expected: use `parse_studies`")
    return studies[0]


def parse_studies(data: bytes, file: str = "studies") -> list[Study]:
    """Parse one study, or a page with a list `studies`; arguments and errors as for `parse_study`."""
    try:
        page = msgspec.json.decode(_plain(data, file))
    except (msgspec.DecodeError, RecursionError):
        raise StudyError(f"{file}: not JSON: fetch it again from the registry") from None
    if not isinstance(page, dict):
        raise StudyError(f"{file}: neither a study nor a page of studies: fetch it again from the registry")
    studies = page.get("studies", [page])
    if not isinstance(studies, list):
        raise StudyError(f"{file}: `studies` is not a list: fetch it again from the registry")
    return [_study(study, f"{file}: study {at}") for at, study in enumerate(studies, start=1)]


def newest(studies: Iterable[Study]) -> dict[str, Study]:
    """Per registry id the study that was updated last; the order of the studies does not matter."""
    found: dict[str, Study] = {}
    for study in studies:
        known = found.get(study.nct_id)
        if known is None or _age_key(study) > _age_key(known):
            found[study.nct_id] = study
    return found


def _age_key(study: Study) -> tuple[str, bytes]:
    # the content decides between equal dates, so that the winner does not depend on the order
    return study.last_update, msgspec.json.encode(study)


def _plain(data: bytes, file: str) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        plain = data
    else:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                plain = stream.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise StudyError(f"{file}: broken gzip: fetch it again from the registry") from None
    if len(plain) > MAX_BYTES:
        raise StudyError(f"{file}: larger than {MAX_BYTES} bytes: fetch smaller pages")
    return plain


def _study(raw: Any, where: str) -> Study:
    protocol = _get(raw, "protocolSection")
    names, status = _get(protocol, "identificationModule"), _get(protocol, "statusModule")
    nct_id, overall = _text(names, "nctId"), _text(status, "overallStatus")
    if not nct_id or not overall:
        raise StudyError(f"{where}: no nctId or no overallStatus: fetch these fields too")
    locations = _get(protocol, "contactsLocationsModule").get("locations")
    return Study(
        nct_id=nct_id,
        title=_text(names, "briefTitle") or _text(names, "officialTitle"),
        overall_status=overall,
        sites=tuple(_site(location) for location in locations) if isinstance(locations, list) else (),
        last_update=_text(_get(status, "lastUpdatePostDateStruct"), "date"),
        start=_text(_get(status, "startDateStruct"), "date"),
        completion=_text(_get(status, "completionDateStruct"), "date"),
    )


def _site(raw: Any) -> Site:
    raw = raw if isinstance(raw, dict) else {}
    point = _get(raw, "geoPoint")
    named = {name: _text(raw, name) for name in ("facility", "status", "city", "state", "zip", "country")}
    return Site(**named, latitude=_degrees(point, "lat", 90), longitude=_degrees(point, "lon", 180))


def _degrees(raw: dict[str, Any], name: str, most: float) -> float | None:
    value = raw.get(name)
    return float(value) if isinstance(value, int | float) and abs(value) <= most else None


def _get(raw: Any, name: str) -> dict[str, Any]:
    value = raw.get(name) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
