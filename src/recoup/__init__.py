"""Recoup collects invoices: charge, find out what happened, retry when it makes sense."""

__version__ = "0.1.0"
