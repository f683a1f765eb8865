"""Run localstripe on the loopback: `python localstripe_program.py`. Prints its port, then serves.

A program of its own, since localstripe's licence is not ours: nothing else here imports it. As it
comes it listens on every interface, and writes all it holds to a file on each write.
"""

from __future__ import annotations

import socket

from aiohttp import web
from localstripe import resources

resources.Store.dump_to_disk = lambda _self: None

from localstripe.server import app  # noqa: E402  it reads the store as it is imported

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None)
