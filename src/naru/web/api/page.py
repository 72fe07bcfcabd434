"""The page at ``/api/docs``: the OpenAPI document as one HTML page that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from naru.web.api.document import Node, operations, plain, resolve

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--link:#0a58ca}
@media(prefers-color-scheme:dark){:root{--link:#6ea8fe}}
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1rem 1.5rem;font:1rem/1.5 system-ui,sans-serif}
a{color:var(--link)}h2{margin-top:3rem;border-bottom:1px solid var(--line)}h3{margin:2.2rem 0 .3rem}
code,pre{font:.875rem/1.45 ui-monospace,monospace}code{overflow-wrap:anywhere}
pre{padding:.75rem;overflow:auto;background:var(--soft);border-radius:.4rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}caption{text-align:left;font-weight:600}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}
nav ul{columns:20rem;padding-left:1.2rem}.method{font-weight:700}.wide{overflow-x:auto}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def render(document: Node) -> str:
    """The page. Everything from the document is escaped."""
    info = document["info"]
    groups: dict[str, list[tuple[str, str, Node]]] = {}
    for path, method, operation in operations(document):
        groups.setdefault((operation.get("tags") or ["other"])[0], []).append((path, method, operation))
    schemas = document["components"]["schemas"]
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><header>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{_text(info['description'])}</p>",
        f'<p>This page as an OpenAPI document: <a href="{escape(_OPENAPI)}">openapi.json</a>.</p></header>',
        f"<nav>{''.join(_contents(groups))}</nav><main>",
    ]
    for tag, found in groups.items():
        parts.append(f'<section><h2 id="{_anchor(tag)}">{escape(tag.capitalize())}</h2>')
        parts += [_operation(path, method, operation, schemas) for path, method, operation in found]
        parts.append("</section>")
    parts += [_sign_in(document), _codes(document), "</main></body></html>"]
    return "\n".join(parts)


_OPENAPI = "openapi.json"


def _contents(groups: dict[str, list[tuple[str, str, Node]]]) -> Iterator[str]:
    for tag, found in groups.items():
        yield f'<h4><a href="#{_anchor(tag)}">{escape(tag.capitalize())}</a></h4><ul>'
        for _path, _method, operation in found:
            yield f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>'
        yield "</ul>"
    yield '<ul><li><a href="#sign-in">Sign in</a></li><li><a href="#codes">Result codes</a></li></ul>'


def _operation(path: str, method: str, operation: Node, schemas: Node) -> str:
    parts = [
        f'<article><h3 id="{escape(operation["operationId"])}">{escape(operation["summary"])}</h3>',
        f'<p><code><span class="method">{method}</span> {escape(path)}</code></p>',
        f"<p>{_text(operation.get('description', ''))}</p>",
    ]
    rows = [_parameter(one, schemas) for one in operation.get("parameters", [])]
    parts.append(_table("Parameters", ("Name", "In", "Type", "Required", "Meaning"), rows))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        parts.append(_body("Body", content, schemas))
    answer = operation["responses"]["200"]
    parts.append(f"<p>{_text(answer['description'])}</p>")
    for kind, content in answer.get("content", {}).items():
        parts.append(_body(f"Answer ({kind})", content, schemas))
    return "\n".join([*parts, "</article>"])


def _parameter(one: Node, schemas: Node) -> list[str]:
    schema = one["schema"]
    return [
        f"<code>{escape(one['name'])}</code>",
        escape(one["in"]),
        escape(_type(schema, schemas)),
        "yes" if one.get("required") else "no",
        _text(one.get("description", "")) + _limits(schema, schemas),
    ]


def _body(title: str, content: Node, schemas: Node) -> str:
    rows = [
        [f"<code>{escape(name)}</code>", escape(_type(schema, schemas)), "yes" if needed else "no", text]
        for name, schema, needed, text in _fields("", content.get("schema", {}), schemas)
        if not name.startswith("header.")
    ]
    shown = _table(title, ("Field", "Type", "Required", "Meaning"), rows)
    if "example" in content:
        text = json.dumps(content["example"], indent=2, ensure_ascii=False)
        shown += f"<pre><code>{escape(text)}</code></pre>"
    return shown


def _fields(prefix: str, schema: Node, schemas: Node, depth: int = 0) -> Iterator[tuple[str, Node, bool, str]]:
    """The fields of an object and of what is in it, their names joined by dots."""
    found, _nullable = plain(schema, schemas)
    if found.get("type") == "array":
        found, _nullable = plain(found.get("items", {}), schemas)
    needed = found.get("required", [])
    for name, one in found.get("properties", {}).items():
        text = one.get("description") or resolve(one, schemas).get("description", "")
        yield prefix + name, one, name in needed, _text(text) + _limits(one, schemas)
        if depth < 6:
            yield from _fields(f"{prefix}{name}.", one, schemas, depth + 1)


def _type(schema: Node, schemas: Node) -> str:
    found, nullable = plain(schema, schemas)
    kind = str(found.get("type", "any"))
    if kind == "array":
        kind = f"list of {_type(found.get('items', {}), schemas)}"
    return f"{kind} or null" if nullable else kind


def _limits(schema: Node, schemas: Node) -> str:
    """What is allowed, in words."""
    found, _nullable = plain(schema, schemas)
    words = {
        "minimum": "from {}",
        "maximum": "to {}",
        "maxLength": "at most {} characters",
        "maxItems": "at most {} items",
        "pattern": "matches {}",
        "format": "as {}",
    }
    said = [text.format(found[key]) for key, text in words.items() if key in found]
    if "enum" in found:
        said.append("one of " + ", ".join(str(one) for one in found["enum"]))
    default: Any = schema.get("default")
    if default is not None and not isinstance(default, dict | list):
        said.append(f"{json.dumps(default)} when absent")
    return f" <small>({escape('; '.join(said))})</small>" if said else ""


def _table(title: str, names: tuple[str, ...], rows: list[list[str]]) -> str:
    """``rows`` are HTML already."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>"
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _sign_in(document: Node) -> str:
    rows = [
        [f"<code>{escape(one.get('name', 'Authorization'))}</code>", _text(one["description"])]
        for one in document["components"]["securitySchemes"].values()
    ]
    return f'<section><h2 id="sign-in">Sign in</h2>{_table("Headers", ("Header", "Meaning"), rows)}</section>'


def _codes(document: Node) -> str:
    rows = [["<code>200</code>", "Success."]]
    rows += [[f"<code>{escape(str(one['code']))}</code>", _text(one["meaning"])] for one in document["x-result-codes"]]
    table = _table("resultCode of the header", ("Code", "Meaning"), rows)
    return f'<section><h2 id="codes">Result codes</h2>{table}</section>'


def _text(text: str) -> str:
    """Escaped, with what is between backticks as code."""
    return re.sub(r"``?([^`]+)``?", r"<code>\1</code>", escape(text)).replace("\n\n", "</p><p>")


def _anchor(tag: str) -> str:
    return "tag-" + re.sub(r"[^a-z0-9]+", "-", tag.lower())
