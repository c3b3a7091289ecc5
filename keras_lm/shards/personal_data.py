r"""Masks e-mail addresses, card numbers and phone numbers in text.

By their form alone, with an eye on what merely looks like them:

- An e-mail address is ASCII, and its domain has a dot.
- A card number has a length and first digits that an issuer uses, passes Luhn's check (ISO/IEC
  7812-1, annex B), and has no separators, or spaces, or hyphens, of one kind. Nine of ten other
  numbers of that form fail the check; article numbers (978...) and times in milliseconds (1...) are
  no issuer's.
- A phone number begins with `+` (8 to 15 digits, ITU-T E.164), or is written as in North America,
  `(212) 555-0123` or `212-555-0123`, or has separators behind an area code that begins with 0.
  A plain run of digits is none: most are something else.

Names, streets and the like are not looked for.
"""

import re
from typing import NamedTuple

EMAIL, CARD, PHONE = "<EMAIL>", "<CARD>", "<PHONE>"

# Each begins where nothing of its kind stands before: so a long run is tried once, not from each of
# its places.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])",
    re.ASCII,
)
_CARD = re.compile(
    r"(?<![\w.,+])(?<!\d[ -])[2-6](?:(?: \d|-\d|\d)){12,18}(?![ -]?\d)(?!\w)", re.ASCII
)
_PHONE = re.compile(
    r"(?<![\w.)+-])(?:"
    r"\+[1-9]\d{0,2}(?:[ ./-]?(?:\(\d{1,4}\)|\d{1,14})){1,7}"
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([.-]))[2-9]\d\d[ .-]\d{4}"
    r"|\(?0[1-9]\d{1,3}\)?(?:[ /-]\d{3,8}){1,3}"
    r")(?![.,/-]?\d)(?!\w)",
    re.ASCII,
)
# First digits of an issuer, and the lengths of its numbers.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]|2[2-7])\d{14}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}(?:\d\d)?"  # Diners Club
    r"|35\d{14}"  # JCB
    r"|(?:5[0678]|6\d)\d{11,17}"  # Maestro, Discover, UnionPay
)


class Found(NamedTuple):
    """How many of each were masked."""

    emails: int
    cards: int
    phones: int


def passes_luhn(digits: str) -> bool:
    """Whether the last digit checks the others."""
    odd = [int(digit) for digit in digits[-1::-2]]
    even = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(odd) + sum(even)) % 10 == 0


def mask(text: str) -> tuple[str, Found]:
    """A text with `<EMAIL>`, `<CARD>` and `<PHONE>` where one stood, and how many there were."""
    emails = cards = phones = 0
    if "@" in text:
        text, emails = _EMAIL.subn(EMAIL, text)

    def card(match: re.Match[str]) -> str:
        nonlocal cards
        digits = re.sub("[ -]", "", match[0])
        one_kind = not (" " in match[0] and "-" in match[0])
        if one_kind and _ISSUERS.fullmatch(digits) and passes_luhn(digits):
            cards += 1
            return CARD
        return match[0]

    def phone(match: re.Match[str]) -> str:
        nonlocal phones
        number = sum(character.isdigit() for character in match[0])
        if 8 <= number <= 15:
            phones += 1
            return PHONE
        return match[0]

    return _PHONE.sub(phone, _CARD.sub(card, text)), Found(emails, cards, phones)
