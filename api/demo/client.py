"""A small client of the public API, for the story: the same whether the server is far away or in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import httpx


class ApiError(Exception):
    """The API answered with a problem."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('title')}")
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))


class Client:
    """Calls `/api/v1` as one account after the other."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.tokens: dict[str, str] = {}

    def sign_in(self, login: str, password: str) -> None:
        """Open a session for `login` and keep its token."""
        self.tokens[login] = self.post("", "/session", {"login": login, "password": password})["token"]

    def get(self, login: str, path: str, **query: Any) -> Any:
        return self._send("GET", login, path, params=query)

    def post(self, login: str, path: str, body: Any = None) -> Any:
        return self._send("POST", login, path, json=body)

    def put(self, login: str, path: str, body: Any) -> Any:
        return self._send("PUT", login, path, json=body)

    def upload(self, login: str, path: str, file: Path, **fields: str) -> Any:
        with file.open("rb") as stream:
            return self._send("POST", login, path, files={"file": (file.name, stream)}, data=fields)

    def download(self, login: str, path: str) -> bytes:
        answer = self.http.request("GET", f"/api/v1{path}", headers=self._headers(login))
        if answer.is_error:
            raise ApiError(answer.status_code, answer.json())
        return answer.content

    def _send(self, method: str, login: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, f"/api/v1{path}", headers=self._headers(login), **options)
        if answer.is_error:
            problem = (
                answer.json() if "json" in answer.headers.get("content-type", "") else {"title": answer.text[:200]}
            )
            raise ApiError(answer.status_code, problem)
        return answer.json() if answer.content else None

    def _headers(self, login: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[login]}"} if login else {}


class Stage(Protocol):
    """Where the story is played."""

    client: Client
    password: str
    files: list[Any]

    def settle(self) -> None:
        """Wait until no job is waiting or running."""
