"""The embedded AWS: MiniStack, what it lacks, and one process for it, the network and the flow-log service."""
