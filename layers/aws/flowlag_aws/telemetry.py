"""The one logger: JSON lines with the run they belong to."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger()
