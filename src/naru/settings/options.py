"""The frozen class of all options."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from naru.settings import values
from naru.settings.combinations import require_fitting

PREFIX = "NARU_"
CONFIG_VARIABLE = "NARU_CONFIG"
CONFIG_FILE = "naru.toml"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (``error``: Naru does not start) or doubtful (``warning``) about a setting."""

    level: Literal["error", "warning"]
    setting: str  # the option's name, the environment variable when it belongs to no option, or "" for a combination
    message: str  # the value (never of a secret), the rule, what to do

    def __str__(self) -> str:
        return f"{self.level}: {self.setting}: {self.message}" if self.setting else f"{self.level}: {self.message}"


class SettingsError(ValueError):
    """The options cannot be used. ``findings`` has one entry a fault; the text has one line a finding."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


Address = Annotated[str, AfterValidator(values.address)]
Origin = Annotated[str, AfterValidator(values.origin)]


def _option(group: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default=default, description=description, json_schema_extra={"group": group}, **limits)


_DATA, _LISTEN, _LIMITS, _OUT = "Data", "Listeners", "Limits and times", "Outgoing calls"
_LOGS, _FIRST = "Logs and telemetry", "First start"


class Settings(BaseSettings):
    """The options of one Naru process, checked and frozen. ``ValidationError`` on a bad value: ``load`` explains it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    data: Path = _option(_DATA, Path("data"), "Folder for everything that Naru keeps. Made at the first start.")
    database_url: Annotated[str, AfterValidator(values.database_url)] | None = _option(
        _DATA,
        None,
        "Database. Unset: SQLite in `naru.db` of the data folder. `sqlite:///path`, or `postgresql://user@host/name`: "
        "a server of PostgreSQL 15 or newer, which any number of nodes can share.",
        repr=False,  # it may hold a password
    )
    database_pool_size: int = _option(
        _DATA,
        10,
        "Connections to PostgreSQL that this process opens at most for changes and for reads of the API and console.",
        ge=2,
        le=1000,
    )
    database_pool_pulls: int = _option(
        _DATA, 10, "Connections to PostgreSQL that this process opens at most for pulls.", ge=1, le=1000
    )
    database_statement_seconds: int = _option(
        _DATA,
        30,
        "A statement that takes PostgreSQL longer than so many seconds, its waiting for others included, is ended and "
        "answered with 503.",
        ge=1,
        le=3600,
    )
    secret_key_file: Path | None = _option(
        _DATA,
        None,
        "File with the installation's key: 32 random bytes, the same on every node. Unset: `secret.key` in the data "
        "folder, made at the first start.",
    )
    blob_store_url: Annotated[str, AfterValidator(values.blob_store_url)] | None = _option(
        _DATA,
        None,
        "Store for image content. Unset: the folder `storage` in the data folder. `file:///path`; "
        "`s3://bucket/prefix?region=...&endpoint=...`, `gs://bucket/prefix` or `az://container/prefix?account=...`, "
        "whose credentials come from the environment or the machine; or `memory:`, which forgets everything when the "
        "process ends.",
    )
    blob_store_old_url: Annotated[str, AfterValidator(values.old_store_url)] | None = _option(
        _DATA,
        None,
        "The folder, as `file:///path`, that content is being moved out of by `naru migrate-blobs`: it is read and "
        "cleaned up as well, and takes nothing new. Only with an object store.",
    )
    blob_redirect: Annotated[
        Literal["off", "on"] | tuple[values.Network, ...], NoDecode, BeforeValidator(values.redirects)
    ] = _option(
        _DATA,
        "off",
        "Whether clients fetch layers from the object store by themselves, by addresses that are signed for a while: "
        "`off`, `on`, or the networks of those that do, such as `10.0.0.0/8,192.0.2.7`. The others get them from here.",
    )
    blob_redirect_seconds: int = _option(_DATA, 300, "Seconds that such an address can be used.", ge=10, le=604_800)
    blob_redirect_endpoint: Origin | None = _option(
        _DATA,
        None,
        "URL under which clients of the public listener reach the object store. Unset: the `endpoint` of its URL, "
        "which this server uses.",
    )
    blob_redirect_private_endpoint: Origin | None = _option(
        _DATA, None, "The same for clients of the private listener."
    )
    region: Annotated[str, AfterValidator(values.region)] = _option(
        _DATA, "kr1", "Name of this installation's region; part of the host names of projects."
    )

    public: Address = _option(_LISTEN, "127.0.0.1:5000", "Address and port of the public listener.")
    private: Address | None = _option(
        _LISTEN, None, "Address and port of the private listener, for registries whose public address is switched off."
    )
    metrics: Address | None = _option(
        _LISTEN,
        None,
        "Address and port that serve `/metrics` without a password. Unset: `/metrics` is on the public listener, for "
        "administrators only.",
    )
    external_url: Origin | None = _option(
        _LISTEN,
        None,
        "URL that clients use to reach the public listener when a proxy stands in front of it. Unset: taken from the "
        "request. An `https` URL says that the proxy ends TLS.",
    )
    private_external_url: Origin | None = _option(_LISTEN, None, "The same for the private listener.")
    tls_certificate: Path | None = _option(
        _LISTEN,
        None,
        "PEM file with the certificate and its chain. With it every listener speaks TLS, that of the metrics too.",
    )
    tls_key: Path | None = _option(_LISTEN, None, "PEM file with the certificate's key, not encrypted.")
    trusted_proxies: Annotated[tuple[values.Network, ...], NoDecode, BeforeValidator(values.networks)] = _option(
        _LISTEN,
        (),
        "Addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    )
    insecure_http: bool = _option(
        _LISTEN, False, "Allow plain HTTP on an address that other machines can reach: passwords travel in clear text."
    )
    workers: int = _option(
        _LISTEN, 1, "Processes on the same listeners. More than one need PostgreSQL and an object store.", ge=1, le=64
    )

    token_lifetime_seconds: int = _option(
        _LIMITS, 3600, "How long a bearer token lives, in seconds; at most 12 hours.", ge=60, le=43_200
    )
    upload_expiry_seconds: int = _option(
        _LIMITS, 86_400, "Uploads that nobody has touched for so many seconds are removed.", ge=60, le=31_536_000
    )
    collection_grace_seconds: int = _option(
        _LIMITS,
        7200,
        "Content that nothing links is kept so many seconds after a client last used it. Shorter than a slow push "
        "takes makes that push send its layers again.",
        ge=0,
        le=31_536_000,
    )
    collection_interval_seconds: int = _option(
        _LIMITS, 60, "Seconds between two rounds of garbage collection.", ge=1, le=86_400
    )
    body_timeout_seconds: int = _option(
        _LIMITS, 60, "A request whose body brings no byte for so many seconds is ended.", ge=1, le=3600
    )
    drain_seconds: int = _option(
        _LIMITS, 30, "How long running transfers may go on after the stop signal, in seconds.", ge=0, le=3600
    )
    max_connections: int = _option(_LIMITS, 2048, "Connections that each listener serves at once.", ge=16, le=1_000_000)
    max_uploads_per_user: int = _option(
        _LIMITS, 1000, "Unfinished uploads that one user may have at once.", ge=1, le=1_000_000
    )

    limit_registries: int = _option(
        _LIMITS, 30, "Registries of a project that has no limit of its own.", ge=0, le=100_000
    )
    limit_images: int = _option(
        _LIMITS, 10_000, "Images of a registry, where the project has no limit of its own.", ge=0, le=10_000_000
    )
    limit_artifacts: int = _option(
        _LIMITS, 10_000, "Artifacts of an image, where the project has no limit of its own.", ge=0, le=100_000_000
    )
    limit_tags: int = _option(
        _LIMITS, 1000, "Tags of an artifact, where the project has no limit of its own.", ge=0, le=1_000_000
    )
    allow_sparse_manifests: bool = _option(
        _LIMITS,
        False,
        "Accept a manifest whose blobs are not all there, as the distribution spec permits. Off, a push that forgot a "
        "layer is refused instead of becoming an image that cannot be pulled.",
    )
    session_idle_seconds: int = _option(
        _LIMITS, 43_200, "A session of the console ends when it was not used for so many seconds.", ge=60, le=2_592_000
    )
    session_lifetime_seconds: int = _option(
        _LIMITS, 604_800, "A session of the console ends so many seconds after the sign-in.", ge=60, le=31_536_000
    )
    trash_days: int = _option(
        _LIMITS,
        7,
        "Days that deletions by the API can be restored; their bytes are kept until then. 0: they are final at once.",
        ge=0,
        le=3650,
    )
    trash_docker_deletes: bool = _option(
        _LIMITS, False, "Deletions by docker's API (`/v2/`) can be restored as well; else they are final at once."
    )
    trash_cleanup: bool = _option(
        _LIMITS,
        False,
        "What cleanup policies delete can be restored as well; its bytes become free so much later. Else it is final.",
    )
    audit_retention_days: int = _option(
        _LIMITS, 365, "Days that the audit log keeps a row; 0 keeps all for ever.", ge=0, le=36_500
    )
    usage_history_days: int = _option(
        _LIMITS, 400, "Days that usage, pulls and pushes by days are kept, for charts.", ge=1, le=3650
    )
    job_workers: int = _option(
        _LIMITS,
        4,
        "Background jobs (collection, cleanup, webhooks) that this process runs at once. 0: none, so that they wait "
        "until another does.",
        ge=0,
        le=256,
    )
    job_history_days: int = _option(
        _LIMITS, 90, "Days that the history of background jobs is kept; 0 keeps all for ever.", ge=0, le=36_500
    )

    outbound_ports: Annotated[tuple[tuple[int, int], ...], NoDecode, BeforeValidator(values.ports)] = _option(
        _OUT,
        "80, 443",
        "Ports that addresses which users give (webhooks) may have: numbers and ranges such as `80,443,8000-8999`.",
    )
    outbound_networks: Annotated[tuple[values.Network, ...], NoDecode, BeforeValidator(values.networks)] = _option(
        _OUT,
        (),
        "Networks beside the public internet that such addresses may be in, such as `10.1.2.0/24`. Whoever may make a "
        "webhook can then send requests to every machine in them.",
    )
    webhook_timeout_seconds: int = _option(
        _OUT, 10, "How long a webhook's receiver may take for one delivery, in seconds.", ge=1, le=60
    )
    webhook_give_up_hours: int = _option(
        _OUT,
        24,
        "A webhook's receiver that fails for so many hours is switched off with a notice; what waits for it is kept.",
        ge=1,
        le=720,
    )
    webhook_history_days: int = _option(
        _OUT, 7, "Days that deliveries of webhooks are kept after they ended.", ge=1, le=365
    )

    access_log: Literal["all", "errors", "off"] = _option(
        _LOGS, "all", "Requests that get a line in the access log; `errors`: those answered with 400 or above."
    )
    log_level: Literal["debug", "info", "warning", "error"] = _option(
        _LOGS, "info", "Least important message that is logged."
    )
    log_format: Literal["json", "text"] = _option(_LOGS, "json", "Form of the log lines on stderr.")
    telemetry: bool = _option(
        _LOGS,
        False,
        "Traces and metrics by OpenTelemetry (OTLP over HTTP), sent where the standard `OTEL_*` variables say. Needs "
        "`naru-registry[otel]`.",
    )

    bootstrap_user: str | None = _option(
        _FIRST,
        None,
        "Name of the administrator that the first start makes. Unset: `admin`.",
        min_length=1,
        max_length=64,
    )
    bootstrap_password: SecretStr | None = _option(_FIRST, None, "Its password. Unset: generated and printed once.")
    bootstrap_access_key: Annotated[str, AfterValidator(values.access_key)] | None = _option(
        _FIRST, None, "ID of its access key. Unset: generated and printed once."
    )
    bootstrap_secret_key: SecretStr | None = _option(
        _FIRST, None, "Secret of its access key. Unset: generated and printed once."
    )
    bootstrap_appkey: str | None = _option(
        _FIRST, None, "Appkey of the default project. Unset: generated.", min_length=1, max_length=64
    )
    bootstrap_registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.items)] = _option(
        _FIRST, (), "Names of registries to make in the default project. Those that exist are left as they are."
    )

    @model_validator(mode="after")
    def _combinations(self) -> Settings:
        require_fitting(self)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_read_file())

    @property
    def database(self) -> Path | str:
        """The SQLite file, or the URL of a PostgreSQL server."""
        if self.database_url is None:
            return self.data / "naru.db"
        if self.database_url.startswith("sqlite:"):
            return Path(unquote(self.database_url.removeprefix("sqlite:///")))
        return self.database_url

    @property
    def key_file(self) -> Path:
        return self.secret_key_file or self.data / "secret.key"

    @property
    def blob_folder(self) -> Path | None:
        """The folder of the blob store, or None for the store in memory and for object stores."""
        if self.blob_store_url is None:
            return self.data / "storage"
        url = urlsplit(self.blob_store_url)
        return Path(unquote(url.path)) if url.scheme == "file" else None

    @property
    def blob_old_folder(self) -> Path | None:
        """The folder that content is moved out of, if it is."""
        return None if self.blob_store_old_url is None else Path(unquote(urlsplit(self.blob_store_old_url).path))

    @property
    def object_store(self) -> tuple[str, str, str, dict[str, str]] | None:
        """Kind, bucket, prefix and options of the object store, if there is one."""
        if self.blob_store_url in (None, "memory:") or self.blob_folder is not None:
            return None
        return values.parse_object_store(str(self.blob_store_url))

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None


def _read_file() -> dict[str, Any]:
    """Keys and values of the TOML file; none without a file. ``SettingsError`` when the named one cannot be read."""
    named = os.environ.get(CONFIG_VARIABLE)
    path = Path(named or CONFIG_FILE)
    if not named and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = (
            f"the file {str(path)!r} cannot be read ({error.strerror}); correct the path or unset {CONFIG_VARIABLE}"
        )
        raise SettingsError((Finding("error", CONFIG_VARIABLE, message),)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"the file {str(path)!r} is not valid TOML: {error}"
        raise SettingsError((Finding("error", CONFIG_VARIABLE, message),)) from None


def is_secret(name: str) -> bool:
    """Whether the option's value must not be shown."""
    return name in Settings.model_fields and SecretStr in get_args(Settings.model_fields[name].annotation)


def variables() -> dict[str, str]:
    """Every environment variable that Naru reads, with the option it sets ("" for the path of the file)."""
    return {CONFIG_VARIABLE: ""} | {PREFIX + name.upper(): name for name in Settings.model_fields}
