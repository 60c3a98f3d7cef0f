"""`flowlag analyze`: how late the flow records of a data set are, and what is missing from them.

Pure: what was read goes in, numbers come out. Every percentile is of raw observations.
"""

from local.analysis.analyze import Analysis, analyze
from local.analysis.arms import Arm
from local.analysis.cadence import Cadence
from local.analysis.comparisons import Difference
from local.analysis.loss import Loss
from local.analysis.spread import Spread

__all__ = ["Analysis", "Arm", "Cadence", "Difference", "Loss", "Spread", "analyze"]
