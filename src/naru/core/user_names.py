"""Names of users: which are names, and which two a person could take for one.

Who may be called ``Admin``, or ``admin`` with a Cyrillic a or in full-width letters, gets roles and trust that were
meant for ``admin``. So a name is made of letters of one script (Latin may stand beside those of East Asia), and no two
users have names with one key.

Sources: Unicode UTS #39, "Restriction-level detection" (highly restrictive) and "Confusable detection", of which the
letters that look like Latin ones are here; UAX #15 (NFKC); Harbor's rules for user names, which forbid ``, " ~ # % $``.
"""

from __future__ import annotations

import unicodedata

from naru.core.errors import NameInvalid
from naru.core.text import shown

MAX_USER_NAME = 128
#: What the server, its operator and strangers are called in the audit log.
_TAKEN = frozenset({"naru", "operator", "bootstrap", "anonymous", "system"})
_SIGNS = frozenset("._-@+ ")
_MAX_MARKS = 2  # after a letter
#: Scripts that may stand together.
_TOGETHER = (
    frozenset({"LATIN", "HANGUL", "CJK"}),
    frozenset({"LATIN", "HIRAGANA", "KATAKANA", "CJK"}),
    frozenset({"LATIN", "BOPOMOFO", "CJK"}),
)
#: Letters that look like Latin ones, folded, and the digits that do. Cyrillic, Greek, Armenian, Latin.
_LOOKS_LIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u0501\u04bb\u051b\u051d\u0475\u043a\u043c\u0442\u043d"
    "\u0433\u0432\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c5\u03c4\u03c7\u03b7\u03b5\u03b3\u03c9\u03f2\u0585\u0578\u057d"
    "\u0570\u0566\u0131\u0261\u025101",
    "aeopcyxsijdhqwvkmthrbaovpikutxneywconuhqigaol",
)
_RULE = (
    "it is made of letters, digits and '.', '_', '-', '@', '+' or single spaces between them, and begins and ends with "
    "a letter or digit"
)


def user_name(name: str) -> str:
    """``name`` when a user may be called so, else ``NameInvalid`` with the rule."""
    if not 0 < len(name) <= MAX_USER_NAME:
        raise NameInvalid(f"a user name has 1 to {MAX_USER_NAME} characters, this one has {len(name)}")
    why = _fault(name)
    if why:
        raise NameInvalid(f"the user name {shown(name)} is invalid: {why}")
    return name


def _fault(name: str) -> str:  # noqa: PLR0911 - one reason a line
    if max(name) >= "\ud800" and any("\ud800" <= one <= "\udfff" for one in name):
        return "it holds half of a character"
    if unicodedata.normalize("NFKC", name) != name:
        return f"letters have their ordinary form (Unicode NFKC): write {shown(unicodedata.normalize('NFKC', name))}"
    if not (name[0].isalpha() or _is_digit(name[0])) or name[-1] in _SIGNS or "  " in name:
        return _RULE
    marks = 0
    scripts: set[str] = set()
    for one in name:
        kind = unicodedata.category(one)
        marks = marks + 1 if kind[0] == "M" else 0
        if marks > _MAX_MARKS or not (kind[0] in "LM" or _is_digit(one) or one in _SIGNS):
            return f"the character {shown(one)} is not allowed: {_RULE}"
        if kind[0] == "L":
            scripts.add(_script(one))
    if user_key(name) in _TAKEN:
        return "the audit log calls others so"
    if len(scripts) > 1 and not any(scripts <= allowed for allowed in _TOGETHER):
        return f"its letters are of several scripts ({', '.join(sorted(scripts)).title()}), which look alike"
    return ""


def user_key(name: str) -> str:
    """What two names have in common that could be taken for each other; of any text, also of names of old."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_LOOKS_LIKE)
    bare: list[str] = []
    for one in unicodedata.normalize("NFD", text):
        if unicodedata.category(one) == "Mn" and bare and _script(bare[-1]) in {"LATIN", "CYRILLIC", "GREEK"}:
            continue  # an accent
        bare.append(one)
    folded = unicodedata.normalize("NFKC", "".join(bare)).translate(_LOOKS_LIKE)
    return " ".join(folded.split())


def _is_digit(character: str) -> bool:
    return "0" <= character <= "9"


def _script(character: str) -> str:
    """The script of a letter, as the first word of its name tells it."""
    return unicodedata.name(character, "UNKNOWN").partition(" ")[0]
