"""The API answers as its OpenAPI document says, whatever it is sent: schemathesis sends it.

The program `schemathesis` reads the document from the server that ships, and goes through all of
its phases: examples, values on the edges of what the schemas take, drawn ones, and calls that use
what others answered. A seed decides what it draws (`RECOUP_FUZZ_SEED` and `RECOUP_FUZZ_EXAMPLES`
ask for others), and its report is counted here, so that a quiet run proves nothing.

Left out, since Lago's wire wants it otherwise: `unsupported_method` and `allow_header_conformance`
(a method that a path has not is 404), `negative_data_rejection` (what nobody reads is not refused)
and `positive_data_acceptance` (rules beyond types: a number that is taken, an amount that is due).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from recoup import clock
from recoup.flows.prepare_installation import prepare
from recoup.store.db import Pool
from recoup.wiring.http_server import listen, make_server
from tests.api.billing import has_customer, has_method, issue, sells
from tests.api.conftest import BOX, Tenant
from tests.api.noting import note
from tests.api.one_of_everything import with_one_of_everything
from tests.api.places import operations

CASES: Final = 3_000
CUSTOMERS: Final = 30
PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")
SEED: Final = os.environ.get("RECOUP_FUZZ_SEED", "1")
EXAMPLES: Final = os.environ.get("RECOUP_FUZZ_EXAMPLES", "10")  # drawn, for each operation
LONGEST_SECONDS: Final = 600  # it takes 40 of a processor: this is for one that hangs
PROGRAM: Final = str(Path(sys.executable).with_name("schemathesis"))
LEFT_OUT: Final = ",".join([
    "unsupported_method", "allow_header_conformance", "negative_data_rejection",
    "positive_data_acceptance",
])  # fmt: skip


class Report(msgspec.Struct):
    """What the runs of schemathesis did."""

    said: list[str] = msgspec.field(default_factory=list)  # by each that was not content
    cases: Counter[str] = msgspec.field(default_factory=Counter)  # by phase
    answers: dict[str, Counter[int]] = msgspec.field(default_factory=lambda: defaultdict(Counter))


@asynccontextmanager
async def served(app: Any, pool: Pool) -> AsyncIterator[str]:
    """The application behind the HTTP server that ships; answers its address."""
    await prepare(pool, box=BOX, now=clock.now())  # a first start makes the keys that are shown
    listener = listen("127.0.0.1", 0)
    ready = asyncio.Event()
    server = make_server(app, arrives_within=60, when_ready=ready.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await ready.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def what_there_is(tenant: Tenant, pool: Pool) -> list[Mapping[str, str]]:
    """One of everything, and then the same with customers, methods and notes of their own."""
    party = await with_one_of_everything(tenant, pool, "fuzzed")
    await sells(tenant)
    draft = await issue(tenant, external_customer_id=party.words["customers"], draft=True)
    found = [{**party.words, "drafts": draft["lago_id"]}]
    for number in range(CUSTOMERS):
        customer = f"fuzzed-{number}"
        await has_customer(tenant, customer)
        method = await has_method(tenant, pool, customer)
        draft = await issue(tenant, external_customer_id=customer, draft=True)
        invoice = await issue(tenant, external_customer_id=customer)
        noted = await note(tenant, invoice, 1, credit_amount_cents=1, metadata={"k": "v"})
        found.append({
            **party.words, "customers": customer, "payment_methods": method,
            "drafts": draft["lago_id"], "credit_notes": noted["lago_id"], "metadata": "k",
        })  # fmt: skip
    return found


async def fuzz(address: str, api_key: str, words: Any, folder: Path) -> Report:
    """Run schemathesis to its end, all phases at once.

    Each is a process: of its own workers, which are threads, two that read source at one time bring
    Python 3.11 down ("AST constructor recursion depth mismatch").
    """
    report = Report()
    runs = (run(phase, address, api_key, words, folder, report) for phase in PHASES)
    await asyncio.gather(*runs)
    return report


async def run(
    phase: str, address: str, api_key: str, words: Any, folder: Path, report: Report
) -> None:
    """Run one phase to its end, and write down in the report what it did."""
    path = folder / f"{phase}.ndjson"
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "run", f"{address}/api/v1/openapi.json", "--url", address,
        "--header", f"Authorization: Bearer {api_key}",
        "--workers", "1", "--phases", phase,
        "--checks", "all", "--exclude-checks", LEFT_OUT,
        "--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none",
        "--continue-on-failure", "--no-shrink", "--suppress-health-check", "all",
        "--warnings", "off", "--no-color", "--output-truncate", "false",
        "--report", "ndjson", "--report-ndjson-path", str(path),
        cwd=folder,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks", "RECOUP_FUZZ_WORDS": json.dumps(words)}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        report.said.append(out.decode(errors="replace")[-20_000:])
    count(path, report)


def count(path: Path, report: Report) -> None:
    """Count the cases that were sent, and what they were answered, by operation."""
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        [(kind, event)] = json.loads(line).items()
        if kind != "ScenarioFinished":
            continue
        recorded = event["recorder"]
        for name, exchange in recorded.get("interactions", {}).items():
            if answer := exchange.get("response"):
                report.cases[event["phase"]] += 1
                case = recorded["cases"][name]["value"]
                operation = f"{case['method']} {case['path']}"
                report.answers[operation][answer["status_code"]] += 1


async def test_every_answer_is_one_that_the_document_describes(
    app: Any, tenant: Tenant, pool: Pool, tmp_path: Path
) -> None:
    words = await what_there_is(tenant, pool)
    document = (await tenant.get("/openapi.json")).json()
    async with served(app, pool) as address:
        report = await fuzz(address, tenant.api_key, words, tmp_path)
    assert not report.said, "\n".join(report.said)
    assert report.cases.total() >= CASES, report.cases
    assert all(report.cases[phase] for phase in PHASES), report.cases
    got_nowhere = [
        f"{method} {path}: {dict(report.answers[f'{method} /api/v1{path}'])}"
        for method, path, _ in operations(document)
        if not report.answers[f"{method} /api/v1{path}"].keys() - {400, 401, 404}
    ]
    assert not got_nowhere, got_nowhere


async def test_nothing_is_answered_without_a_key(
    tenant: Tenant, visitor: httpx.AsyncClient
) -> None:
    document = (await tenant.get("/openapi.json")).json()
    keys = [
        "",
        "Bearer",
        f"Bearer {tenant.api_key[:-1]}",
        f"Bearer {tenant.api_key}x",
        "Bearer \xff",
    ]
    for method, path, _ in operations(document):
        for key in keys:
            headers = {b"Authorization": key.encode("latin-1")} if key else {}
            answer = await visitor.request(method, f"/api/v1{path}", headers=headers)
            assert answer.status_code == 401, f"{method} {path}: {answer.text}"
            assert answer.json() == {"status": 401, "error": "Unauthorized"}
