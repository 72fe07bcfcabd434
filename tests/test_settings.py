"""Settings: where a value comes from, what is refused and how it is said, and what is unsafe on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from naru.settings import Finding, Settings, SettingsError, check, is_loopback, load, parse_address, variables
from tests.programs import program


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No option from this machine: no NARU_* variable, a working folder without a naru.toml."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def refusal(**flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**flags)
    return str(caught.value)


# Where a value comes from


def test_defaults_serve_this_machine_only_and_are_clean() -> None:
    settings = load()
    assert settings.public == "127.0.0.1:5000"
    assert settings.database == Path("data/naru.db")
    assert settings.blob_folder == Path("data/storage")
    assert check(settings, {}) == []


def test_flag_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("naru.toml").write_text('region = "file"\nworkers = 1\ndrain_seconds = 5\nlog_level = "debug"\n')
    monkeypatch.setenv("NARU_REGION", "env")
    monkeypatch.setenv("NARU_DRAIN_SECONDS", "6")
    settings = load(region="flag", workers=None)
    assert (settings.region, settings.drain_seconds, settings.log_level, settings.log_format) == (
        "flag",
        6,
        "debug",
        "json",
    )


def test_the_file_may_have_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('trusted_proxies = ["10.0.0.0/8", "::1"]\n')
    monkeypatch.setenv("NARU_CONFIG", str(other))
    assert load().trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('pubic = "127.0.0.1:1"', ["pubic", "did you mean 'public'?"]),
        ("zzz = 1", ["zzz", "docs/reference/settings.md"]),
        ("[listeners]\nx = 1", ["listeners", "no such setting"]),
        ("public = ", ["naru.toml", "not valid TOML"]),
        ("workers = 0", ["workers", "0", "greater than or equal to 1"]),
    ],
)
def test_a_wrong_file_is_refused(content: str, words: list[str]) -> None:
    Path("naru.toml").write_text(content)
    message = refusal()
    for word in words:
        assert word in message


def test_a_named_file_that_is_absent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARU_CONFIG", "absent.toml")
    assert "'absent.toml' cannot be read" in refusal()


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARU_PRIVATE", "")
    monkeypatch.setenv("NARU_BOOTSTRAP_REGISTRIES", "")
    settings = load()
    assert settings.private is None
    assert settings.bootstrap_registries == ()


def test_lists_in_the_environment_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARU_BOOTSTRAP_REGISTRIES", "demo, team-a ,,")
    monkeypatch.setenv("NARU_TRUSTED_PROXIES", "10.1.2.3,fd00::/8")
    settings = load()
    assert settings.bootstrap_registries == ("demo", "team-a")
    assert settings.trusted_proxies == (ip_network("10.1.2.3/32"), ip_network("fd00::/8"))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().workers = 2


# Forms of values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:5000", ("::1", 5000)),
        ("[0:0::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("registry.example.com:443", ("registry.example.com", 443)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("5000", "has no port"),
        (":5000", "0.0.0.0:5000"),
        ("127.0.0.1:", "not a number"),
        ("127.0.0.1:65536", "not a number from 0 to 65535"),
        ("127.0.0.1:-1", "not a number"),
        ("127.0.0.1:+1", "not a number"),
        ("127.0.0.1:٣", "not a number"),
        ("127.0.0.1:9" + "9" * 5000, "not a number"),
        ("::1:5000", "brackets"),
        ("[::g]:5000", "not an IPv6 address"),
        ("[127.0.0.1]:5000", "not an IPv6 address"),
        ("256.0.0.1:80", "not an IP address"),
        ("1.2.3:80", "not an IP address"),
        ("a b:80", "not an IP address or host name"),
        ("-a:80", "not an IP address or host name"),
        ("http://a:80", "brackets"),
        ("", "has no port"),
    ],
)
def test_wrong_addresses(text: str, word: str) -> None:
    with pytest.raises(ValueError, match="write address:port") as caught:
        parse_address(text)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("registry.example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"public": "nowhere"}, ["public", "'nowhere'", "write address:port"]),
        ({"private": "127.0.0.1:5000"}, ["given twice"]),
        ({"external_url": "registry.example.com"}, ["external_url", "http"]),
        ({"external_url": "ftp://a"}, ["'ftp'"]),
        ({"external_url": "https://a/v2"}, ["'https://a/v2'", "more than a host"]),
        ({"external_url": "https://a?x"}, ["more than a host"]),
        ({"external_url": "https://"}, ["no address"]),
        ({"external_url": "https://a:99999"}, ["not a URL"]),
        ({"database_url": "postgresql://a:1b/c"}, ["database_url", "the port is not a number"]),
        ({"database_url": "postgresql://a@b"}, ["names no database", "postgresql://user:password@host:port/database"]),
        ({"database_url": "postgresql://a:b#c@d/e"}, ["%23"]),
        ({"database_url": "mysql://a/b"}, ["'mysql'"]),
        ({"database_url": "sqlite://"}, ["sqlite:///"]),
        ({"database_url": "sqlite:///:memory:"}, ["path of a file"]),
        ({"blob_store_url": "ftp://host/x"}, ["blob_store_url", "ftp", "s3://bucket"]),
        ({"blob_store_url": "s3://key:secret@bucket"}, ["blob_store_url", "credentials"]),
        ({"blob_store_url": "s3://bucket?access_key_id=x"}, ["blob_store_url", "endpoint, region"]),
        ({"blob_store_url": "s3://bucket?region=a&region=b"}, ["blob_store_url", "once each"]),
        ({"blob_store_url": "s3://Bucket/x"}, ["blob_store_url", "no name of a bucket"]),
        ({"blob_store_url": "s3://bucket/../x"}, ["blob_store_url", "prefix"]),
        ({"blob_store_url": "s3://bucket?endpoint=host:9000"}, ["blob_store_url", "endpoint", "https://host"]),
        ({"blob_store_url": "s3://bucket?endpoint=http://u:p@host"}, ["blob_store_url", "endpoint", "https://host"]),
        ({"blob_store_url": "s3://bucket?style=other"}, ["blob_store_url", "style", "virtual"]),
        ({"blob_store_url": "s3://bucket?checksum=md5"}, ["blob_store_url", "checksum", "none"]),
        ({"blob_store_url": "gs://bucket?region=x"}, ["blob_store_url", "gs", "endpoint, ca"]),
        ({"blob_redirect": "on"}, ["blob_redirect", "object store"]),
        ({"blob_redirect": "10.0.0.1/8"}, ["blob_redirect", "10.0.0.1/8"]),
        ({"blob_redirect_endpoint": "https://host"}, ["blob_redirect_endpoint", "object store"]),
        ({"blob_store_old_url": "file:///old"}, ["blob_store_old_url", "object store"]),
        (
            {"blob_store_url": "s3://bucket", "blob_store_old_url": "s3://old"},
            ["blob_store_old_url", "files only"],
        ),
        ({"blob_store_url": "file://host/x"}, ["absolute path"]),
        ({"blob_store_url": "file:x"}, ["absolute path"]),
        ({"tls_key": "key.pem"}, ["tls_certificate and tls_key belong together"]),
        ({"trusted_proxies": "10.0.0.1/8"}, ["'10.0.0.1/8'", "host bits"]),
        ({"trusted_proxies": 7}, ["not a list"]),
        ({"token_lifetime_seconds": 43_201}, ["43201", "less than or equal to 43200", "12 hours"]),
        ({"workers": "two"}, ["'two'", "integer"]),
        ({"region": "KR1"}, ["'KR1'", "lower-case"]),
        ({"access_log": "some"}, ["'some'", "errors"]),
    ],
)
def test_a_wrong_value_is_refused_with_value_rule_and_cure(flags: dict[str, Any], words: list[str]) -> None:
    message = refusal(**flags)
    for word in words:
        assert word in message


def test_every_fault_is_told_at_once() -> None:
    assert len(refusal(public="x", region="KR1", workers=0).splitlines()) == 3


def test_secrets_are_never_shown() -> None:
    settings = load(bootstrap_password="hidden-value-1", bootstrap_secret_key="hidden-value-2")
    texts = [repr(settings), str(settings), refusal(bootstrap_password=["hidden-value-3"])]
    texts += [str(finding) for finding in check(load(bootstrap_password="hidden-val"), {})]
    with pytest.raises(SettingsError) as caught:
        load(external_url="https://user:hidden-value-4@a")
    texts.append(str(caught.value))
    for text in texts:
        assert "hidden-val" not in text


@pytest.mark.parametrize(
    ("flags", "database", "blobs"),
    [
        ({"data": "x"}, Path("x/naru.db"), Path("x/storage")),
        ({"database_url": "sqlite:////srv/n.db", "blob_store_url": "memory:"}, Path("/srv/n.db"), None),
        ({"database_url": "sqlite:///n.db", "blob_store_url": "file:///srv/a%20b"}, Path("n.db"), Path("/srv/a b")),
    ],
)
def test_places(flags: dict[str, Any], database: Path, blobs: Path | None) -> None:
    settings = load(**flags)
    assert (settings.database, settings.blob_folder) == (database, blobs)


def test_external_url_loses_its_slash() -> None:
    assert load(external_url="https://a.example:8443/").external_url == "https://a.example:8443"


# What is unsafe or impossible here

LONG = SecretStr("correct horse battery")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"public": "0.0.0.0:5000"}, [("error", "public")]),
        ({"public": "[::]:5000"}, [("error", "public")]),
        ({"public": "registry.example.com:5000"}, [("error", "public")]),
        ({"private": "10.0.0.1:5001"}, [("error", "private")]),
        ({"private": "10.0.0.1:5001", "external_url": "https://a.example"}, [("error", "private")]),
        ({"public": "0.0.0.0:5000", "external_url": "http://a.example"}, [("error", "public")]),
        ({"public": "0.0.0.0:5000", "insecure_http": True}, []),
        ({"public": "0.0.0.0:5000", "external_url": "https://a.example"}, [("warning", "trusted_proxies")]),
        (
            {"public": "0.0.0.0:5000", "external_url": "https://a.example", "trusted_proxies": "10.0.0.1"},
            [],
        ),
        ({"trusted_proxies": "0.0.0.0/0"}, [("warning", "trusted_proxies")]),
        ({"metrics": "127.0.0.1:9000"}, []),
        ({"metrics": "0.0.0.0:9000"}, [("warning", "metrics")]),
        ({"bootstrap_password": "short"}, [("warning", "bootstrap_password")]),
        ({"bootstrap_password": "Harbor12345"}, [("warning", "bootstrap_password")]),
        ({"bootstrap_secret_key": "PasswordPassword"}, [("warning", "bootstrap_secret_key")]),
        ({"bootstrap_password": LONG, "bootstrap_secret_key": LONG}, []),
        (
            {"public": "0.0.0.0:1", "insecure_http": True, "bootstrap_password": "short"},
            [("error", "bootstrap_password")],
        ),
        (
            {"private": "0.0.0.0:1", "insecure_http": True, "bootstrap_secret_key": "Harbor12345"},
            [("error", "bootstrap_secret_key")],
        ),
        ({"external_url": "https://a.example", "bootstrap_password": "short"}, [("error", "bootstrap_password")]),
        ({"workers": 2}, [("error", "workers")]),
        ({"blob_store_url": "memory:"}, [("warning", "blob_store_url")]),
    ],
)
def test_unsafe_options_are_found(flags: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    findings = check(load(**flags), {})
    assert [(finding.level, finding.setting) for finding in findings] == expected


def test_errors_come_first() -> None:
    findings = check(load(public="0.0.0.0:5000", metrics="0.0.0.0:9000", workers=2), {})
    assert [finding.level for finding in findings] == ["error", "error", "warning"]


def test_unknown_variables_are_warned_of() -> None:
    environ = {"NARU_PUBIC": "x", "NARU_PUBLIC": "x", "NARU_CONFIG": "x", "OTHER": "x"}
    assert check(load(), environ) == [
        Finding("warning", "NARU_PUBIC", "Naru reads no such variable; did you mean NARU_PUBLIC?")
    ]


def data_is_a_file(folder: Path) -> dict[str, Any]:
    (folder / "file").touch()
    return {"data": folder / "file"}


def data_is_below_a_file(folder: Path) -> dict[str, Any]:
    (folder / "file").touch()
    return {"data": folder / "file" / "deeper"}


def data_is_read_only(_folder: Path) -> dict[str, Any]:
    return {"data": "/proc/naru"}  # root may write everywhere else


def database_is_elsewhere(_folder: Path) -> dict[str, Any]:
    return {"database_url": "sqlite:////proc/naru/naru.db"}


@pytest.mark.parametrize(
    "arrange",
    [data_is_a_file, data_is_below_a_file, data_is_read_only, database_is_elsewhere],
    ids=lambda f: f.__name__,
)
def test_places_that_cannot_be_used(arrange: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    if arrange in {data_is_read_only, database_is_elsewhere} and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    flags = arrange(tmp_path)
    setting = "database_url" if "database_url" in flags else "data"
    assert [(f.level, f.setting) for f in check(load(**flags), {})] == [("error", setting)]


def test_checking_makes_nothing(tmp_path: Path) -> None:
    check(load(data=tmp_path / "new"), {})
    assert list(tmp_path.iterdir()) == []


def certificate(folder: Path, name: str, *options: str) -> Settings:
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert), *(options or ("-nodes",))]
    subprocess.run(command, check=True, capture_output=True)
    return load(tls_certificate=cert, tls_key=key, public="0.0.0.0:5000")


def test_tls_makes_a_reachable_address_safe(tmp_path: Path) -> None:
    assert check(certificate(tmp_path, "good"), {}) == []


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    locked = certificate(tmp_path, "locked", "-passout", "pass:secret-word")
    (tmp_path / "text").write_text("not PEM")
    cases = {
        "cannot be read (No such file": load(tls_certificate=tmp_path / "absent", tls_key=one.tls_key),
        "cannot be read (Is a dir": load(tls_certificate=tmp_path, tls_key=one.tls_key),
        "do not work together": load(tls_certificate=one.tls_certificate, tls_key=two.tls_key),
        "without a password": locked,
        "give a PEM certificate": load(tls_certificate=tmp_path / "text", tls_key=one.tls_key),
    }
    for words, settings in cases.items():
        (finding,) = check(settings, {})
        assert finding.level == "error"
        assert words in finding.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://naru:se%23cret@db.example.com:5433/naru?sslmode=verify-full",
        "postgres://naru@/naru?host=/run/postgresql",
        "postgresql://naru@one:5432,two:5432/naru?target_session_attrs=read-write",
    ],
)
def test_a_postgresql_url_is_taken_as_it_is_and_never_shown(url: str) -> None:
    settings = load(database_url=url)
    assert settings.database == url
    assert "se%23cret" not in repr(settings)
    assert "se%23cret" not in str(settings)


def test_a_wrong_postgresql_url_does_not_show_its_password() -> None:
    for url in (
        "postgresql://naru:hidden-word@db:x/naru",
        "postgresql://naru:hidden-word@db",
        "pg://u:hidden-word@d/n",
    ):
        assert "hidden-word" not in refusal(database_url=url)
