"""What a call is answered, before anything goes wrong with it: a status and JSON."""

from collections.abc import Mapping

import msgspec

from recoup.sandbox.charges import Charge, Decline, Status
from recoup.sandbox.faults import CallFault


class Answer(msgspec.Struct, frozen=True):
    """An answer as computed; `fault` is a test token's wish that it be broken on the way."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    fault: CallFault | None = None


class Refused(Exception):  # noqa: N818  it is how an answer leaves nested calls, not a failure
    """The call is turned away with this answer, and nothing was done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(content: object, *, status: int = 200) -> Answer:
    """Answer with `content` as JSON."""
    return Answer(status, msgspec.json.encode(content))


def charge_answer(charge: Charge) -> Answer:
    """Answer a request for money: 402 for a decline, as card processors do, else 200."""
    if charge.status is not Status.FAILED:
        return json_answer({"charge": charge})
    assert charge.decline, "a failed charge says why"
    return json_answer({"error": _card_error(charge.decline), "charge": charge}, status=402)


def error_answer(
    status: int, kind: str, code: str, message: str, *, charge: Charge | None = None
) -> Answer:
    """Answer with an error, and with the charge that it is about, if there is one."""
    error = {"type": kind, "code": code, "message": message}
    return json_answer({"error": error} | ({"charge": charge} if charge else {}), status=status)


def invalid_request(code: str, message: str, *, status: int = 400) -> Answer:
    """Answer a request that nothing can be done with."""
    return error_answer(status, "invalid_request_error", code, message)


def _card_error(decline: Decline) -> dict[str, object]:
    return {"type": "card_error"} | msgspec.structs.asdict(decline)
