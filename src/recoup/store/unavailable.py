"""What stands in the way of a database, in words for whoever runs the servers."""


class DatabaseUnavailableError(Exception):
    """PostgreSQL cannot be had here; the message says why and what to do, for an operator."""
