"""Webhooks of a registry in the console: made, changed, tested; deliveries, sent again; resumed after a suspension."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Naru
from tests.console.visitor import signed_in, text_of
from tests.webhooks.receiver import OPEN, receiving

pytestmark = pytest.mark.options(**OPEN)


def form(address: str, **more: object) -> dict[str, object]:
    fields = {"targets": "1", "address-0": address, "kind-0": "http", "format-0": "Default", "sign-0": "none"}
    patterns = {"scope": "**", "scope_include": "true", "tag": "**", "tag_include": "true"}
    return {"name": "deploy", "event": "PUSH_ARTIFACT", "enabled": "on", **fields, **patterns, **more}


async def test_a_webhook_from_its_creation_to_its_deletion(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    tab, new = f"{base}/registries/team/webhooks", f"{base}/registries/team/new-webhook"
    assert "There is no webhook yet" in await visitor.page(tab)
    more = await visitor.post(new, form("http://127.0.0.1:9/a", **{"add": "yes", "header-0": "Bearer of-nobody"}))
    page = more.body.decode()
    assert more.status == 200
    assert 'name="address-1"' in page
    assert 'value="http://127.0.0.1:9/a"' in page
    fewer = {"targets": "2", "remove": "0", "address-1": "http://127.0.0.1:9/b", "kind-1": "slack"}
    page = (await visitor.post(new, form("http://127.0.0.1:9/a", **fewer))).body.decode()
    assert 'name="address-0" type="text" class="mono" value="http://127.0.0.1:9/b"' in page
    assert 'name="address-1"' not in page
    assert "There is no webhook yet" in await visitor.page(tab)  # nothing was made by either
    there = await visitor.done(new, form("http://127.0.0.1:9/a", **{"header-0": "Bearer of-nobody", "skip-0": "on"}))
    page = await visitor.page(there)
    assert "of-nobody" not in page
    assert "Header Certificate unchecked" in text_of(page)
    assert "Nothing was delivered" in page
    assert "of-nobody" not in await visitor.page(f"{there}/change")
    assert "One is kept" in await visitor.page(f"{there}/change")
    was = re.findall(r'name="was-0" value="(\d+)"', await visitor.page(f"{there}/change"))[0]
    await visitor.done(f"{there}/change", form("http://127.0.0.1:9/a", **{"was-0": was, "name": "other"}))
    page = text_of(await visitor.page(there))
    assert "Header" in page  # an empty field keeps it
    assert "Certificate unchecked" not in page
    await visitor.done(f"{there}/change", form("http://127.0.0.1:9/a", **{"was-0": was, "drop-0": "on"}))
    assert "Header" not in text_of(await visitor.page(there))
    await visitor.done(f"{there}/enabled", {"enabled": "false"})
    assert "Disabled" in text_of(await visitor.page(tab))
    twice = await visitor.post(new, form("http://127.0.0.1:9/a"))
    assert twice.status == 409
    assert 'id="e-name"' in twice.body.decode()
    await visitor.done(f"{there}/delete")
    assert "was deleted" in await visitor.page(tab)
    for path in (there, f"{there}/change", f"{tab}/x"):
        assert (await visitor.get(path)).status == 404


@pytest.mark.parametrize(
    ("fields", "field", "english", "korean"),
    [
        ({"address-0": "ftp://x"}, "address-0", "begins with http:// or https://", "https://로 시작해야 합니다"),
        ({"address-0": ""}, "address-0", "begins with http://", "로 시작해야 합니다"),
        ({"address-0": "http://me:you@x/"}, "address-0", "holds a user or password", "사용자나 비밀번호를"),
        ({"address-0": "http://169.254.1.1/"}, "address-0", "may not be called", "호출할 수 없는 주소"),
        ({"header-0": "\u00e4"}, "header-0", "visible ASCII characters", "보이는 ASCII 문자"),
        ({"sign-0": "own", "secret-0": "short"}, "secret-0", "8 to 256 visible", "8~256자"),
        ({"event": []}, "event", "an event at least", "하나 이상 선택"),
        ({"scope": "["}, "scope", "a '[' has no ']'", "']'이 없습니다"),
        ({"name": "x" * 256}, "name", "1 to 255 visible characters", "1~255자"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(
    naru: Naru, fields: dict[str, object], field: str, english: str, korean: str
) -> None:
    for language, expected in (("en", english), ("ko", korean)):
        visitor, base = await signed_in(naru, language)
        answer = await visitor.post(f"{base}/registries/team/new-webhook", form("http://127.0.0.1:9/a", **fields))
        assert answer.status == 400
        fault = re.findall(rf'id="e-{field}" role="alert">(.*?)</p>', answer.body.decode(), re.DOTALL)
        assert expected in text_of(fault[0])


async def test_a_signing_secret_is_made_shown_once_and_kept(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    async with receiving() as receiver:
        answer = await visitor.post(f"{base}/registries/team/new-webhook", form(receiver.url, **{"sign-0": "new"}))
        page = answer.body.decode()
        secret = re.findall(r'class="secret">(whsec_[^<]+)<', page)[0]
        there = re.findall(r'href="([^"]*/webhooks/\d+)"', page)[0]
        assert "Secrets State Waiting Given up" in text_of(await visitor.page(there))
        assert "Signature" in text_of(await visitor.page(there))
        assert secret not in await visitor.page(f"{there}/change")
        was = re.findall(r'name="was-0" value="(\d+)"', await visitor.page(f"{there}/change"))[0]
        await visitor.done(f"{there}/change", form(receiver.url, **{"was-0": was, "sign-0": "keep"}))
        await visitor.post(f"{there}/test")
        assert receiver.got[0].headers["webhook-signature"].startswith("v1,")
        await visitor.done(f"{there}/change", form(receiver.url, **{"was-0": was, "sign-0": "none"}))
        await visitor.post(f"{there}/test")
        assert "webhook-signature" not in receiver.got[1].headers


async def test_a_test_a_delivery_and_sending_it_again(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    async with receiving() as receiver:
        receiver.answers = [b"HTTP/1.1 418 X\r\nContent-Length: 19\r\nX-Odd: 1\r\n\r\n<b>secret-token</b>"]
        more = {"header-0": "Bearer secret-token"}
        there = await visitor.done(f"{base}/registries/team/new-webhook", form(receiver.url, **more))
        answer = await visitor.post(f"{there}/test")
        page = answer.body.decode()
        assert answer.status == 200
        assert "Not delivered" in text_of(page)
        assert "HTTP 418" in text_of(page)
        assert "secret-token" not in page
        assert "<b>*" not in page  # what came back is text
        one = re.findall(rf'href="({there}/deliveries/\d+)"', page)[0]
        page = await visitor.page(one)
        assert "Authorization: *****" in page
        assert "naru-test" in page
        assert "secret-token" not in page
        assert "Try 1 HTTP 418" in text_of(page)
        again = await visitor.done(f"{one}/redeliver")
        page = await visitor.page(again)
        assert ("data-poll" in page) is ("Waiting" in text_of(page))
        await naru.application.deliveries.settle()
        assert "Delivered" in text_of(await visitor.page(again))
        assert "data-poll" not in await visitor.page(again)
        for query, count in (("", 2), ("?status=Error", 1), ("?event=PULL_ARTIFACT", 0), ("?q=naru-test&page=9", 0)):
            page = await visitor.page(there + query)
            assert len(re.findall(rf'href="{there}/deliveries/\d+"', page)) == count, query
        assert (await visitor.get(f"{there}/deliveries/9999")).status == 404
        await visitor.done(f"{there}/enabled", {"enabled": "false"})
        refused = await visitor.post(f"{one}/redeliver")
        assert refused.status == 409
        assert "is switched off" in text_of(refused.body.decode())


async def test_a_suspended_webhook_says_why_and_is_resumed(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    there = await visitor.done(f"{base}/registries/team/new-webhook", form("http://127.0.0.1:9/a"))

    def suspend(tx: object) -> None:
        tx.exec_driver_sql(  # type: ignore[attr-defined]
            "UPDATE webhook_targets SET suspended_at = 1, failures = 9, notice = 'it <b>failed</b>', waiting = 3"
        )

    await naru.core.database.write(suspend)
    page = await visitor.page(there)
    assert "failed for too long and was suspended" in text_of(page)
    assert "it &lt;b&gt;failed&lt;/b&gt;" in page
    assert "3 events wait for it." in text_of(page)
    assert "Suspended" in text_of(await visitor.page(f"{base}/registries/team/webhooks"))
    await visitor.done(f"{there}/enabled", {"enabled": "true"})
    assert "suspended" not in text_of(await visitor.page(there))


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", '" autofocus onfocus="x', "{{ 7*7 }}", "%(num)s"])
async def test_hostile_names_are_text(naru: Naru, name: str) -> None:
    visitor, base = await signed_in(naru)
    there = await visitor.done(
        f"{base}/registries/team/new-webhook", form("http://127.0.0.1:9/<script>", **{"name": name})
    )
    for path in (f"{base}/registries/team/webhooks", there, f"{there}/change", f"{there}/delete"):
        page = await visitor.page(path)
        assert "<img src=x" not in page
        assert "<script>alert" not in page
        assert 'onfocus="x' not in page
        assert name in text_of(page) or path.endswith("change")
