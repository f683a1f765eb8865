"""Countries, time zones and languages: which codes exist.

What would surprise you: a time zone is any of the IANA's that this machine knows, while Lago lists
135 of them; and one of Lago's, `GMT+12`, is called `Etc/GMT+12` by everybody else.
"""

from __future__ import annotations

from functools import cache
from typing import Final
from zoneinfo import available_timezones

# ISO 3166-1 alpha-2, as on Lago's wire; a test compares them with the contract.
_COUNTRY_CODES: Final = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES: Final = tuple(_COUNTRY_CODES.split())
_COUNTRIES: Final = frozenset(COUNTRIES)

# ISO 639-1.
_LANGUAGE_CODES: Final = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
    lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
    pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
    tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
_LANGUAGES: Final = frozenset(_LANGUAGE_CODES.split())

_CALLED_OTHERWISE: Final = {"GMT+12": "Etc/GMT+12"}
# Files beside the zones: whatever this host is set to, and what a host is that was never set.
_NO_ZONES: Final = frozenset({"localtime", "Factory"})


def is_country(code: str) -> bool:
    """Say whether there is such a country; codes are upper case."""
    return code in _COUNTRIES


def iana_timezone(name: str) -> str | None:
    """The IANA's name of a time zone; None where it knows none of this name."""
    name = _CALLED_OTHERWISE.get(name, name)
    return name if name in _timezones() else None


def is_locale(code: str) -> bool:
    """Say whether it is a language, `fr`, or one as a country has it, `pt-BR`."""
    language, dash, country = code.partition("-")
    return language in _LANGUAGES and (not dash or is_country(country))


@cache  # reads every zone's file once: 20 ms
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES
