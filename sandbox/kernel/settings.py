"""Deployment settings: the one place that reads the environment. Business rules are never here, but in `policies/`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Connection(BaseModel):
    """A database that a department lets the platform read: whose it is, and its address with the read-only account."""

    department: str
    url: SecretStr


class Settings(BaseSettings):
    """Where this installation keeps its state and how it listens. Environment prefix `PDS_`."""

    model_config = SettingsConfigDict(env_prefix="PDS_", extra="ignore", frozen=True)

    home: Path = Field(default=Path("var"), description="all state of the platform lives under this directory")
    database_url: str | None = Field(default=None, description="metadata database; SQLite under home when unset")
    host: str = "127.0.0.1"
    port: int = 8020
    prefect_port: int = 4220
    body_limit_mb: int = Field(default=64, description="largest request body in MiB")
    session_hours: int = Field(default=8, description="a sign-in ends after this many hours")
    secure_cookies: bool = Field(default=False, description="set when the portal is served over https")
    heartbeat_seconds: float = Field(default=5.0, description="a running job says it lives this often")
    lost_after_seconds: float = Field(default=30.0, description="a running job silent for longer counts as lost")
    department_limit: int = Field(default=2, ge=1, description="tables of one department in governance at a time")
    sources: dict[str, Connection] = Field(
        default_factory=dict, description='databases by name, as JSON: {"name": {"department": "…", "url": "…"}}'
    )
    dask_address: str | None = Field(default=None, description="scheduler of a Dask cluster for the columns' scans")
    model_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint for generator plans: https, or http on this machine"
    )
    model_name: str = Field(default="default", description="the model to ask there, named in every manifest")
    model_key: SecretStr | None = None

    @property
    def metadata_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.home / 'metadata.sqlite').resolve()}"

    @property
    def lake_root(self) -> Path:
        return self.home / "lake"

    @property
    def inbox(self) -> Path:
        """Files as departments delivered them, by digest."""
        return self.home / "inbox"

    @property
    def twin_files(self) -> Path:
        """Files of simulated twins as they are handed out, by digest."""
        return self.home / "simulated"

    @property
    def workspaces_root(self) -> Path:
        return self.home / "workspaces"

    @property
    def snapshots_root(self) -> Path:
        return self.home / "snapshots"

    @property
    def uploads_root(self) -> Path:
        """Files that merchants bring, each in a folder of its own, and the tables made of them."""
        return self.home / "uploads"

    @property
    def artefacts_root(self) -> Path:
        return self.home / "artefacts"

    @property
    def evidence_root(self) -> Path:
        return self.home / "evidence"

    @property
    def releases_root(self) -> Path:
        return self.home / "releases"

    @property
    def keys_root(self) -> Path:
        return self.home / "keys"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"

    @property
    def step_results(self) -> Path:
        """What Prefect remembers of steps that succeeded: counts and masked evidence, for this account only."""
        return self.prefect_home / "results"

    @property
    def prefect_api_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/api"
