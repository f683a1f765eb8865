"""Decline codes: every one is sorted, once, and the best-informed one decides."""

from collections import Counter
from itertools import combinations

import pytest

from recoup.rules import declines
from recoup.rules.declines import (
    UNSORTED,
    VOCABULARIES,
    Decline,
    DeclineClass,
    ProviderKind,
    Table,
    classify,
)

NO_TRY_BY_ITSELF = {
    DeclineClass.NEVER,
    DeclineClass.NEW_METHOD,
    DeclineClass.AUTHENTICATION,
    DeclineClass.OURS,
}
TABLES: dict[str, Table] = {
    name: value
    for name, value in vars(declines).items()
    if name.isupper() and isinstance(value, dict) and not name.endswith("_WAITS")
}


def stripe(**codes: str) -> DeclineClass:
    return classify(Decline(ProviderKind.STRIPE, **codes))


def test_no_table_is_forgotten_here() -> None:
    assert sorted(TABLES) == [
        "ADYEN_ERRORS",
        "ADYEN_REFUSALS",
        "DIRECT_DEBIT_RETURNS",
        "GOCARDLESS_CAUSES",
        "GOCARDLESS_ERRORS",
        "GOCARDLESS_VAGUE_CAUSES",
        "ISO_8583",
        "MASTERCARD_ADVICE_AS_NUMBERED_BY_THE_NETWORK",
        "STRIPE_ADVICE",
        "STRIPE_DECLINES",
        "STRIPE_ERRORS",
    ]
    assert set(VOCABULARIES) == set(ProviderKind)


@pytest.mark.parametrize("name", TABLES)
def test_every_code_is_sorted_once(name: str) -> None:
    for decline_class, codes in TABLES[name].items():
        assert isinstance(decline_class, DeclineClass)
        assert isinstance(codes, tuple), "a string would be taken for its letters"
        assert all(code and code == code.strip() for code in codes)
    counts = Counter(code for codes in TABLES[name].values() for code in codes)
    assert [code for code, count in counts.items() if count > 1] == []


def test_a_code_that_stripe_uses_as_error_and_as_decline_means_one_thing() -> None:
    for (first, one), (second, other) in combinations(TABLES.items(), 2):
        if first.startswith("STRIPE") and second.startswith("STRIPE"):
            classes = {code: named for named, codes in one.items() for code in codes}
            for named, codes in other.items():
                for code in codes:
                    assert classes.get(code, named) is named, (first, second, code)


@pytest.mark.parametrize("kind", ProviderKind)
def test_every_code_that_says_to_wait_may_be_tried_again(kind: ProviderKind) -> None:
    words = VOCABULARIES[kind]
    for code in words.network_advice_waits:
        assert classify(Decline(kind, network_advice_code=code)) is DeclineClass.SOFT
    for code in words.decline_waits:
        assert classify(Decline(kind, decline_code=code)) not in NO_TRY_BY_ITSELF


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("insufficient_funds", DeclineClass.SOFT),
        ("processing_error", DeclineClass.TECHNICAL),
        ("authentication_required", DeclineClass.AUTHENTICATION),
        ("expired_card", DeclineClass.NEW_METHOD),
        ("stolen_card", DeclineClass.NEVER),
        ("fraudulent", DeclineClass.OURS),
        ("call_issuer", DeclineClass.CUSTOMER),
    ],
)
def test_one_stripe_decline_of_each_class(code: str, expected: DeclineClass) -> None:
    assert stripe(decline_code=code) is expected
    assert classify(Decline(ProviderKind.SANDBOX, decline_code=code)) is expected


# The nine declines that Stripe's own invoice retries skip unless there is a new method.
@pytest.mark.parametrize(
    "code",
    [
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "stolen_card",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
        "authentication_required",
        "highest_risk_level",
        "transaction_not_allowed",
    ],
)
def test_we_never_retry_what_stripe_itself_would_not(code: str) -> None:
    assert stripe(decline_code=code) in NO_TRY_BY_ITSELF


