"""Which columns look as if they held personal data: by their name, or by what most of their texts look like.

It errs on the side of caution: of such a column no value is written anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from dq.suggest.formats import ISO_DATE, ISO_TIME

_WORDS = re.compile(
    r"""
    e?mails? | phone | telephone | tel | mobile | cell | fax | surname | lastname | firstname | forename |
    fullname | nickname | username | login | password | passwd | pwd | secret | token | apikey | ssn | nin |
    passport | iban | bic | swift | card | pan | cvv | cvc | account | birth | birthday | birthdate | dob | born |
    age | gender | sex | race | ethnicity | religion | nationality | marital | diagnosis | disease | salary | wage
    | income | address | addr | street | zip | zipcode | postcode | postal | plz | ip | ipaddr | ipv[46] | mac |
    imei | deviceid | cookie | session | lat | latitude | lon | lng | longitude | geo | location | signature |
    photo | avatar | taxid | plate | contact | recipient | sender | author | person | patient | employee
    """,
    re.VERBOSE,
)
_PEOPLE = re.compile(
    r"""
    first | last | full | middle | given | family | maiden | user | customer | client | contact | person | patient
    | employee | owner | author | sender | recipient | member | guest | driver | doctor | teacher | student | display
    | real | nick | billing | shipping
    """,
    re.VERBOSE,
)
_FORMATS = ("an e-mail address", "a telephone number", "an IBAN", "an IP address")


def is_personal(column: str, formats: Mapping[str, float]) -> bool:
    """Return whether a column looks as if it held personal data.

    Args:
        column: its name.
        formats: the share of its values that have a format, by the format's name in ``formats.FORMATS``.
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
    words = re.findall(r"[a-z]+\d?|\d+", parted)
    if any(_WORDS.fullmatch(word) for word in (*words, *map("".join, pairwise(words)), "".join(words))):
        return True
    if "name" in words and (len(words) == 1 or any(_PEOPLE.fullmatch(word) for word in words)):
        return True
    # A date is written like a telephone number.
    dates = formats.get(ISO_DATE.name, 0) + formats.get(ISO_TIME.name, 0)
    return any(formats.get(name, 0) - dates > 0.1 for name in _FORMATS)
