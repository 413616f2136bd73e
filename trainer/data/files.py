"""Files into rows: JSON lines, a JSON array, CSV, Parquet or plain text, in common encodings.

Nothing but the row at hand is kept in memory. What cannot be read is a `Problem` with its place.
The rows after it are still read where the format allows it.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from galen.errors import InvalidInput
from trainer.data.problems import Problem

Container = Literal["JSON lines", "JSON array", "CSV", "TSV", "Parquet", "text"]
Located = tuple[str, "dict[str, Any] | Problem"]
"""A place, such as `line 3`, and the row there."""

SAMPLE = 1 << 20
"""Bytes that decide about the encoding, and size of the pieces in which an array is read."""
FAR = 64 * SAMPLE
"""A fault of JSON with so much text after it is no element that was cut off by the piece's end."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BY_LINE = ("utf-8", "utf-8-sig", "gb18030")
"""Encodings in which the byte of a line's end means nothing else."""
JSON_CELLS = ("messages", "conversations", "history", "meta", "chosen", "rejected")
"""Columns of a CSV file that may hold JSON."""


@dataclass(frozen=True, slots=True)
class FileForm:
    container: Container
    encoding: str

    def __str__(self) -> str:
        encoding = {"utf-8-sig": "UTF-8 with a mark", "gb18030": "GBK"}.get(self.encoding)
        named = encoding or self.encoding.upper()
        return self.container if self.container == "Parquet" else f"{self.container}, {named}"


def form_of(path: Path) -> FileForm:
    """By the file's name and its first bytes. Raises `InvalidInput` for an unusable path."""
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE)
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path}: a folder; name a file in it") from None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}; check the path") from None
    suffix = path.suffix.lower()
    if suffix == ".parquet" or sample.startswith(b"PAR1"):
        return FileForm("Parquet", "utf-8")
    encoding = _encoding(sample)
    if suffix in (".csv", ".tsv"):
        return FileForm("CSV" if suffix == ".csv" else "TSV", encoding)
    if suffix in (".txt", ".md"):
        return FileForm("text", encoding)
    start = sample.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    return FileForm("JSON array" if start.startswith("[") else "JSON lines", encoding)


def read_rows(path: Path, form: FileForm) -> Iterator[Located]:
    """Every row, in the file's order. Blank lines are skipped."""
    readers: dict[Container, Callable[[Path, str], Iterator[Located]]] = {
        "JSON lines": _json_lines,
        "JSON array": _json_array,
        "CSV": _csv,
        "TSV": _csv,
        "Parquet": _parquet,
        "text": _text,
    }
    return readers[form.container](path, form.encoding)


