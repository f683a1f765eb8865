"""Why a direct debit came to nothing, in GoCardless's words and in the bank schemes', by class.

Called by `rules/declines.py`, which says how the tables are read.

Sources: the lists of causes and reason codes in https://developer.gocardless.com/api-reference/
(section "Event types", payments `failed` and `cancelled`; section "Errors") and, for what a bank
means by its code, Bacs's ARUDD list, EPC's reason codes of SEPA direct debits and Nacha's returns.

What would surprise you: a cause may say less than the reason code beside it. `refer_to_payer` is
an account without funds, or a payer who refuses; `bank_account_closed` is a payer who has died, or
moved. Such causes are asked last.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from recoup.rules.decline_class import DeclineClass, Table

# What GoCardless says of a payment that has `failed`, or was `cancelled`.
GOCARDLESS_CAUSES: Final[Table] = {
    DeclineClass.NEVER: (
        *("authorisation_disputed", "return_on_odfi_request"),  # a legal matter from here on
        "payer_deceased",  # and no more messages either
        *("payment_stopped", "customer_approval_denied"),  # the payer was asked, and said no
    ),
    DeclineClass.NEW_METHOD: (
        *("mandate_cancelled", "mandate_expired", "initial_one_off_payment_failed"),
        *("invalid_bank_details", "direct_debit_not_enabled", "bank_account_disabled"),
        "account_blocked_for_any_financial_transaction",
        "bank_account_transferred",  # the mandate often follows by itself, and is a new one then
        "payment_violated_mandate_parameters",  # the payer has consented to less than this
    ),
    DeclineClass.OURS: (
        "no_mandate_error",  # contract section 5.5: there was nothing to charge
        "payment_cancelled",  # by somebody at the dashboard, or by us
    ),
    DeclineClass.SOFT: (
        *("insufficient_funds", "daily_payment_limit_reached"),
        "test_failure",  # of GoCardless's own sandbox, where the schedule is rehearsed
    ),
    DeclineClass.CUSTOMER: (
        *("bank_declined_payment", "insufficient_payment_permissions"),
        "mandate_suspended_by_payer",  # who may resume it
    ),
}

# Causes under which banks report several things. They decide where the reason code does not.
GOCARDLESS_VAGUE_CAUSES: Final[Table] = {
    DeclineClass.NEW_METHOD: ("bank_account_closed",),
    DeclineClass.SOFT: ("refer_to_payer",),
    DeclineClass.CUSTOMER: ("other",),
}

# How long a cause itself says to wait.
GOCARDLESS_CAUSE_WAITS: Final[Mapping[str, timedelta]] = {
    "daily_payment_limit_reached": timedelta(hours=24),
}

# The schemes' own words, by GoCardless's spelling of them.
DIRECT_DEBIT_RETURNS: Final[Table] = {
    DeclineClass.NEVER: (
        *("ARUDD-2", "ADDACS-2", "AUDDIS-2", "MD07", "ACH_RETURN-R14", "ACH_RETURN-R15"),  # died
        "PAYMENT_STATUS_REPORT-910",
        *("ARUDD-4", "ARUDD-7", "ADDACS-D"),  # disputes the notice, the amount
        # No mandate: withdrawn in SEPA, disputed in Australia; the more cautious of the two.
        "MD01",
        *("UDUNAUT", "DISHONOUR-BE05"),
        *("PAYMENT_STATUS_REPORT-915", "PAYMENT_STATUS_REPORT-916", "PAYMENT_STATUS_REPORT-918"),
        *("PAYMENT_STATUS_REPORT-919", "PAYMENT_STATUS_REPORT-921"),
        *("ACH_RETURN-R05", "ACH_RETURN-R06", "ACH_RETURN-R07", "ACH_RETURN-R10"),
        *("ACH_RETURN-R11", "ACH_RETURN-R29", "ACH_RETURN-R31", "ACH_RETURN-R51"),
        # The payer has refused this debit, or had it stopped.
        *("MS02", "PAYMENT_INFORMATION-0237", "DISHONOUR-MS01"),
        *("ACH_RETURN-R08", "ACH_RETURN-R23"),
    ),
    DeclineClass.NEW_METHOD: (
        *("ARUDD-1", "ARUDD-3", "ARUDD-5", "ARUDD-B", "ARUDD-E", "ARUDD-Y"),
        *("AC01", "AC04", "AC06", "AG01", "BE06", "RC02", "DEN", "CBC"),
        *("ACH_RETURN-R02", "ACH_RETURN-R03", "ACH_RETURN-R04", "ACH_RETURN-R12"),
        *("ACH_RETURN-R13", "ACH_RETURN-R16", "ACH_RETURN-R20", "ACH_RETURN-R28"),
        *("ACH_RETURN-R34", "ACH_RETURN-R82"),
        *("DISHONOUR-AC03", "DISHONOUR-AC04", "DISHONOUR-AC05", "DISHONOUR-AG01"),
        *("INFORMATION_LIST-0253", "PAYMENT_INFORMATION-0238", "PAYMENT_STATUS_REPORT-905"),
        *("PAYMENT_STATUS_REPORT-917", "PAYMENT_STATUS_REPORT-920"),
    ),
    DeclineClass.OURS: ("ARUDD-8", "ARUDD-9", "ARUDD-A"),
    DeclineClass.SOFT: (
        *("ARUDD-0", "AM04", "DISHONOUR-AM04", "INFORMATION_LIST-0282"),
        "PAYMENT_STATUS_REPORT-901",
        *("ACH_RETURN-R01", "ACH_RETURN-R09"),  # the only ones that Nacha lets be tried again
    ),
    DeclineClass.CUSTOMER: (
        # A bank that does not know the mandate: not yet, says GoCardless of small ones, or no more.
        "ARUDD-6",
        *("MS03", "RR04"),  # no reason given; worth one try, which is what this class has
        # The account takes some debits and not others, as its holder has it.
        *("SL01", "DISHONOUR-AM02", "PAYMENT_STATUS_REPORT-907", "PAYMENT_STATUS_REPORT-911"),
        "PAYMENT_STATUS_REPORT-990",
        *("ACH_RETURN-R32", "ACH_RETURN-R67", "ACH_RETURN-R75", "ACH_RETURN-R83"),  # among banks
    ),
}

# Reasons for which GoCardless turns a request away, and where it gives none, the type of the error;
# beside them what a payment came to, where no event tells its cause. `failed` is missing on
# purpose: alone, or beside a cause that we do not know, it says nothing.
GOCARDLESS_ERRORS: Final[Table] = {
    DeclineClass.NEVER: ("customer_approval_denied",),
    DeclineClass.NEW_METHOD: (
        *("mandate_is_inactive", "mandate_replaced", "bank_account_disabled"),
        *("resource_not_found", "link_not_found", "customer_data_removed"),
    ),
    DeclineClass.OURS: (
        "no_mandate_error",
        "canceled",  # at the dashboard or by us, or with its mandate
        # The token, and what it may do.
        *("access_token_not_found", "access_token_not_active", "access_token_revoked"),
        *("missing_authorization_header", "invalid_authorization_header", "unauthorized"),
        *("forbidden", "insufficient_permissions", "feature_disabled"),
        # The request: what one charge has wrong, the next has as well.
        *("validation_failed", "invalid_state", "invalid_api_usage", "bad_request"),
        *("invalid_type", "invalid_document_structure", "invalid_content_type"),
        *("invalid_filters", "idempotency_key_too_long", "request_entity_too_large"),
        *("method_not_allowed", "not_acceptable", "unsupported_media_type", "path_not_found"),
        *("not_found", "missing_version_header", "version_not_found", "tls_required"),
    ),
}
