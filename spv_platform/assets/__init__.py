"""Dagster assets, one file per stage: each finds its batch, lets a domain package do the work, and reports counts."""

from spv_platform.assets.analyst_tables import analyst_tables
from spv_platform.assets.approved_patients import approved_patients
from spv_platform.assets.decrypted_fhir import decrypted_fhir
from spv_platform.assets.patient_history import patient_history
from spv_platform.assets.patient_view import patient_view
from spv_platform.assets.practice_notifications import practice_notifications
from spv_platform.assets.raw_bundles import raw_bundles
from spv_platform.assets.trial_criteria import trial_criteria

#: What carries one batch of one tenant.
TENANT_ASSETS = [raw_bundles, decrypted_fhir, patient_view, approved_patients, practice_notifications, patient_history]
ASSETS = [*TENANT_ASSETS, trial_criteria, analyst_tables]
