"""The server as a process: it starts, answers on its sockets, and stops."""

from __future__ import annotations

import http.client
from pathlib import Path

from tests.server import Server, free_port


def test_it_answers_on_a_real_socket(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    assert answer.status == 401
    connection.close()
    assert f'realm="http://{server.host}/service/token"' in (answer.getheader("www-authenticate") or "")


def test_a_second_server_on_the_same_folder_is_refused(server: Server) -> None:
    port = free_port()
    answer = server.naru("serve", "--public", f"127.0.0.1:{port}", "--private", f"127.0.0.1:{free_port()}")
    assert answer.returncode == 1
    assert "another server runs on this data folder" in answer.stderr


def test_it_listens_on_a_name(tmp_path: Path) -> None:
    """Settings take names; what serves takes IP addresses."""
    port = free_port()
    named = Server(tmp_path / "data", {"NARU_PUBLIC": f"localhost:{port}"}, port=port)
    try:
        named.start()
    finally:
        named.kill()


def test_a_name_that_nobody_knows_is_told_before_anything_is_made(tmp_path: Path) -> None:
    lost = Server(tmp_path / "data", {"NARU_PUBLIC": "registry.invalid:5000", "NARU_INSECURE_HTTP": "true"})
    answer = lost.naru("serve")
    assert answer.returncode == 1
    assert "cannot listen on registry.invalid:5000" in answer.stderr
    assert not lost.data.exists()
