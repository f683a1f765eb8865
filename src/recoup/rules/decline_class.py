"""Into which classes declines are sorted. The tables that sort them are in `rules/*_declines`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias


class DeclineClass(StrEnum):
    """Who can do something about a decline, and so whether the engine may try again."""

    NEVER = "never"  # issuer or holder said no for good: this method is finished
    NEW_METHOD = "new_method"  # needs another method, or this one's new details
    AUTHENTICATION = "authentication"  # needs the customer present (3DS, SCA)
    OURS = "ours"  # our data, amount, settings or fraud rule: the merchant acts
    SOFT = "soft"  # may clear by itself, in days
    TECHNICAL = "technical"  # a fault of network or provider, over in minutes or hours
    CUSTOMER = "customer"  # customer or bank must act; the same method can work afterwards


Table: TypeAlias = Mapping[DeclineClass, tuple[str, ...]]
