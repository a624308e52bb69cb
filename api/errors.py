"""One shape for every error of the API: RFC 9457 problem+json, in the asker's language."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from policies.text import Text, UserError
from policies.verdict import Verdict
from sandbox.kernel.errors import BadInput, NoRecord, NotFound, OutOfReach, PolicyViolation, Unavailable

log = logging.getLogger("pds.api")

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error a person can act on."""

    type: str = Field(examples=["urn:pds:permission.denied"], description="stable name of the problem")
    title: str = Field(examples=["这一步只能由合规人员办理，您的角色是数据商"], description="what happened and why")
    status: int = Field(examples=[403])
    code: str = Field(examples=["permission.denied"])
    fix: str | None = Field(examples=["请交给有权限的人员办理"], description="what to do")
    detail: dict[str, Any] = Field(examples=[{"action": "export:review"}], description="names, counts and places")
    request_id: str = Field(examples=["req-7kq2m9x4c8ab"])
    verdict: dict[str, Any] | None = Field(
        default=None, description="the policy's verdict, where one stands in the way"
    )


_MEANINGS = {
    400: "the request cannot be parsed",
    401: "not signed in, or no longer",
    403: "not permitted",
    404: "not there, or not for you",
    409: "the state does not allow it, or it has been done already",
    413: "too large",
    422: "the input does not hold",
    429: "too many attempts",
    503: "a part of the platform is not available",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, meaning in _MEANINGS.items()
}
"""The `responses` of every router."""


def language_of(request: Request) -> str:
    """ "en" when Accept-Language (or the portal's choice) prefers English, else "zh"."""
    chosen = request.query_params.get("lang") or request.cookies.get("pds_lang")
    if chosen in ("zh", "en"):
        return chosen
    best, weight = "zh", 0.0
    for part in request.headers.get("accept-language", "").split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            value = float(quality) if quality else 1.0
        except ValueError:
            continue
        tag = name.lower().split("-")[0]
        if tag in ("zh", "en") and value > weight:
            best, weight = tag, value
    return best


def problem(request: Request, error: UserError, status: int | None = None) -> JSONResponse:
    """`error` as problem+json."""
    language = language_of(request)
    verdict = error.verdict if isinstance(error, PolicyViolation) else None
    body = Problem(
        type=f"urn:pds:{error.code}", title=error.text.of(language), status=status or error.status, code=error.code,
        fix=error.fix.of(language) if error.fix else None, detail=error.detail, request_id=_request_id(request),
        verdict=_verdict(verdict),
    )  # fmt: skip
    headers = {"content-language": language}
    if body.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body.model_dump(mode="json"), body.status, headers=headers, media_type=MEDIA_TYPE)


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    return (
        None if verdict is None else {"outcome": verdict.outcome, "policy": verdict.policy, "edition": verdict.edition}
    )


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def _veiled(error: UserError) -> UserError:
    """One answer for what is not there and for what others have: noun, words or detail would tell them apart."""
    if not isinstance(error, OutOfReach | NoRecord):
        return error
    return NotFound(
        "record.not_found", Text("没有找到这条记录", "There is no such record"),
        fix=Text("请检查编号，或从列表页进入", "Check the number, or open it from the list page"),
    )  # fmt: skip


def answer(request: Request, error: UserError, status: int | None = None) -> Response:
    """The error as a page for browsers and as problem+json for programs."""
    from api.pages import frame

    error = _veiled(error)
    if not request.url.path.startswith("/api/") and frame.wants_page(request):
        return frame.error_page(request, error, status)
    return problem(request, error, status)


def install(app: FastAPI) -> None:
    """Register the handlers: every way a request can fail ends in the same shape."""

    @app.exception_handler(UserError)
    def _user(request: Request, error: UserError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> Response:
        return answer(request, _as_bad_input(error), 400 if _is_broken_json(error) else 422)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, UserError):
            return answer(request, error.__cause__)
        return answer(request, _of_status(error.status_code), error.status_code)


def unexpected(request: Request, error: Exception) -> Response:
    """The answer to an exception nobody foresaw.

    Its text may hold values of records: only its class is logged or shown. The middleware calls this, because a
    handler registered for `Exception` would still let the server write the whole traceback to its log.
    """
    log.error("request %s failed: %s", _request_id(request), type(error).__name__)
    fault = UserError(
        "internal.error",
        Text("平台内部出错，操作没有生效", "The platform failed; nothing was changed"),
        fix=Text("请稍后重试，并把请求编号告知运营人员", "Try again later and tell an operator the request's number"),
    )
    return answer(request, fault, 500)


def _is_broken_json(error: RequestValidationError) -> bool:
    return any(e["type"] == "json_invalid" for e in error.errors())


def _as_bad_input(error: RequestValidationError) -> UserError:
    """Which fields are wrong and how, never what was sent."""
    if _is_broken_json(error):
        return BadInput("request.json", Text("请求内容不是有效的 JSON", "The body is not valid JSON"),
                        fix=Text("请检查引号、逗号和括号", "Check quotes, commas and brackets"))  # fmt: skip
    fields = {".".join(map(_shown, e["loc"][1:])) or str(e["loc"][0]): e["type"] for e in error.errors()}
    return BadInput(
        "request.invalid",
        Text(f"这些字段不符合要求：{'、'.join(fields)}", f"These fields do not hold: {', '.join(fields)}"),
        fix=Text("请对照接口文档修改后重试", "Compare with the API's documentation and try again"),
        fields=fields,
    )


def _shown(part: int | str) -> str:
    """A part of a field's place. A key that the sender made up is shown only when it looks like a name."""
    text = str(part)
    named = isinstance(part, int) or (len(text) <= 40 and text.replace("-", "_").isidentifier())
    return text if named else "?"


def _of_status(status: int) -> UserError:
    if status == 404:
        return NotFound("route.not_found", Text("没有这个页面或接口", "There is no such page or operation"),
                        fix=Text("请从首页进入", "Start from the home page"))  # fmt: skip
    if status == 405:
        return BadInput("route.method", Text("该地址不支持这种操作", "This address does not take that method"))
    return Unavailable("request.failed", Text("请求没有完成", "The request was not completed"))
