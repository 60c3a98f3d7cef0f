"""What can go wrong, as a tree.

FlowlagError
├── InvalidRequest      somebody asked for something that cannot be run
├── InvalidFormat       a record format names a field that flow logs do not have
├── UnparsableRecord    a line is not a flow record of its format
├── RunStopped          a run ended while one of its steps was at work
├── StampDisagreement   two ways to decode a source port give two ticks
└── UnreadableLedger    a ledger is not one
"""


class FlowlagError(Exception):
    """The root: its message is one sentence that a user can act on."""


class InvalidRequest(FlowlagError):
    """A run was requested that cannot be run."""


class InvalidFormat(FlowlagError):
    """A flow-log format string or header names no known field, or names one twice."""


class UnparsableRecord(FlowlagError):
    """A line does not fit its record format."""


class RunStopped(FlowlagError):
    """A run ended while one of its steps was at work; the step has undone what it did."""


class StampDisagreement(FlowlagError):
    """The tick nearest to the capture window is not the latest one before delivery."""


class UnreadableLedger(FlowlagError):
    """A file that should be a sender's ledger is something else."""
