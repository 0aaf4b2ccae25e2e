"""The door of mjrelay.doctor."""

from mjrelay.doctor.diagnosis import Diagnosis
from mjrelay.doctor.examination import examine
from mjrelay.doctor.plan import LIMIT, WAYS, Step

__all__ = ["LIMIT", "WAYS", "Diagnosis", "Step", "examine"]
