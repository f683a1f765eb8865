"""Why a card was declined, in the words of the networks, of Stripe and of Adyen, by class.

Called by `rules/declines.py`, which says how the tables are read.

They are data; a test sees that no code is in one twice. `*(…)` keeps on one line what belongs
together. Where our sources disagree, or name two classes, the more cautious one was taken and a
comment says why.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from recoup.rules.decline_class import DeclineClass, Table

# Mastercard's merchant advice codes as the network numbers them, for providers that pass them on
# unchanged (not Rapyd, for one). Sources: Cybersource, Antom, Peach and Braintree pages. `00` is
# missing on purpose: no advice, so the decline's own code speaks.
MASTERCARD_ADVICE_AS_NUMBERED_BY_THE_NETWORK: Final[Table] = {
    DeclineClass.NEVER: (
        *("03", "99"),  # do not try again; 03 within 30 days costs a fee
        "05",  # blocked by the scheme
        "21",  # the holder has cancelled the recurring payment
        "42",  # sanctions score; ours to look into as well, but never the engine's to try
    ),
    DeclineClass.NEW_METHOD: (
        "01",  # new account information is available
        *("40", "41"),  # prepaid that is not reloadable, virtual card for a single use
    ),
    DeclineClass.OURS: ("04", "22"),  # token not supported; product code not ours to use
    DeclineClass.SOFT: (
        "02",  # try again later
        *("24", "25", "26", "27", "28", "29", "30"),  # not before a given time, see below
        "43",  # virtual card for several uses
    ),
}

# How long such advice says to wait. Source: the same pages; 72 hours for 02: Airwallex.
MASTERCARD_ADVICE_WAITS: Final[Mapping[str, timedelta]] = {
    "02": timedelta(hours=72),
    "24": timedelta(hours=1),
    "25": timedelta(hours=24),
    "26": timedelta(days=2),
    "27": timedelta(days=4),
    "28": timedelta(days=6),
    "29": timedelta(days=8),
    "30": timedelta(days=10),
}

# ISO 8583, data element 39, for cards that are not present. Sources: TabaPay, Evolve, Forte,
# retries.com, Checkout.com, payabl. Cash limits (N3, N4) cannot happen here.
ISO_8583: Final[Table] = {
    DeclineClass.NEVER: (
        *("04", "07", "41", "43"),  # pick up, lost, stolen: the payer is never told which
        "15",  # no such issuer
        "46",  # account closed
        "57",  # not permitted to this cardholder
        "93",  # would violate a law
        *("R0", "R1", "R3"),  # payment stopped, authorization revoked; R3: all of the card's
    ),
    DeclineClass.NEW_METHOD: (
        "14",  # no such account; the networks' lists disagree, none finds a retry useful
        *("52", "53"),  # no checking, no savings account
        "54",  # expired
        "62",  # restricted; category 1 in one list, 2 in another
    ),
    DeclineClass.AUTHENTICATION: ("1A",),
    DeclineClass.OURS: ("03", "12", "13", "58"),  # merchant, transaction, amount, terminal
    DeclineClass.SOFT: (
        "05",  # do not honour
        "51",  # insufficient funds
        *("61", "65"),  # limits; Mastercard's 65 may mean SCA: then the decline code says so
    ),
    DeclineClass.TECHNICAL: ("06", "19", "28", "86", "91", "96"),
    DeclineClass.CUSTOMER: (
        *("01", "02"),  # refer to issuer
        *("55", "75"),  # PIN
        "59",  # suspected fraud
        "63",  # security violation
        "78",  # card not unblocked yet
        *("82", "N7"),  # CVV; as Stripe's incorrect_cvc
    ),
}

# Stripe's decline codes. Sources: docs.stripe.com/declines/codes, Stripe's list of declines that
# its own invoice retries skip, Polar's list of those never to retry.
STRIPE_DECLINES: Final[Table] = {
    DeclineClass.NEVER: (
        *("lost_card", "stolen_card", "pickup_card", "restricted_card", "security_violation"),
        *("stop_payment_order", "revocation_of_authorization"),
        *("revocation_of_all_authorizations", "do_not_try_again"),
    ),
    DeclineClass.NEW_METHOD: (
        *("expired_card", "incorrect_number", "invalid_number", "invalid_expiry_month"),
        *("invalid_expiry_year", "invalid_account", "new_account_information_available"),
        *("incorrect_pin", "invalid_pin", "pin_try_exceeded", "offline_pin_required"),
        *("online_or_offline_pin_required", "not_permitted", "transaction_not_allowed"),
        # Could be our settings as well, but with another method the customer gets it done today.
        *("card_not_supported", "currency_not_supported", "service_not_allowed"),
    ),
    DeclineClass.AUTHENTICATION: (
        *("authentication_required", "authentication_not_handled"),
        "mobile_device_authentication_required",
    ),
    DeclineClass.OURS: (
        # The same charge was seen a moment ago and may have gone through: somebody must look. A
        # retry could take the money twice, so it is in the class where the engine does nothing.
        "duplicate_transaction",
        *("fraudulent", "merchant_blacklist", "blocklist", "rule", "highest_risk_level"),
        "invalid_amount",  # sometimes the customer's limit; the same amount fails again anyway
        *("testmode_decline", "live_mode_test_card"),
    ),
    DeclineClass.SOFT: (
        *("insufficient_funds", "generic_decline", "do_not_honor"),
        *("card_velocity_exceeded", "withdrawal_count_limit_exceeded"),
        # May be over in minutes; whoever waits a day loses little.
        *("try_again_later", "approve_with_id", "no_action_taken"),
    ),
    DeclineClass.TECHNICAL: ("processing_error", "issuer_not_available", "reenter_transaction"),
    DeclineClass.CUSTOMER: (
        *("call_issuer", "incorrect_cvc", "invalid_cvc", "incorrect_zip", "incorrect_address"),
        # Stripe did not even ask: the card has been declined too often. It cools down (see the
        # waits below), and another card works at once. One slow try is what this class has.
        "previously_declined_do_not_retry",
    ),
}

# How long a decline itself says to wait. Sources: the limits are by the day; one merchant's
# observation for the card that Stripe blocks (two to three days).
STRIPE_DECLINE_WAITS: Final[Mapping[str, timedelta]] = {
    "card_velocity_exceeded": timedelta(hours=24),
    "withdrawal_count_limit_exceeded": timedelta(hours=24),
    "previously_declined_do_not_retry": timedelta(days=3),
}

# Stripe's word to merchants beside the decline code. Source: docs.stripe.com/declines/card.
STRIPE_ADVICE: Final[Table] = {
    DeclineClass.NEVER: ("do_not_try_again",),
    DeclineClass.NEW_METHOD: ("confirm_card_data",),
    DeclineClass.SOFT: ("try_again_later",),
}

# Stripe's error codes and, where it gives none, the names of its error classes: the request was
# turned away. Sources: contract section 5.5, docs.stripe.com/error-codes. `card_declined` is
# missing on purpose: alone, or beside a decline code that we do not know, it says nothing.
STRIPE_ERRORS: Final[Table] = {
    DeclineClass.NEW_METHOD: (
        *("expired_card", "incorrect_number", "invalid_number", "invalid_expiry_month"),
        "invalid_expiry_year",
    ),
    DeclineClass.AUTHENTICATION: ("authentication_required",),
    DeclineClass.OURS: (
        *("amount_too_small", "amount_too_large", "missing_country"),
        *("InvalidRequestError", "AuthenticationError", "PermissionError"),
        "canceled",  # by the merchant, at the provider's own pages
    ),
    DeclineClass.TECHNICAL: ("processing_error",),
    DeclineClass.CUSTOMER: ("incorrect_cvc", "invalid_cvc", "incorrect_zip"),
}

# Adyen's refusalReasonCode. Sources: docs.adyen.com/development-resources/refusal-reasons and
# SmashPig. 37, 40 and 41 happen only where a card is held to a terminal.
ADYEN_REFUSALS: Final[Table] = {
    DeclineClass.NEVER: (
        *("5", "25", "26"),  # blocked, restricted, revoked
        "46",  # Adyen holds it back, to spare us the fee for one try too many
    ),
    DeclineClass.NEW_METHOD: (
        *("6", "8", "10", "23", "50"),  # expired, number, unsupported, not permitted, token gone
        *("17", "18", "19", "33", "36"),  # PIN
        *("34", "35"),  # no checking, no savings account
    ),
    DeclineClass.AUTHENTICATION: ("11", "38", "39", "42"),
    DeclineClass.OURS: ("7", "14", "20", "22"),  # amount; fraud as our own risk rules see it
    DeclineClass.SOFT: ("2", "12", "27", "28", "29"),
    DeclineClass.TECHNICAL: (
        *("4", "9"),  # acquirer error, issuer unavailable
        "21",  # not submitted; an adapter that doubts it answers `Lost` instead
    ),
    DeclineClass.CUSTOMER: ("3", "15", "16", "24", "31", "32"),
}

ADYEN_REFUSAL_WAITS: Final[Mapping[str, timedelta]] = {
    "28": timedelta(hours=24),  # limits of amount and of count
    "29": timedelta(hours=24),
}

# Adyen's error codes, where a request was turned away; those that say nothing of it are `Lost`, and
# not here. What was turned away will be again, until somebody changes it. `000` has many messages,
# each about the API key or what was sent. Sources: Adyen's page of error codes, the examples in its
# description of Checkout, the lists of the codes in two SDKs.
ADYEN_ERRORS: Final[Table] = {
    DeclineClass.NEW_METHOD: (
        *("101", "102", "103", "108", "129", "140", "141", "153", "161"),  # details that are wrong
        *("800", "803", "805"),  # no contract, no such detail, none for this kind of charge
        "806",  # nor left for this kind of method
    ),
    DeclineClass.OURS: (
        *("000", "010", "901", "906", "907", "908", "950", "951"),  # the key's roles, the account
        *("905", "905_1", "905_2", "905_3", "905_4"),  # no acquirer for this method or currency
        *("100", "125", "130", "137", "138", "158", "192", "702", "902", "14_030"),  # fields
        *("107", "802", "807"),  # recurring payments as the account has them
        *("120", "121", "139", "180", "181"),  # the shopper's reference, and e-mail
        "166",  # the amount
        "167",  # the payment to change
        *("canceled", "authorisation_canceled"),  # by the merchant: our word for it
    ),
}
