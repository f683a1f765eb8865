"""Read what a call asks for, and turn away what cannot be read."""

from typing import TypeVar

import msgspec

from recoup.sandbox.answers import Refused, invalid_request

Body = TypeVar("Body")


def read_body(raw: bytes, kind: type[Body]) -> Body:
    """Read what a call asks for.

    :raises Refused: for what cannot be read.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(invalid_request("parameter_invalid", str(error))) from None
    except (msgspec.DecodeError, RecursionError):
        message = "The body is no JSON that can be read."
        raise Refused(invalid_request("json_malformed", message)) from None
