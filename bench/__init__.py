"""Measure Recoup from outside: `make bench`.

Every figure comes from processes as an operator starts them, spoken to over HTTP and looked at in
their database. Nothing here imports Recoup, so that nothing here can measure a shortcut.
"""
