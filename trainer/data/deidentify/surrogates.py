"""What stands in for personal data: of the same shape, the same for the same, and plainly unreal."""

from __future__ import annotations

import hashlib
import re

from trainer.data.deidentify.find import Kind, id_card_is_valid, luhn_is_valid
from trainer.data.deidentify.names import SURNAMES

_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严华金魏陶姜"
_GIVEN = "安宁平和清远明达文正思源嘉言子若云舒景行可欣以宁亦然"
_ENGLISH_FIRST = (
    "Alex Casey Dana Drew Jamie Jordan Kim Lee Morgan Pat Robin Sam Taylor Terry".split()
)
_ENGLISH_LAST = (
    "Ashby Brook Carver Dale Ellis Field Grove Hale Marsh Norton Perry Reed Stone".split()
)


class Surrogates:
    """The same text of the same kind always gets the same surrogate, in every process.

    Numbers keep their length and separators; an ID card's and a bank card's check digit is wrong, a
    mail address ends in example.com, and a date of birth keeps its year alone.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def of(self, kind: Kind, text: str) -> str:
        """The text to write in its place."""
        number = self._number(kind, text)
        match kind:
            case "name":
                return _name(text, number)
            case "email":
                return f"user{number % 100_000:05d}@example.com"
            case "address":
                return _address(text, number)
            case "birth_date":
                return _birth_date(text)
            case "id_card":
                return _no_id_card(number) if len(text) == 18 else _digits(text, number)
            case "phone":
                return _no_phone(text, number)
            case "bank_card":
                return _unreal(_digits(text, number), luhn_is_valid)
            case _:
                return _digits(text, number)

    def _number(self, kind: Kind, text: str) -> int:
        plain = re.sub(r"[\s-]", "", text).lower()
        hashed = hashlib.sha256(f"{self._seed}\0{kind}\0{plain}".encode())
        return int.from_bytes(hashed.digest()[:16])


def _name(text: str, number: int) -> str:
    if text.isascii():
        words = text.split()
        first = _ENGLISH_FIRST[number % len(_ENGLISH_FIRST)]
        last = _ENGLISH_LAST[number // 97 % len(_ENGLISH_LAST)]
        return f"{first} {last}" if len(words) > 1 else last
    size = len(text) - (2 if text[:2] in SURNAMES and len(text) > 2 else 1)
    given = "".join(_GIVEN[number // 31**n % len(_GIVEN)] for n in range(1, size + 1))
    return _SURNAMES[number % len(_SURNAMES)] + given


def _address(text: str, number: int) -> str:
    if text.isascii():
        return f"{number % 900 + 100} Example Street"
    return f"示例市示例区示例路{number % 900 + 100}号"


def _birth_date(text: str) -> str:
    """The same year; month and day become 1."""
    year = re.search(r"(?:19|20)\d\d", text)
    return "1900-01-01" if year is None else f"{year[0]}-01-01"


def _digits(text: str, number: int) -> str:
    """Other digits in the places of the old ones; letters become X. The first digit stays, since it
    says what kind of number it is."""
    written, is_first = [], True
    for mark in text:
        if mark.isdecimal():
            number, digit = divmod(number, 10)
            written.append(mark if is_first else str(digit))
            is_first = False
        else:
            written.append("X" if mark.isalpha() and mark.isascii() else mark)
    return "".join(written)


def _no_id_card(number: int) -> str:
    """Of no region, born on the first day of 1900, with a wrong check digit."""
    made = f"99999919000101{number % 1000:03d}"
    return made + next(digit for digit in "01" if not id_card_is_valid(made + digit))


def _no_phone(text: str, number: int) -> str:
    """The number with other digits, and zeros where a real one says where it is."""
    made = _digits(text, number)
    places = [at for at, mark in enumerate(made) if mark.isdecimal()][1:5]
    return "".join("0" if at in places else mark for at, mark in enumerate(made))


def _unreal(text: str, is_valid: object) -> str:
    """With a wrong check digit."""
    plain = re.sub(r"[^\dXx]", "", text)
    if callable(is_valid) and is_valid(plain):
        last = "0" if text[-1] != "0" else "1"
        return text[:-1] + last
    return text