# Visa's category 1, as far as the published lists agree: the issuer will never approve.
@pytest.mark.parametrize(
    "code", [*("04", "07", "12", "15", "41", "43", "46", "57", "R0", "R1", "R3")]
)
def test_we_never_retry_what_visa_forbids(code: str) -> None:
    assert stripe(network_decline_code=code) in NO_TRY_BY_ITSELF


@pytest.mark.parametrize("code", ["03", "21"])
def test_we_never_retry_what_mastercard_charges_for(code: str) -> None:
    both = Decline(ProviderKind.STRIPE, decline_code="insufficient_funds", network_advice_code=code)
    assert classify(both) is DeclineClass.NEVER


def test_a_charge_that_was_perhaps_made_already_is_not_made_again() -> None:
    assert stripe(decline_code="duplicate_transaction") is DeclineClass.OURS


def test_a_card_that_stripe_blocks_gets_one_slow_try() -> None:
    assert stripe(decline_code="previously_declined_do_not_retry") is DeclineClass.CUSTOMER


def test_the_best_informed_code_decides() -> None:
    known = {
        "network_advice_code": ("03", DeclineClass.NEVER),
        "advice_code": ("try_again_later", DeclineClass.SOFT),
        "decline_code": ("expired_card", DeclineClass.NEW_METHOD),
        "network_decline_code": ("91", DeclineClass.TECHNICAL),
        "code": ("amount_too_small", DeclineClass.OURS),
    }
    fields = list(known)
    for index, field in enumerate(fields):
        codes = {name: known[name][0] for name in fields[index:]}
        assert stripe(**codes) is known[field][1]
        codes_nobody_knows = dict.fromkeys(fields[:index], "no_such_code")
        assert stripe(**codes_nobody_knows, **codes) is known[field][1]


@pytest.mark.parametrize("kind", ProviderKind)
def test_what_nobody_has_sorted_gets_the_cautious_class(kind: ProviderKind) -> None:
    assert UNSORTED is DeclineClass.CUSTOMER
    assert classify(Decline(kind)) is UNSORTED
    unknown = Decline(kind, *["no_such_code"] * 5)
    assert classify(unknown) is UNSORTED
    assert classify(Decline(kind, code="card_declined", decline_code="brand_new")) is UNSORTED


def test_no_advice_is_no_news() -> None:
    assert stripe(network_advice_code="00", decline_code="stolen_card") is DeclineClass.NEVER


def test_the_same_digits_mean_what_their_own_provider_means() -> None:
    assert classify(Decline(ProviderKind.ADYEN, decline_code="5")) is DeclineClass.NEVER
    assert stripe(network_decline_code="05") is DeclineClass.SOFT
    assert stripe(decline_code="5") is UNSORTED
    assert classify(Decline(ProviderKind.GOCARDLESS, network_advice_code="03")) is UNSORTED


def debit(**codes: str) -> DeclineClass:
    return classify(Decline(ProviderKind.GOCARDLESS, **codes))


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("insufficient_funds", DeclineClass.SOFT),
        ("refer_to_payer", DeclineClass.SOFT),
        ("daily_payment_limit_reached", DeclineClass.SOFT),
        ("mandate_cancelled", DeclineClass.NEW_METHOD),
        ("bank_account_closed", DeclineClass.NEW_METHOD),
        ("account_blocked_for_any_financial_transaction", DeclineClass.NEW_METHOD),
        ("authorisation_disputed", DeclineClass.NEVER),
        ("payer_deceased", DeclineClass.NEVER),
        ("payment_stopped", DeclineClass.NEVER),
        ("customer_approval_denied", DeclineClass.NEVER),
        ("payment_cancelled", DeclineClass.OURS),
        ("bank_declined_payment", DeclineClass.CUSTOMER),
        ("other", DeclineClass.CUSTOMER),
    ],
)
def test_why_a_debit_failed(cause: str, expected: DeclineClass) -> None:
    for code in ("failed", "canceled"):  # what it came to says less
        assert debit(code=code, decline_code=cause) is expected
    assert debit(decline_code=cause, network_decline_code="FAILED") is expected  # as instant ones


