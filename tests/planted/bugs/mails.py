"""Mails to customers, and the page that they lead to."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

SENDER: Final = "tests/senders/test_mail.py"
FLOW: Final = "tests/flows/test_send_mail.py"
PORTAL: Final = "tests/pay/test_portal.py"
FLOW_CODE: Final = "flows/send_mail.py"
MAIL: Final = "senders/mail.py"

BUGS: Final = (
    Bug(
        "whom a mail server puts off gets nothing, where others got it",
        "A full mailbox, or a server that takes a stranger's mail the second time: no reminder.",
        (Edit(FLOW_CODE, "                if outcome.later:\n", "                if False:\n"),),
        (FLOW,),
    ),
    Bug(
        "a mail that is sent again to one goes to all again",
        "Whoever has it gets it eight times more, because of a colleague's full mailbox.",
        (Edit(MAIL, " if one not in letter.answered]", "]"),),
        (SENDER, FLOW),
    ),
    Bug(
        "a line break in a tenant's name goes into the header of its mails",
        "Its mails are never sent; or it writes headers of its own, and mails to whom it likes.",
        (
            Edit(
                MAIL,
                'line = " ".join("".join(one if one.isprintable() else " " for one in text)'
                ".split())",
                "line = text",
            ),
        ),
        (SENDER,),
    ),
    Bug(
        "a line break that is spelled in a tenant's name is written out in its mails",
        "A merchant writes headers and texts of its own under the operator's address.",
        (Edit(MAIL, 'return line.replace(_ENCODED, "= ?")', "return line"),),
        (SENDER,),
    ),
    Bug(
        "who gets a blind copy is in the header",
        "Every customer reads the address of the merchant's bookkeeper.",
        (
            Edit(
                MAIL,
                "        if letter.reply_to:\n",
                '        message["Bcc"] = ", ".join(letter.blind_copies)\n'
                "        if letter.reply_to:\n",
            ),
        ),
        (SENDER,),
    ),
    Bug(
        "a mail goes in plain to a server that offers no TLS",
        "Whoever listens between the two reads customers' invoices, and the links to pay them.",
        (Edit(MAIL, "start_tls=server.start_tls,", "start_tls=None,"),),
        (SENDER,),
    ),
    Bug(
        "a password is sent without TLS, where an address says so",
        "Whoever listens sends mail in the merchant's name from then on.",
        (
            Edit(
                MAIL,
                'if parts.scheme == "smtp" and parts.password and asked == "no":',
                'if parts.scheme == "smtp" and not parts.hostname:',
            ),
        ),
        (SENDER,),
    ),
    Bug(
        "an answer that was lost is taken for a yes",
        "The customer never hears of the invoice, and nobody knows.",
        (
            Edit(
                MAIL,
                "return AnswerLost(why) if self._was_given else NotTaken(why)",
                "return Accepted() if self._was_given else NotTaken(why)",
            ),
        ),
        (SENDER,),
    ),
    Bug(
        "two workers send the same mail at once",
        "The customer gets every invoice twice, and pays one twice by hand.",
        (
            Edit(
                "store/mails.py",
                "AND state = 'waiting' AND send_at <= $3\n RETURNING",
                "AND $3::timestamptz IS NOT NULL\n RETURNING",
            ),
        ),
        (FLOW,),
    ),
    Bug(
        "a mail that is not taken is tried for ever",
        "Nobody is told that it was never sent.",
        (
            Edit(
                "rules/mail_schedule.py",
                "WAITS[tries - 1] if tries <= len(WAITS) else None",
                "WAITS[min(tries, len(WAITS)) - 1]",
            ),
        ),
        (FLOW,),
    ),
    Bug(
        "a payer's link pays an invoice that is another customer's",
        "Whoever has a link opens pages for strangers' debts, also those of other tenants.",
        (
            Edit(
                "store/portal_invoices.py",
                "WHERE i.organization_id = $1 AND i.customer_id = $2\n",
                "WHERE i.organization_id = $1 AND $2::uuid IS NOT NULL\n",
            ),
        ),
        (PORTAL,),
    ),
    Bug(
        "a payer's link is logged where a provider's secrets do not open",
        "Whoever reads the logs sees what the customer owes, and to whom.",
        (Edit("pay/portal.py", ", WrongSecretKeyError: _failed}", "}"),),
        (PORTAL,),
    ),
    Bug(
        "a payer's link has no end",
        "A link in an old mail shows what its customer owes to whoever finds it, for ever.",
        (Edit("flows/portal_links.py", "if now >= ends:", "if ends.year < 2000:"),),
        (PORTAL, FLOW),
    ),
    Bug(
        "a payer sees drafts",
        "The customer pays what was never issued, or reads what was thought better of.",
        (
            Edit(
                "store/portal_invoices.py",
                "i.status IN ('finalized', 'voided')",
                "i.status IN ('finalized', 'voided', 'draft')",
            ),
        ),
        (PORTAL,),
    ),
    Bug(
        "what a tenant calls itself is put into the payer's page as it is",
        "A tenant, or who has its key, runs scripts where payers pay.",
        (
            Edit(
                "pay/pages.py",
                'f"<body><main><h1>{escape(title)}</h1>',
                'f"<body><main><h1>{title}</h1>',
            ),
        ),
        (PORTAL,),
    ),
)
