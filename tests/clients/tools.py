"""Signing in by each client, and podman with all of its state in a folder."""

from __future__ import annotations

from pathlib import Path

from tests.clients.registry import Person, Registry, Shell
from tests.programs import program

#: The words that sign in over plain HTTP, by client. crane speaks it to loopback by itself.
LOGIN = {
    "skopeo": ("login", "--tls-verify=false"),
    "podman": ("login", "--tls-verify=false"),
    "oras": ("login", "--plain-http"),
    "helm": ("registry", "login", "--plain-http"),
    "crane": ("auth", "login"),
}


def sign_in(shell: Shell, client: str, registry: Registry, who: Person, *options: str) -> None:
    """``client`` (its name) signs in; ``options`` come before its command. The test ends here when it is absent."""
    shell(*_login(client, registry, who, options), stdin=who.secret)


def sign_in_refused(shell: Shell, client: str, registry: Registry, who: Person, *options: str) -> str:
    """What the client says of a sign-in that must not succeed."""
    return shell.refused(*_login(client, registry, who, options), stdin=who.secret)


def _login(client: str, registry: Registry, who: Person, options: tuple[str, ...]) -> tuple[str, ...]:
    return (program(client), *options, *LOGIN[client], "-u", who.key, "--password-stdin", registry.host)


class Podman:
    """podman with images, state and settings in the shell's folder, but ``runroot``, which has to have a short path."""

    def __init__(self, shell: Shell, runroot: Path) -> None:
        self.shell = shell
        folder = shell.folder / "podman"
        folder.mkdir()
        settings = folder / "containers.conf"
        places = {"static_dir": "static", "tmp_dir": "tmp", "volume_path": "volumes"}
        lines = ["[engine]", 'cgroup_manager = "cgroupfs"', 'events_logger = "none"', 'lock_type = "file"']
        lines += [f'{name} = "{folder / place}"' for name, place in places.items()]
        settings.write_text("\n".join([*lines, "[network]", f'network_config_dir = "{folder / "networks"}"', ""]))
        shell.environment["CONTAINERS_CONF"] = str(settings)
        self.storage = (f"--root={folder / 'root'}", f"--runroot={runroot}", "--storage-driver=vfs")

    def __call__(self, *words: str | Path) -> str:
        return self.shell(program("podman"), *self.storage, *words)