# Pairs as GoCardless lists them: the cause alone would be tried again, or not be told from another.
@pytest.mark.parametrize(
    ("cause", "reason_code", "expected"),
    [
        ("refer_to_payer", "ARUDD-0", DeclineClass.SOFT),
        ("refer_to_payer", "MS02", DeclineClass.NEVER),  # the payer has refused it
        ("refer_to_payer", "MS03", DeclineClass.CUSTOMER),
        ("refer_to_payer", "SL01", DeclineClass.CUSTOMER),
        ("refer_to_payer", "ACH_RETURN-R16", DeclineClass.NEW_METHOD),  # frozen
        ("refer_to_payer", "ACH_RETURN-R08", DeclineClass.NEVER),
        ("bank_account_closed", "MD07", DeclineClass.NEVER),  # the payer has died
        ("bank_account_closed", "ARUDD-B", DeclineClass.NEW_METHOD),
        ("other", "ARUDD-6", DeclineClass.CUSTOMER),
        ("other", "DISHONOUR-BE05", DeclineClass.NEVER),
        ("insufficient_funds", "AM04", DeclineClass.SOFT),
        ("mandate_cancelled", "MD01", DeclineClass.NEW_METHOD),
        ("authorisation_disputed", "MD01", DeclineClass.NEVER),
    ],
)
def test_a_vague_cause_gives_way_to_the_banks_own_code(
    cause: str, reason_code: str, expected: DeclineClass
) -> None:
    assert debit(decline_code=cause, network_decline_code=reason_code) is expected


@pytest.mark.parametrize(
    "code",
    ["ACH_RETURN-R02", "ACH_RETURN-R05", "ACH_RETURN-R07", "ACH_RETURN-R10", "ACH_RETURN-R29"],
)
def test_we_never_retry_what_nacha_forbids(code: str) -> None:
    told = debit(decline_code="refer_to_payer", network_decline_code=code)
    assert told in NO_TRY_BY_ITSELF


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("access_token_revoked", DeclineClass.OURS),
        ("access_token_not_found", DeclineClass.OURS),
        ("access_token_not_active", DeclineClass.OURS),
        ("insufficient_permissions", DeclineClass.OURS),
        ("validation_failed", DeclineClass.OURS),
        ("no_mandate_error", DeclineClass.OURS),
        ("canceled", DeclineClass.OURS),
        ("mandate_is_inactive", DeclineClass.NEW_METHOD),
        ("mandate_replaced", DeclineClass.NEW_METHOD),
        ("bank_account_disabled", DeclineClass.NEW_METHOD),
        ("resource_not_found", DeclineClass.NEW_METHOD),
        ("customer_approval_denied", DeclineClass.NEVER),
        ("failed", UNSORTED),
    ],
)
def test_debits_that_gocardless_turns_away(code: str, expected: DeclineClass) -> None:
    assert debit(code=code) is expected


@pytest.mark.parametrize("kind", ProviderKind)
def test_no_code_is_clear_and_vague(kind: ProviderKind) -> None:
    words = VOCABULARIES[kind]
    clear = {code for codes in words.declines.values() for code in codes}
    assert not clear & {code for codes in words.vague_declines.values() for code in codes}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("2", DeclineClass.SOFT),
        ("6", DeclineClass.NEW_METHOD),
        ("9", DeclineClass.TECHNICAL),
        ("20", DeclineClass.OURS),
        ("38", DeclineClass.AUTHENTICATION),
        ("46", DeclineClass.NEVER),
    ],
)
def test_refusals_of_adyen(code: str, expected: DeclineClass) -> None:
    assert classify(Decline(ProviderKind.ADYEN, decline_code=code)) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("000", DeclineClass.OURS),
        ("800", DeclineClass.NEW_METHOD),
        ("803", DeclineClass.NEW_METHOD),
        ("901", DeclineClass.OURS),
        ("14_030", DeclineClass.OURS),
        ("14_999", UNSORTED),
    ],
)
def test_what_adyen_turns_away(code: str, expected: DeclineClass) -> None:
    assert classify(Decline(ProviderKind.ADYEN, code=code)) is expected


def test_what_says_nothing_of_a_charge_at_adyen_is_no_decline() -> None:
    declined = {code for codes in declines.ADYEN_ERRORS.values() for code in codes}
    assert not declined & {"701", "703", "704", "903", "904"}
