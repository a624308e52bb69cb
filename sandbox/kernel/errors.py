"""Error families of the platform; each is a `UserError` with an HTTP status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from policies.text import Text, UserError

if TYPE_CHECKING:
    from policies.verdict import Verdict


class NotFound(UserError):
    """The object is not there, or this person may not know that it is."""

    status: ClassVar[int] = 404

    @staticmethod
    def of(noun: str, object_id: str) -> NotFound:
        return NoRecord(
            f"{noun}.not_found",
            Text(f"没有找到编号为 {object_id} 的记录", f"There is no record with the number {object_id}"),
            fix=Text("请检查编号，或从列表页重新进入", "Check the number, or open it from the list page"),
            id=object_id[:64],
        )


class NoRecord(NotFound):
    """Nobody has it. Recorded like `OutOfReach`: a probe leaves a trace, and both take the same steps."""


class OutOfReach(NotFound):
    """The object exists, for others: the asker is told that it does not, the audit log is told the truth."""


class Unauthenticated(UserError):
    """Nobody is signed in, or what they signed in with no longer holds."""

    status: ClassVar[int] = 401


class NotPermitted(UserError):
    """The person is known and may not do this."""

    status: ClassVar[int] = 403


class InvalidTransition(UserError):
    """The object's state does not allow this step."""

    status: ClassVar[int] = 409


class Conflict(UserError):
    """Somebody else changed the object first, or the same thing already exists."""

    status: ClassVar[int] = 409


class BadInput(UserError):
    """The input cannot be used as it is."""

    status: ClassVar[int] = 422


class LimitExceeded(UserError):
    """Too big, too many, too often."""

    status: ClassVar[int] = 413


class TooManyAttempts(LimitExceeded):
    """Wait before trying again."""

    status: ClassVar[int] = 429


class Unavailable(UserError):
    """A part of the platform is not up, or the host does not offer what is needed."""

    status: ClassVar[int] = 503


class PolicyViolation(UserError):
    """A policy's verdict stands in the way."""

    status: ClassVar[int] = 422

    def __init__(self, code: str, text: Text, *, verdict: Verdict, fix: Text | None = None, **detail: Any) -> None:
        super().__init__(code, text, fix=fix, **detail)
        self.verdict = verdict


REFUSALS = (NotPermitted, OutOfReach, NoRecord, InvalidTransition, PolicyViolation, Unauthenticated)
"""Errors that are written to the audit log as refusals."""
