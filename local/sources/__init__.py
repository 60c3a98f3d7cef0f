"""Sources: every kind of file that holds flow records, read into one shape; and what is read beside them."""

from local.sources.capture import read_capture
from local.sources.dataset import (
    EXPORT,
    FLOW_LOG,
    OBSERVATIONS,
    RUN_GAP_S,
    UNKNOWN,
    Accounted,
    Dataset,
    Row,
    RunRow,
    Series,
    UnusableInput,
    Whole,
    runs_of,
)
from local.sources.ledger import SentTicks, read_ledger
from local.sources.reader import read

__all__ = [
    "EXPORT",
    "FLOW_LOG",
    "OBSERVATIONS",
    "RUN_GAP_S",
    "UNKNOWN",
    "Accounted",
    "Dataset",
    "Row",
    "RunRow",
    "SentTicks",
    "Series",
    "UnusableInput",
    "Whole",
    "read",
    "read_capture",
    "read_ledger",
    "runs_of",
]
