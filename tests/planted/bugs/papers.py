"""Documents: who may open one, what stands on it, and whether it is ever made."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

ADDRESS: Final = "tests/rules/test_document_address.py::"
OPENED: Final = "tests/api/test_documents.py::"
PAPERS: Final = "tests/api/test_note_and_receipt_documents.py::"
WITH_MAIL: Final = "tests/flows/test_mail_with_document.py::"
MADE: Final = "tests/flows/test_make_document.py::"
PRESS: Final = "tests/documents/test_press.py::"
FORMATS: Final = "tests/documents/test_formats.py::"
STORAGE: Final = "tests/documents/test_storage.py::"
TYPESETTER: Final = "tests/documents/test_typesetter.py::"
FLOW: Final = "flows/make_document.py"

BUGS: Final = (
    Bug(
        "a process that is killed while it sets a page is the logo's fault",
        "The machine was short of memory for a moment, and an invoice is without logo for ever.",
        (
            Edit(
                FLOW,
                "    if pdf.process_died and may_be_chance(tries):\n        return pdf, logo\n",
                "",
            ),
        ),
        (f"{MADE}test_a_process_that_dies_by_chance_costs_no_document_its_logo",),
    ),
    Bug(
        "a picture that kills the process is never given up",
        "A merchant's odd picture costs them every invoice.",
        (
            Edit(
                "rules/document_schedule.py",
                "    return typeset_tries < DEATHS_BY_CHANCE\n",
                "    return True\n",
            ),
        ),
        (f"{MADE}test_a_picture_that_kills_the_process_each_time_is_left_out",),
    ),
    Bug(
        "a document's signature is not bound to its organization",
        "A signature of one tenant is good in another one's name.",
        (
            Edit(
                "rules/document_address.py",
                'said = f"{organization_id}/{document_id}?{expires}".encode()',
                'said = f"{document_id}?{expires}".encode()',
            ),
        ),
        (ADDRESS + "test_a_signature_is_bound_to_organization_and_document",),
    ),
    Bug(
        "a document's address never ends",
        "Whoever once had it reads invoices for ever.",
        (
            Edit(
                "rules/document_address.py",
                "return Opens.YES if now.astimezone(UTC).timestamp() < until else Opens.EXPIRED",
                "return Opens.YES",
            ),
        ),
        (ADDRESS + "test_an_address_opens_its_document_until_its_end",),
    ),
    Bug(
        "a document is opened without a look at its signature",
        "Whoever guesses an id reads an invoice.",
        (
            Edit(
                "rules/document_address.py",
                "if str(until) != expires or not _same(ours, signature):",
                "if str(until) != expires:",
            ),
        ),
        (ADDRESS + "test_whatever_is_carried_that_is_not_ours_opens_nothing",),
    ),
    Bug(
        "a tenant's text is markup",
        "An invoice runs what a customer's name says.",
        (
            Edit(
                "documents/templates/base.typ",
                "        text(weight: 600, row.name)\n",
                '        text(weight: 600, eval(row.name, mode: "markup"))\n',
            ),
        ),
        (PRESS + "test_what_a_tenant_wrote_is_text_and_never_markup",),
    ),
    Bug(
        "a document shows what is true when it is made",
        "An invoice changes after it was sent: another address, another bank account.",
        (
            Edit(
                "flows/make_document.py",
                "    page = read(document.page)\n",
                "    async with db.transaction(pool, tenants=[key.organization_id]) as conn:\n"
                "        from recoup.rules.document_pages import invoice_page\n"
                "        from recoup.store import organizations\n"
                "        fresh = (await invoices.details(conn, [document.of]))[document.of]\n"
                "        mine = await organizations.billing_entities(conn, key.organization_id)\n"
                "    page = invoice_page(fresh, mine[0])\n",
            ),
        ),
        (MADE + "test_a_document_shows_what_was_true_at_issue",),
    ),
    Bug(
        "a void invoice keeps its document",
        "Whoever has the address sees an invoice that is to be paid.",
        (
            Edit(
                "flows/void_invoice.py",
                "    await void_document(conn, DocumentKind.INVOICE, invoice.key, now=now)\n",
                "",
            ),
        ),
        (OPENED + "test_a_void_invoice_is_marked_and_its_old_address_is_gone",),
    ),
    Bug(
        "a void document is not marked",
        "It looks like one that is to be paid.",
        (
            Edit(
                "flows/issue_document.py",
                "    page = voided(page, on=issued_on(now=now, timezone=page.timezone))\n",
                "    voided(page, on=issued_on(now=now, timezone=page.timezone))\n",
            ),
        ),
        (OPENED + "test_a_void_invoice_is_marked_and_its_old_address_is_gone",),
    ),
    Bug(
        "a replaced document can be opened while its file is there",
        "The old address of a void invoice shows it as it was.",
        (
            Edit(
                "flows/open_document.py",
                "    if document.replaced_at is not None:\n        raise Refused(REPLACED)\n",
                "",
            ),
            Edit(
                "store/documents.py",
                "SET replaced_at = $3, has_file = false, make_at",
                "SET replaced_at = $3, make_at",
            ),
        ),
        (OPENED + "test_a_void_invoice_is_marked_and_its_old_address_is_gone",),
    ),
    Bug(
        "a file that was made too late stays",
        "The unmarked file of an invoice that was voided meanwhile is kept, and told of.",
        (
            Edit(
                "store/documents.py",
                "             WHERE organization_id = $1 AND id = $2 AND replaced_at IS NULL\n"
                "               FOR NO KEY UPDATE) AS before",
                "             WHERE organization_id = $1 AND id = $2\n"
                "               FOR NO KEY UPDATE) AS before",
            ),
        ),
        (MADE + "test_a_void_while_it_is_made_leaves_no_unmarked_file",),
    ),
    Bug(
        "a lost file is never missed",
        "A folder was restored, and its invoices cannot be opened any more.",
        (
            Edit(
                "flows/open_document.py",
                "            await make_again(conn, key, now=now)\n        raise Refused(NOT_YET)",
                "            pass\n        raise Refused(NOT_YET)",
            ),
        ),
        (OPENED + "test_a_file_that_is_lost_is_made_again",),
    ),
    Bug(
        "a document that was made again is told of again",
        "A receiver sends its customer the same invoice twice.",
        (
            Edit(FLOW, "        if is_first:\n", "        if is_first is not None:\n"),
            Edit(FLOW, "        cause=document.id,", "        cause=uuid5(document.id, str(url)),"),
            Edit(
                FLOW,
                "from typing import assert_never\n",
                "from typing import assert_never\nfrom uuid import uuid5\n",
            ),
        ),
        (OPENED + "test_a_file_that_is_lost_is_made_again",),
    ),
    Bug(
        "a page that cannot be set is tried for ever",
        "It takes the typesetting process with it every minute, and nobody is told.",
        (
            Edit(
                "rules/document_schedule.py",
                "    if tries > len(TYPESET_WAITS):\n        return None\n",
                "    tries = min(tries, len(TYPESET_WAITS))\n",
            ),
        ),
        (MADE + "test_a_page_that_cannot_be_set_is_given_up_and_told_of",),
    ),
    Bug(
        "a document is forgotten with the worker who made it",
        "It was killed half way, and the row waits for nobody.",
        (
            Edit(
                FLOW,
                "        await documents.put_off(conn, key, until=leased_until)\n",
                "        await documents.removed(conn, key)\n",
            ),
        ),
        (MADE + "test_killed_between_the_file_and_the_commit_it_is_made_again",),
    ),
    Bug(
        "an amount has the digits that coins have",
        "An invoice in Lebanese pounds leaves out its minor units.",
        (
            Edit(
                "documents/formats.py",
                "self.locale, currency=currency, currency_digits=False)",
                "self.locale, currency=currency, currency_digits=True)",
            ),
        ),
        (FORMATS + "test_an_amount_has_its_currencys_digits",),
    ),
    Bug(
        "units that nobody has ever seen are formatted like any",
        "A line of 1e300 units is three hundred digits wide, or no document at all.",
        (
            Edit(
                "documents/formats.py",
                "    return value.is_finite() and (not value or",
                "    return True or (not value or",
            ),
        ),
        (FORMATS + "test_a_number_is_no_wider_than_a_page",),
    ),
    Bug(
        "a footer takes the whole page",
        "Six hundred line breaks leave no room, and typesetting never ends.",
        (
            Edit(
                "documents/sheet_parts.py",
                "        if left == 0:\n            break\n",
                "        if left == 0:\n            shown.append(line)\n            continue\n",
            ),
        ),
        ("tests/documents/test_sheets.py::test_a_footer_leaves_room_for_the_page",),
    ),
    Bug(
        "half of a file can be read",
        "Who opens an invoice while it is written gets a broken one.",
        (
            Edit(
                "documents/folder.py",
                "        Path(made).replace(path)\n",
                "        path.write_bytes(content)\n",
            ),
        ),
        (STORAGE + "test_a_folder_leaves_nothing_beside_its_files",),
    ),
    Bug(
        "a missing object is trouble",
        "A store that may not list says 403 of it, and the lost file is never made again.",
        (
            Edit(
                "documents/bucket.py",
                "        except PermissionDeniedError:\n"
                "            await self._make_sure_of_reading()\n"
                "            return None\n",
                "",
            ),
        ),
        (STORAGE + "test_a_403_is_a_missing_object_only_as_long_as_reading_is_allowed",),
    ),
    Bug(
        "a logo is fetched from wherever its name points to",
        "A tenant reads what the operator's own network answers.",
        (
            Edit(
                "senders/pictures.py",
                "        if isinstance(found, NotAllowed):\n"
                "            return NotFetched(found.why)\n",
                "        if isinstance(found, NotAllowed):\n"
                "            found = await self._resolve(url.raw_host, url.port)\n",
            ),
        ),
        ("tests/senders/test_pictures.py::test_nobody_makes_us_ask_this_machine",),
    ),
    Bug(
        "a receipt shows another payment of its batch",
        "A payer reads what somebody else has paid.",
        (
            Edit(
                "flows/issue_receipts.py",
                "about = received[receipt.payment_key]",
                "about = next(iter(received.values()))",
            ),
        ),
        (PAPERS + "test_receipts_of_one_batch_are_each_of_their_own_payment",),
    ),
    Bug(
        "a credit note is shown with its document before that is made",
        "Its address opens nothing, and whoever was given it does not come back.",
        (
            Edit(
                "store/documents.py",
                "WHERE d.replaced_at IS NULL AND d.has_file",
                "WHERE d.replaced_at IS NULL",
            ),
        ),
        (PAPERS + "test_a_note_is_downloaded_once_it_is_made",),
    ),
    Bug(
        "a note's document is told of each time it is made",
        "Whoever listens mails the customer once more for a file that was lost.",
        (
            Edit(FLOW, "        if is_first:\n", "        if is_first is not None:\n"),
            Edit(FLOW, "cause=document.id,", "cause=__import__('uuid').uuid4(),"),
        ),
        (PAPERS + "test_a_note_is_told_once_with_an_address_that_opens",),
    ),
    Bug(
        "a note that has paid back is marked void when its credit lapses",
        "Its document denies a refund that the customer has got.",
        (
            Edit(
                "flows/update_credit_note.py",
                "if note.balance_cents == note.total_cents:",
                "if note.balance_cents:",
            ),
        ),
        (PAPERS + "test_a_note_that_also_paid_back_stays_what_it_was",),
    ),
    Bug(
        "a mail waits for its document for ever",
        "The customer is never told, since the page cannot be set.",
        (
            Edit(
                "rules/mail_schedule.py",
                "now + LOOKS[tries - 1] if tries <= len(LOOKS) else None",
                "now + LOOKS[min(tries, len(LOOKS)) - 1]",
            ),
        ),
        (WITH_MAIL + "test_a_pdf_that_does_not_come_is_not_waited_for_for_ever",),
    ),
    Bug(
        "a document wakes the mails of nobody",
        "Each mail with a document comes a minute late, or more.",
        (Edit("flows/make_document.py", "await mails.wake(conn, document.of, now=now)", "[]"),),
        (WITH_MAIL + "test_a_mail_waits_for_its_pdf_and_is_woken_by_it",),
    ),
    Bug(
        "the typesetting process ends with the signal that its parent was sent",
        "A page dies under a restart, its logo is blamed, and it stands without one for ever.",
        (
            Edit(
                "documents/typesetting_child.py",
                "        signal.signal(told, signal.SIG_IGN)\n",
                "        signal.signal(told, signal.SIG_DFL)\n",
            ),
        ),
        (TYPESETTER + "test_it_ends_when_its_parent_says_so_and_not_with_the_whole_group",),
    ),
    Bug(
        "the typesetting process knows our secrets",
        "A hole in a library that reads strangers' pictures opens the master key.",
        (Edit("documents/typesetter.py", "                env=_told(),\n", ""),),
        (TYPESETTER + "test_it_is_not_told_the_secrets_of_its_parent",),
    ),
    Bug(
        "a logo that no page can be set with is tried with every page",
        "One tenant's picture takes the typesetter for its whole deadline, document by document,"
        " and everybody else's wait.",
        (
            Edit(
                FLOW,
                "        tools.logos.leave_out(key.organization_id, page.logo_url, now=now())\n",
                "        pass\n",
            ),
        ),
        (MADE + "test_a_picture_that_cannot_be_set_holds_others_up_once",),
    ),
    Bug(
        "a bucket that no longer lets us read seems to have lost every file",
        "Each document is made anew for each reader, and nobody learns of the policy.",
        (Edit("documents/bucket.py", "            await self._make_sure_of_reading()\n", ""),),
        (STORAGE + "test_a_403_is_a_missing_object_only_as_long_as_reading_is_allowed",),
    ),
)
