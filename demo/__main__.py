"""`make demo`: walk one invoice from a decline to paid, then keep serving until Ctrl-C or SIGTERM.

`--exit` stops after the walk: status 0 if the invoice was paid with exactly one successful charge.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from demo.processes import DemoError, Program, free_port, own_environment
from demo.receiver import Receiver
from demo.screen import Screen
from demo.walk import ADD_ON, CUSTOMER, Place, walk

API_PORT: Final = 8000
SANDBOX_PORT: Final = 8400
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Somebody wants us to end; no error, so nothing that catches errors may hold it up."""


def main() -> int:
    options = _options()
    screen = Screen()
    walked = False
    for ending in ENDINGS:
        signal.signal(ending, _end)
    with ExitStack() as stack:
        stack.callback(_ignore_signals)  # the last to be done, when all is over
        programs: list[Program] = []
        try:
            place, key, invoice_id = _begin(options, screen, stack, programs)
            walked = True
            _show_where(place, key, invoice_id, screen)
            if not options.exit:
                screen.line("\nServing until Ctrl-C.")
                programs[-1].wait_until_over()
                raise DemoError("Recoup has ended by itself.")
        except Ended:
            screen.line("\nEnding.")
            return 0 if walked else 130
        except Exception as error:  # noqa: BLE001  whatever it was: name it, and show the logs
            screen.bad("This did not work", f"{type(error).__name__}: {error}")
            for program in programs:
                if lines := program.last_lines():
                    screen.bad(f"The end of {program.log.name}", "\n".join(lines))
            return 1
        finally:
            _ignore_signals()  # what ends from here on ends in order
    return 0


def _begin(
    options: argparse.Namespace, screen: Screen, stack: ExitStack, programs: list[Program]
) -> tuple[Place, str, str]:
    screen.headline(
        "Recoup",
        "One invoice: its charge is declined, a retry is asked for, and it is paid. We ask with"
        " Lago's own Python client, unmodified, and the money is the sandbox's.\n"
        "sent: what we ask   back: the answer   told: a webhook   so: what it means",
    )
    data_dir = options.data_dir or Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="recoup-demo-"))
    )
    data_dir.mkdir(parents=True, exist_ok=True)
    receiver = stack.enter_context(Receiver())

    def start(*arguments: str, **settings: str) -> str:
        log = data_dir / f"{arguments[0]}.log"
        environment = own_environment(data_dir, **settings)
        program = Program(*arguments, environment=environment, log=log)
        programs.append(stack.enter_context(program))
        return program.wait_until_ready()

    with screen.step("Start a provider to play with, and Recoup on a database of its own") as step:
        port = free_port(SANDBOX_PORT)
        step.sent(f"recoup sandbox --port {port}")
        ledger = data_dir / "sandbox.sqlite"
        sandbox = start("sandbox", "--port", str(port), "--ledger", str(ledger))
        step.back(f"ready {sandbox}")
        port = free_port(API_PORT)
        step.sent(f"recoup serve --port {port} --data-dir {data_dir}")
        api = start(
            "serve", "--port", str(port), "--data-dir", str(data_dir),
            RECOUP_SANDBOX_API_BASE=sandbox,
            RECOUP_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8",
        )  # fmt: skip
        step.back(f"ready {api}")
    place = Place(api, sandbox, own_environment(data_dir))
    return place, *walk(place, receiver, screen)


def _show_where(place: Place, key: str, invoice_id: str, screen: Screen) -> None:
    screen.good("Paid, with exactly one successful charge at the provider.")
    authorization = f"-H 'Authorization: Bearer {key}'"
    asked = (
        f'{{"invoice":{{"external_customer_id":"{CUSTOMER}","currency":"EUR",'
        f'"fees":[{{"add_on_code":"{ADD_ON}"}}]}}}}'
    )
    screen.line(f"The API, described   {place.api}/api/v1/docs")
    screen.line(f"Its provider's books {place.sandbox}/charges\n")
    screen.line("Read the invoice again:")
    screen.line(f"  curl -s {authorization} {place.api}/api/v1/invoices/{invoice_id}")
    screen.line("Sell another one, which will be declined like the first:")
    screen.line(
        f"  curl -s {authorization} -H 'Content-Type: application/json'"
        f" -d '{asked}' {place.api}/api/v1/invoices"
    )
    screen.line("Then retry it by the lago_id that it answers:")
    screen.line(f"  curl -si -X POST {authorization} {place.api}/api/v1/invoices/ID/retry_payment")
    screen.line(
        "Or open the page where its customer leaves another card, which collects it at once:"
    )
    screen.line(
        f"  curl -s -X POST {authorization} {place.api}/api/v1/customers/{CUSTOMER}/checkout_url"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="stop after the walk")
    parser.add_argument(
        "--data-dir", type=Path, help="keep the data in this folder (default: one that goes again)"
    )
    return parser.parse_args()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise Ended


def _ignore_signals() -> None:
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
