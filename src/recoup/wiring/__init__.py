"""Put the parts together: the database, the keys, the edge, the worker, and their end."""
