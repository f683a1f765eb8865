"""Recoup and its sandbox as an operator runs them: programs, a data folder, and signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest_asyncio
from aiohttp import web

from tests.folders import scratch_folder

RECOUP = str(Path(sys.executable).with_name("recoup"))
READY_WITHIN_SECONDS = 60
END_WITHIN_SECONDS = 60
RECEIVER_THINKS_SECONDS = 0.005  # so that who wants to kill in the middle of a call can


class Program:
    """A running program; it can be killed and started again as it was."""

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._words = words
        self._environment = environment
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        self.ready = ""
        self.is_up = asyncio.Event()

    async def start(self) -> Program:
        """Start it, and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(RECOUP, *self._words),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout
        async with asyncio.timeout(READY_WITHIN_SECONDS):
            self.ready = (await self.process.stdout.readline()).decode()
        assert "ready" in self.ready, f"{self._words}: {self.log.read_text()[-3_000:]}"
        self.is_up.set()
        return self

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.ready.split()[1]

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and answer its exit status."""
        assert self.process, "it was started"
        self.is_up.clear()
        self.process.send_signal(number)
        async with asyncio.timeout(END_WITHIN_SECONDS):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode

    async def kill_and_start_again(self) -> None:
        """Killed without a warning, and started again at once, at the same place."""
        assert await self.end(signal.SIGKILL) == -signal.SIGKILL
        await self.start()


class Installation:
    """A data folder, and the programs that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        clean = {name: word for name, word in os.environ.items() if not name.startswith("RECOUP_")}
        self.environment = clean | {"RECOUP_DATA_DIR": str(self.data_dir)}
        self._programs: list[Program] = []

    async def start(self, *words: str) -> Program:
        """Run `recoup` with these words, until it ends or the test does."""
        log = self.folder / f"{words[0]}-{len(self._programs)}.log"
        program = Program(words, self.environment, log)
        self._programs.append(program)
        return await program.start()

    async def start_sandbox(self, *words: str) -> Program:
        """Run the sandbox; all that is started from now on charges there."""
        ledger = str(self.folder / "sandbox.sqlite")
        program = await self.start("sandbox", "--port", "0", "--ledger", ledger, *words)
        self.environment["RECOUP_SANDBOX_API_BASE"] = program.url
        return program

    async def run(self, *words: str) -> tuple[int, Any]:
        """Run a command to its end; answer its exit status and the JSON that it prints."""
        process = await asyncio.create_subprocess_exec(
            *(RECOUP, *words, "--json"),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaints = await process.communicate()
        assert out, complaints.decode()
        assert process.returncode is not None
        return process.returncode, json.loads(out)

    def charge_count(self) -> int:
        """How many charges the provider's books hold, without troubling the provider."""
        return self._count("charges")

    async def is_told(self, *, accounts: int = 1) -> bool:
        """Whether the provider knows where to send these accounts' events.

        What came before is told to nobody.
        """
        return self._count("endpoints") >= accounts

    def _count(self, table: str) -> int:
        books = sqlite3.connect(f"file:{self.folder / 'sandbox.sqlite'}?mode=ro", uri=True)
        try:
            count: int = books.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return count
        finally:
            books.close()

    async def new_tenant(self, api: str, sandbox: str, *, kind: str = "sandbox") -> Tenant:
        """Make an organization that sells through this kind of provider, with one add-on.

        Secrets that the provider wants are in the environment.
        """
        _, made = await self.run("organization", "create", "Shop")
        organization = ("--organization", made["organization_id"])
        await self.run("provider", "add", kind, *organization, "--code", kind)
        tenant = Tenant(api, sandbox, made["api_key"], kind=kind)
        fields = {"name": "Work", "code": "work", "amount_cents": 1_000, "amount_currency": "EUR"}
        await tenant.post("/add_ons", {"add_on": fields})
        return tenant

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on this folder: ours, and PostgreSQL's."""
        return [one for one in psutil.process_iter() if self._is_used_by(one)]

    def postmaster(self) -> int:
        """The process that is PostgreSQL's first."""
        pid_file = self.data_dir / "postgres" / "postmaster.pid"
        return int(pid_file.read_text().splitlines()[0])

    async def clear_away(self) -> None:
        """End everything that a test has left, the hard way."""
        for program in self._programs:
            if program.process and program.process.returncode is None:
                program.process.kill()
                await program.process.communicate()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self.processes(), timeout=10)

    def _is_used_by(self, process: psutil.Process) -> bool:
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return any(str(self.folder) in word for word in (process.cwd(), *process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


class Tenant:
    """An organization, as its own programs use it: over HTTP."""

    def __init__(self, api: str, sandbox: str, api_key: str, *, kind: str = "sandbox") -> None:
        self.api = api
        self.kind = kind  # of its provider account, whose code is the same word
        self._sandbox = sandbox
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {api_key}"},
            connector=aiohttp.TCPConnector(limit=0),  # who asks at once is not to queue here
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def close(self) -> None:
        await self._http.close()

    async def post(self, path: str, body: Any) -> Any:
        """Ask for something that must be given."""
        async with self._http.post(f"{self.api}/api/v1{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> Any:
        """Read what must be there."""
        async with self._http.get(f"{self.api}/api/v1{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def customer(
        self, external_id: str, method: str, *, provider_customer_id: str | None = None
    ) -> None:
        """A customer who pays by this method."""
        linked = {
            "payment_provider": self.kind,
            "payment_provider_code": self.kind,
            "provider_customer_id": provider_customer_id or f"cus_{external_id}",
        }
        customer = {"external_id": external_id, "billing_configuration": linked}
        await self.post("/customers", {"customer": customer})
        attached = {"payment_method": {"provider_method_id": method}}
        await self.post(f"/customers/{external_id}/payment_methods", attached)

    async def invoice(self, external_id: str) -> str:
        """An invoice that nobody has begun to collect."""
        asked = {
            "external_customer_id": external_id,
            "currency": "EUR",
            "skip_psp": True,
            "fees": [{"add_on_code": "work"}],
        }
        return (await self.post("/invoices", {"invoice": asked}))["invoice"]["lago_id"]

    async def invoices(self, methods: list[str], *, each: int) -> list[str]:
        """`each` invoices for a customer of every method; customers are billed side by side."""

        async def bill(number: int, method: str) -> list[str]:
            external_id = f"customer-{number}"
            await self.customer(external_id, method)
            return [await self.invoice(external_id) for _ in range(each)]

        made = await asyncio.gather(*(bill(*one) for one in enumerate(methods)))
        return [invoice for invoices in made for invoice in invoices]

    async def retry(self, invoice: str, key: str | None = None) -> tuple[int, str | None, Any]:
        """Ask for a retry; answer the status, the attempt's id, and what else was said."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.api}/api/v1/invoices/{invoice}/retry_payment"
        async with self._http.post(url, headers=headers) as answer:
            text = await answer.text()
            said = json.loads(text) if text else None
            return answer.status, answer.headers.get("Recoup-Payment-Id"), said

    async def count(self, payment_status: str) -> int:
        """How many invoices show this."""
        query = {"payment_status": payment_status, "per_page": "1"}
        async with self._http.get(f"{self.api}/api/v1/invoices", params=query) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["meta"]["total_count"]

    async def answers(self) -> bool:
        """Whether the API is there."""
        try:
            async with self._http.get(f"{self.api}/api/v1/taxes") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def charges(self) -> list[dict[str, Any]]:
        """The provider's books."""
        async with self._http.get(f"{self._sandbox}/charges") as answer:
            return (await answer.json())["charges"]

    async def paid(self) -> Counter[str]:
        """How many successful charges each invoice has in the provider's books."""
        return Counter(
            charge["metadata"]["lago_invoice_id"]
            for charge in await self.charges()
            if charge["status"] == "succeeded"
        )

    async def faults(self, faults: str) -> Counter[str]:
        """Set the provider's faults anew; answer how often each has struck so far."""
        body = {"faults": faults}
        async with self._http.post(f"{self._sandbox}/_faults", json=body) as answer:
            return Counter((await answer.json())["done"])


class Receiver:
    """Who is told how retries end: takes every webhook, each in a moment, and keeps it."""

    def __init__(self) -> None:
        self.told: set[tuple[str, str, str]] = set()  # unique key, type, and whose end it is
        self.url = ""
        self._called = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Receiver]:
        """Listen on a free port of the loopback."""
        receiver = cls()
        app = web.Application()
        app.router.add_post("/webhooks", receiver.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
            yield receiver
        finally:
            await runner.cleanup()

    async def take(self, request: web.Request) -> web.Response:
        """Keep what is told; told again, it is the same."""
        self._called.set()
        body = await request.json()
        said = body[body["object_type"]]
        is_failure = body["webhook_type"] == "invoice.payment_failure"
        attempt = said["error_details"]["lago_payment_id"] if is_failure else said["lago_id"]
        self.told.add((request.headers["X-Lago-Unique-Key"], body["webhook_type"], attempt))
        await asyncio.sleep(RECEIVER_THINKS_SECONDS)
        return web.Response()

    async def is_called(self) -> None:
        """Return when the next call has come in, and is not answered yet."""
        self._called.clear()
        await self._called.wait()


def free_port() -> int:
    """A port that nobody has taken, for a program that comes back to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest_asyncio.fixture
async def installation() -> AsyncIterator[Installation]:
    """A new one."""
    with scratch_folder() as folder:
        made = Installation(Path(folder))
        try:
            yield made
        finally:
            await made.clear_away()
