"""Reads the form of `POST /v1/files` piece by piece, the file in it straight to disk."""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from galen.errors import InvalidInput, PayloadTooLarge, UnsupportedMedia
from galen.records import storable
from server.batches.files import Draft

LONGEST_FIELD = 1024
"""Bytes of a field that is no file."""
LONGEST_NAME = 255
"""Characters of a file's name that are kept."""


@dataclass(frozen=True, slots=True)
class Form:
    filename: str
    purpose: str


class FormReader:
    """Takes a `multipart/form-data` body with the fields `file` and `purpose`, in any order.

    Raises `UnsupportedMedia` for another kind of body and `InvalidInput` for a form that is broken
    or has other fields.
    """

    def __init__(self, content_type: str, draft: Draft) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UnsupportedMedia("send multipart/form-data with the fields file and purpose")
        self._draft = draft
        self._fields: dict[str, bytearray] = {}
        self._filename: str | None = None
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._field = ""
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._name_part,
                    "on_part_data": self._take_data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _broken() from None

    def feed(self, piece: bytes) -> None:
        """May also raise `StorageFull`."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise _broken() from None

    def finish(self) -> Form:
        if not self._ended:
            raise _broken()
        if self._filename is None:
            raise InvalidInput("file: is missing", param="file")
        if not self._draft.bytes:
            raise InvalidInput("file: is empty", param="file")
        purpose = self._fields.get("purpose", bytearray()).decode("utf-8", "replace")
        return Form(self._filename, purpose)

    def _begin_part(self) -> None:
        self._disposition = b""

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _name_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == "file":
            if self._filename is not None:
                raise InvalidInput("file: is given twice; send one file", param="file")
            name = options.get(b"filename", b"").decode("utf-8", "replace")
            self._filename = storable(name)[:LONGEST_NAME] or "unnamed"
        elif self._field == "purpose":
            self._fields["purpose"] = bytearray()
        else:
            raise InvalidInput("a field that is neither file nor purpose; leave it out")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._draft.write(data[start:end])
            return
        held = self._fields[self._field]
        if len(held) + end - start > LONGEST_FIELD:
            raise PayloadTooLarge(f"{self._field}: longer than {LONGEST_FIELD} bytes")
        held += data[start:end]

    def _end(self) -> None:
        self._ended = True


def _broken() -> InvalidInput:
    return InvalidInput("the form is broken or ends early; send it again")
