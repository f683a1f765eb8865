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
    customers,
    errors,
    fees,
    health,
    invoices,
    metrics,
    openapi_pages,
    organizations,
    payment_methods,
    payment_pages,
    payment_providers,
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


def make_app(edge: Edge, *, servers: Sequence[str]) -> ASGIApp:
    """Build the application around an edge. `servers` are the addresses that OpenAPI names."""
    v1 = Router(
        "/api/v1",
        route_handlers=[
            add_ons.routes,
            billing_entities.routes,
            customers.routes,
            fees.routes,
            invoices.routes,
            organizations.routes,
            payment_methods.routes,
            payment_pages.routes,
            payment_providers.routes,
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
