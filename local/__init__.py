"""Your machine is a region too: the command, the embedded AWS, the virtual network, the flow-log service."""
