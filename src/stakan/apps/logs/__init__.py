"""Logs of a program: JSON lines in daily files, readable lines on a terminal, without secrets and without waiting."""

from stakan.apps.logs.redaction import MASK, Redactor
from stakan.apps.logs.setup import LogPlan, Logs, get_logger, plan_of

__all__ = ["MASK", "LogPlan", "Logs", "Redactor", "get_logger", "plan_of"]
