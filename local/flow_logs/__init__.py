"""The flow-log service that no emulator has: from captured packets to delivered flow records."""
