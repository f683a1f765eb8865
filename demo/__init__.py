"""What `make demo` runs: Recoup seen from outside, by somebody who uses it.

Nothing of Recoup is imported here: it is started as a program and spoken to over HTTP.
"""
