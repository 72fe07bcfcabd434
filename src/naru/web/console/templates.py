"""Templates: Jinja2 with everything escaped, one environment a language, and what all templates may call."""

from __future__ import annotations

import gettext
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.bccache import Bucket
from jinja2.runtime import Context
from markupsafe import Markup

from naru import __version__
from naru.core.ports import Clock
from naru.web.console import causes, formats
from naru.web.console.assets import Assets
from naru.web.console.language import LANGUAGES, translations
from naru.web.console.navigation import GROUPS

FOLDER = Path(__file__).parent / "templates"


class Compiled(BytecodeCache):
    """What templates were compiled to, for the environments of all languages: it is the same for each."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = Compiled()


class Templates:
    def __init__(self, assets: Assets, clock: Clock) -> None:
        self._assets = assets
        self._clock = clock
        self._icons: dict[str, Markup] = {}
        self._environments = {language: self._environment(language) for language in LANGUAGES}

    def translation(self, language: str) -> gettext.NullTranslations:
        return translations(language)

    def gettext(self, language: str, message: str) -> str:
        return translations(language).gettext(message)

    def render(self, language: str, template: str, values: Mapping[str, Any]) -> str:
        return self._environments[language].get_template(template).render(values)

    def _environment(self, language: str) -> Environment:
        made = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_COMPILED,
            extensions=["jinja2.ext.i18n"],
        )
        found = translations(language)
        made.install_gettext_translations(found, newstyle=True)  # type: ignore[attr-defined]
        made.filters.update(
            number=formats.number,
            size=formats.size,
            short=short,
            pretty=pretty,
            as_json=as_json,
            when=lambda time: formats.when(time, self._clock.now(), language, found),
            duration=lambda time: formats.duration(time, found),
            moment=lambda time: formats.absolute(time, language),
            cause=lambda text: causes.cause(text, found),
            told_log=lambda text: causes.log(text, found),
        )
        made.globals.update(
            asset=self._assets.address,
            now=self._clock.now,
            icon=self._icon,
            language=language,
            languages=LANGUAGES,
            groups=GROUPS,
            version=__version__,
            same_with=same_with,
        )
        return made

    def _icon(self, name: str) -> Markup:
        found = self._icons.get(name)
        if found is None:
            picture = Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>')
            found = self._icons[name] = picture.format(self._assets.address("vendor/icons.svg"), name)
        return found


def short(digest: str) -> str:
    """The kind of a digest and its first twelve digits."""
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}"


def pretty(text: str) -> str:
    """JSON on lines of its own; what is none as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@pass_context
def same_with(context: Context, **changes: object) -> str:
    """The address of this page with some fields of its query changed; None takes a field away."""
    view = context["view"]
    fields = [(key, value) for key, value in view.transport.query if key not in changes]
    fields += [(key, str(value)) for key, value in changes.items() if value not in (None, "")]
    path = quote(view.request.scope["path"], safe="/:@+")
    return f"{path}?{urlencode(fields)}" if fields else path
