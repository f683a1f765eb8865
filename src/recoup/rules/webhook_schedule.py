"""When is a webhook that was not delivered tried again, and when is it given up?

Asked by `flows/deliver_webhook` after each failure. A receiver that answered 410 (gone) is not
tried again: the caller does not ask.

Source: Standard Webhooks asks for exponential waits over several days, with jitter. Svix, its
example, tries 8 times within 28 hours: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and
10 h. Lago tries 3 times within half a minute. Here a receiver that is down from Friday evening
until Monday morning loses nothing: 13 tries within three days and five hours or more.
"""

from datetime import datetime, timedelta
from typing import Final

WAITS: Final = (
    timedelta(seconds=5),  # a restart
    timedelta(seconds=30),  # a deployment
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=3),  # somebody has been called
    timedelta(hours=6),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=18),
    timedelta(hours=24),
)
TRIES: Final = 1 + len(WAITS)
JITTER: Final = 0.1  # a wait grows by up to this share, so that many do not return all at once
PATIENCE: Final = timedelta(days=7)  # what a receiver asks for by Retry-After ends here


def next_try(
    tries_made: int,
    *,
    jitter: float,
    first_at: datetime,
    now: datetime,
    retry_after_seconds: int | None,
) -> datetime | None:
    """Say when to try again after the last of `tries_made` has failed at `now`, or `None`: give up.

    :param jitter: from 0 to 1, drawn by the caller; it only ever lengthens the wait.
    :param first_at: when the first try was made. A receiver's Retry-After puts off the next one as
        far as seven days after it, and takes away none: giving up is for tries, not for time, so
        that our own standstill does not cost a webhook either.
    """
    assert tries_made >= 1, "nothing has failed, so there is nothing to try again"
    assert 0 <= jitter <= 1
    if tries_made >= TRIES:
        return None
    own = now + WAITS[tries_made - 1] * (1 + JITTER * jitter)
    if retry_after_seconds is None:
        return own
    # Compared before it is added: a receiver may ask for more seconds than a date can hold.
    patience_left = first_at + PATIENCE - now
    asked = min(retry_after_seconds, int(patience_left.total_seconds()))
    return max(own, now + timedelta(seconds=asked))
