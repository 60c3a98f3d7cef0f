"""Adapters: the only place that knows AWS. One module a service."""
