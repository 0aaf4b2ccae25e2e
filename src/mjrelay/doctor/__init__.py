"""Find the contract, path prefix and auth header of a URL with a few read-only requests."""

from mjrelay.doctor.addresses import is_fetchable
from mjrelay.doctor.diagnosis import OVERLAY_FILE, Diagnosis
from mjrelay.doctor.examination import examine
from mjrelay.doctor.plan import CREDENTIAL_LIMIT, REQUEST_LIMIT, ProbeRequest

__all__ = [
    "CREDENTIAL_LIMIT",
    "OVERLAY_FILE",
    "REQUEST_LIMIT",
    "Diagnosis",
    "ProbeRequest",
    "examine",
    "is_fetchable",
]
