"""HTTP/1.1 messages as values: a request's head is read strictly, a response is written whole.

What two readers could understand differently is refused: folded lines, bare line feeds, two lengths, chunks.

References:
    RFC 9112, HTTP/1.1: sections 3 (request line), 5 (field syntax), 6.3 (message body length).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

from ripstop.core.canonical import CanonicalError, Json, canonical_json
from ripstop.core.errors import WireError
from ripstop.core.value import dataclass

MAX_BODY = 1 << 16
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_LENGTH = re.compile(r"[0-9]{1,18}")


class RequestError(WireError):
    """A request that is refused (codes W07xx); `status` is what HTTP calls it, `allow` goes with a 405."""

    def __init__(self, message: str, *, status: int, code: str, hint: str = "", allow: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a body; field names are in lower case, the path has no query."""

    method: str
    path: str
    fields: Mapping[str, str]
    length: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered; `fields` are further header fields."""

    status: int
    body: bytes
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()

    def to_bytes(self, *, is_last: bool = False, is_head: bool = False) -> bytes:
        """Write it; the answer to HEAD has no body."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.fields),
            *(("Connection: close",) if is_last else ()),
            "\r\n",
        ]
        return "\r\n".join(lines).encode("latin-1") + (b"" if is_head else self.body)


def json_response(value: Json, status: int = 200) -> Response:
    """Answer with a JSON value."""
    return Response(status, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


def error_response(error: RequestError) -> Response:
    """Answer with an error: never anything that could be read as a verdict."""
    fields = {"code": error.code, "message": error.message, "hint": error.hint}
    header = {
        HTTPStatus.TOO_MANY_REQUESTS: (("Retry-After", "1"),),
        HTTPStatus.UNAUTHORIZED: (("WWW-Authenticate", "Bearer"),),
        HTTPStatus.METHOD_NOT_ALLOWED: (("Allow", error.allow),),
    }
    body = json.dumps({"error": fields}, ensure_ascii=False).encode(errors="replace")
    return Response(error.status, body, fields=header.get(HTTPStatus(error.status), ()))


def read_head(raw: bytes) -> Head:
    """Read a request's head, its empty last line included.

    Raises:
        RequestError: W0701, W0706, W0708.
    """
    first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise RequestError("the request line is malformed", status=400, code="W0701")
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise RequestError("a header line is malformed", status=400, code="W0701")
        name = field[1].lower()
        if name in fields and name in ("content-length", "authorization", "host"):
            raise RequestError(f"header `{name}` stands twice", status=400, code="W0701")
        fields[name] = field[2].rstrip(" \t")
    method, target, minor = found.groups()
    wishes = {wish.strip(" \t") for wish in fields.get("connection", "").lower().split(",")}
    is_last = "close" in wishes or minor == "0"
    length = _length(method, fields)
    if minor == "1" and "host" not in fields:  # RFC 9112, 3.2
        raise RequestError("a request of HTTP/1.1 needs a `Host`", status=400, code="W0701")
    return Head(method, target.partition("?")[0], fields, length, is_last)


def _length(method: str, fields: Mapping[str, str]) -> int:
    told = fields.get("content-length")
    if "transfer-encoding" in fields or (told is None and method == "POST"):
        raise RequestError("a body needs a `Content-Length`, chunks are not taken", status=411, code="W0706")
    if told is None:
        return 0
    if not _LENGTH.fullmatch(told):
        raise RequestError("`Content-Length` is no whole number", status=400, code="W0701")
    if int(told) > MAX_BODY:
        raise RequestError(
            f"the body has {int(told)} bytes, expected at most {MAX_BODY}", status=413, code="W0708"
        )
    return int(told)


def read_json(body: bytes) -> Json:
    """Read a body as JSON that every reader understands alike.

    Raises:
        RequestError: W0702 for bad UTF-8, malformed JSON, NaN, Infinity, numbers beyond binary64 or 2^53, a
            key that stands twice, half a surrogate pair, deep nesting.
    """
    try:
        value: Json = json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
        canonical_json(value)
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8", status=400, code="W0702") from None
    except RecursionError:
        raise RequestError("the body is nested too deep", status=400, code="W0702") from None
    except CanonicalError as error:
        raise RequestError(
            f"the body is not taken: {error.message}", status=400, code="W0702", hint=error.hint
        ) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError(f"the body is not JSON, at {where}", status=400, code="W0702") from None
    except ValueError:  # an integer with more digits than Python reads
        raise RequestError("the body has a number that is too long", status=400, code="W0702") from None
    return value


def _refuse_constant(name: str) -> Json:
    raise RequestError(
        f"`{name}` is no JSON", status=400, code="W0702", hint="send null for a reading that is missing"
    )


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestError("a key stands twice in one object", status=400, code="W0702")
    return found
