"""The server as a process: it starts, answers on its sockets, and stops."""

from __future__ import annotations

import http.client

from tests.server import Server


def test_it_answers_on_a_real_socket(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    assert answer.status == 401
    connection.close()
    assert f'realm="http://{server.host}/service/token"' in (answer.getheader("www-authenticate") or "")
