"""A sent form whose field names are not known beforehand (one reason for each column, one name for each material)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData


async def sent_form(request: Request) -> FormData:
    """The whole form; the check of its token has read it already."""
    return await request.form()


Sent = Annotated[FormData, Depends(sent_form)]
