"""Decides whether an AI platform may go to production."""

__version__ = "0.1.0"
