"""The `flowlag` command."""
