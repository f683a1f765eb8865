"""What every payment provider's adapter must do, its stand-in being another process's HTTP.

A test class of a provider inherits `ProviderConformance` and brings its `StandIn`. An adapter is
finished when it passes; each surprise that one provider has for us becomes a case for all.

Beside a fixture `psp` that yields the stand-in, a test class brings four names: `paid_by`,
`open_by`, `words` and `unknown_method` (`on_charges.ChargeOrders` says what they are). What a
provider lacks its stand-in says by flags (`stand_in.StandIn`), and the adapter in our words.
"""

from __future__ import annotations

from tests.providers.on_awkward_ids import AwkwardIdConformance
from tests.providers.on_changed_bytes import ChangedBytesConformance
from tests.providers.on_charges import ChargeConformance
from tests.providers.on_credentials import CredentialConformance
from tests.providers.on_methods import MethodConformance
from tests.providers.on_pages import PageConformance
from tests.providers.on_refunds import RefundConformance
from tests.providers.on_webhooks import WebhookConformance
from tests.providers.on_wire import WireConformance
from tests.providers.stand_in import ATTEMPT as ATTEMPT
from tests.providers.stand_in import KEY as KEY
from tests.providers.stand_in import NOW as NOW
from tests.providers.stand_in import StandIn as StandIn


class ProviderConformance(
    ChargeConformance,
    RefundConformance,
    PageConformance,
    MethodConformance,
    WebhookConformance,
    WireConformance,
    CredentialConformance,
    ChangedBytesConformance,
    AwkwardIdConformance,
):
    """All of it."""
