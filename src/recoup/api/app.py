"""The HTTP application: every route, and what stands before and behind them."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from recoup.api import (
    add_ons,
    billing_entities,
    credit_notes,
    customers,
    documents,
    drafts,
    dunning_campaigns,
    errors,
    fees,
    health,
    invoices,
    mails,
    metrics,
    openapi_pages,
    organizations,
    payment_methods,
    payment_pages,
    payment_providers,
    payment_receipts,
    payment_requests,
    payments,
    provider_webhooks,
    reconciliation_findings,
    refunds,
    retry_payments,
    taxes,
    webhook_deliveries,
    webhook_endpoints,
    webhook_keys,
)
from recoup.api.edge import Edge
from recoup.api.front import Authenticated, Front, Leaving
from recoup.api.needs import resource_of
from recoup.api.openapi_document import operations


def make_app(edge: Edge, *, servers: Sequence[str], pages: Sequence[Router] = ()) -> ASGIApp:
    """Build the application around an edge.

    `servers` are the addresses that OpenAPI names; `pages` are for people, and no part of the API.
    """
    v1 = Router(
        "/api/v1",
        route_handlers=[
            add_ons.routes,
            billing_entities.routes,
            credit_notes.routes,
            customers.routes,
            drafts.routes,
            dunning_campaigns.routes,
            fees.routes,
            invoices.routes,
            mails.routes,
            organizations.routes,
            payment_methods.routes,
            payment_pages.routes,
            payment_providers.routes,
            payment_receipts.routes,
            payment_requests.routes,
            payments.routes,
            reconciliation_findings.routes,
            refunds.routes,
            retry_payments.routes,
            taxes.routes,
            webhook_deliveries.routes,
            webhook_endpoints.routes,
            webhook_keys.routes,
        ],
        middleware=[Authenticated],
    )
    calls = metrics.Calls()
    app = Litestar(
        route_handlers=[
            v1,
            health.routes,
            metrics.make_routes(edge.scout, [calls, edge.turned_away], now=edge.now),
            openapi_pages.make_routes(servers=servers),
            provider_webhooks.receive,
            *pages,
            documents.open_by_address,
        ],
        state=State({"edge": edge}),
        dependencies={"edge": Provide(lambda: edge, sync_to_thread=False)},
        exception_handlers=errors.HANDLERS,
        openapi_config=None,  # openapi_pages describes the routes
        logging_config=None,
    )
    for operation in operations(app):
        resource_of(operation.handler)  # or the application is not built
    return metrics.Measured(Leaving(Front(app, edge), edge), calls)
