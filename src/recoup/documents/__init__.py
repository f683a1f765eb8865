"""Documents as PDF: how they look, how they are typeset, and where their files are kept.

Beside `store`, `providers` and `senders`: nothing here knows a database or a provider.
"""