def _encoding(sample: bytes) -> str:
    """By its mark, else UTF-8 unless most lines are only readable as GBK."""
    for mark, name in BOMS:
        if sample.startswith(mark):
            return name
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    if len(sample) == SAMPLE and len(lines) > 1:
        lines.pop()  # cut off in the middle
    unreadable = sum(not _is_text(line, "utf-8") for line in lines)
    as_gbk = sum(_is_text(line, "gb18030") for line in lines)
    return (
        "gb18030" if 2 * unreadable > len(lines) and as_gbk > len(lines) - unreadable else "utf-8"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _lines(path: Path, encoding: str) -> Iterator[tuple[str, str | Problem]]:
    """Every line that is not blank, with its place."""
    if encoding not in BY_LINE:
        yield from _decoded_lines(path, encoding)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"line {number}"
            try:
                text = line.decode(encoding if number == 1 else encoding.removesuffix("-sig"))
            except UnicodeDecodeError as error:
                yield place, _undecodable(place, encoding, error)
                continue
            if text.strip():
                yield place, text


def _decoded_lines(path: Path, encoding: str) -> Iterator[tuple[str, str | Problem]]:
    number = 0
    try:
        with path.open(encoding=encoding, newline="") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield f"line {number}", text
    except UnicodeDecodeError as error:
        place = f"line {number + 1}"
        yield place, _undecodable(place, encoding, error)


def _undecodable(place: str, encoding: str, error: UnicodeDecodeError) -> Problem:
    name = FileForm("text", encoding)
    reason = f"not {str(name).removeprefix('text, ')} at byte {error.start}"
    return Problem(place, "", reason, "save the file as UTF-8, or delete the line")


def _json_lines(path: Path, encoding: str) -> Iterator[Located]:
    for place, line in _lines(path, encoding):
        yield place, line if isinstance(line, Problem) else _parsed(line, place)


def _parsed(text: str, place: str) -> dict[str, Any] | Problem:
    try:
        return _object(_DECODER.decode(text.strip()), place, has_escapes="\\u" in text)
    except json.JSONDecodeError as error:
        whole = "rows are one JSON object a line, or one JSON array"
        return Problem(place, "", f"not JSON: {error.msg} at column {error.colno}", whole)
    except RecursionError:
        return Problem(place, "", "JSON nested too deeply", "delete the line")
    except ValueError as error:  # NaN, or an integer of thousands of digits
        reason = "holds a number that is too long" if "digits" in str(error) else str(error)
        return Problem(place, "", reason, "replace the number")


def _object(value: Any, place: str, *, has_escapes: bool) -> dict[str, Any] | Problem:
    if isinstance(value, dict):
        # Only an escape can stand for half a character.
        if has_escapes and not _is_unicode(json.dumps(value, ensure_ascii=False)):
            reason = "contains a lone surrogate, which is no character"
            return Problem(place, "", reason, "remove it")
        return value
    kind = {list: "an array", str: "a text", type(None): "null"}.get(type(value), "a number")
    return Problem(place, "", f"{kind}, no object", "write each row as {…}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_BETWEEN = re.compile(r"[\s,\ufeff]*")


def _json_array(path: Path, encoding: str) -> Iterator[Located]:
    """The array's elements, read in pieces. Nothing is read after a fault in the JSON itself."""
    try:
        with path.open(encoding=encoding) as file:
            yield from _elements(file)
    except UnicodeDecodeError as error:
        yield "file", _undecodable("file", encoding, error)


def _elements(file: TextIO) -> Iterator[Located]:
    buffer, line, size = file.read(SAMPLE), 1, SAMPLE
    number, line_before = 0, 0
    at = buffer.index("[") + 1
    line += buffer.count("\n", 0, at)
    while True:
        if len(buffer) - at < SAMPLE // 4 and (more := file.read(size)):
            buffer, at = buffer[at:] + more, 0
        start = _BETWEEN.match(buffer, at).end()  # type: ignore[union-attr]
        line += buffer.count("\n", at, start)
        if buffer.startswith("]", start):
            return
        place = f"line {line}" if line > line_before else f"line {line}, row {number + 1}"
        try:
            value, end = _DECODER.raw_decode(buffer, start)
            escape = buffer.find("\\u", start, end)
            found = _object(value, place, has_escapes=escape >= 0)
        except json.JSONDecodeError as error:
            more = "" if len(buffer) - error.pos > FAR else file.read(size)
            if not more:
                yield place, _broken(place, buffer[start:], error)
                return
            buffer, at, size = buffer[start:] + more, 0, 2 * size
            continue
        except (ValueError, RecursionError):
            end = _end_of_element(buffer, start)
            found = _parsed(buffer[start:end], place)
        yield place, found
        number, line_before = number + 1, line
        line += buffer.count("\n", start, end)
        at, size = end, SAMPLE


def _broken(place: str, buffer: str, error: json.JSONDecodeError) -> Problem:
    if not buffer.strip():
        return Problem(place, "", "the array is not closed", "is the file whole? It ends without ]")
    return Problem(
        place,
        "",
        f"not JSON: {error.msg}",
        "nothing after it was read; mend the element that begins here",
    )


def _end_of_element(buffer: str, start: int) -> int:
    """Where an element with a refused number ends: JSON's own reader accepts it."""
    try:
        return json.JSONDecoder().raw_decode(buffer, start)[1]
    except (ValueError, RecursionError):
        return len(buffer)


def _csv(path: Path, encoding: str) -> Iterator[Located]:
    csv.field_size_limit(1 << 30)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for number in itertools.count(2):
                place = f"row {number}"
                row = next(reader, None)
                if row is None:
                    return
                yield place, _csv_row(row, place)
    except UnicodeDecodeError as error:
        yield "file", _undecodable("file", encoding, error)
    except csv.Error as error:
        place = f"row {number}"
        yield place, Problem(place, "", f"not CSV: {error}", "mend the quotation marks")


def _csv_row(row: dict[str | Any, Any], place: str) -> dict[str, Any] | Problem:
    if None in row:
        return Problem(place, "", "more cells than columns", "quote texts that hold a comma")
    given = {name: text for name, text in row.items() if text not in (None, "")}
    for name in JSON_CELLS:
        if str(given.get(name, "")).lstrip()[:1] in ("[", "{"):
            try:
                given[name] = _DECODER.decode(given[name])
            except ValueError:
                return Problem(place, name, "begins like JSON and is none", "mend the cell")
    return given


def _parquet(path: Path, encoding: str) -> Iterator[Located]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            numbers = itertools.count(1)
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    yield f"row {next(numbers)}", {k: v for k, v in row.items() if _is_there(v)}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = str(error).splitlines()[0]
        yield "file", Problem("file", "", f"no Parquet: {reason}", "download it again")


def _is_there(value: Any) -> bool:
    """A table's missing number is NaN, which differs from itself."""
    return value is not None and bool(value == value)


def _text(path: Path, encoding: str) -> Iterator[Located]:
    for place, line in _lines(path, encoding):
        yield place, line if isinstance(line, Problem) else {"text": line.strip()}
