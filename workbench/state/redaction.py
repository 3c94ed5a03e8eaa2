"""
The one redactor: takes secrets out of text before it reaches a person or a file.

It knows the shapes in which secrets travel through a chat service: passwords in URLs, bearer
tokens, JSON Web Tokens, phone numbers, and values behind a telling name. It works on text alone,
so it may take out too much; it is used where too much costs little. Standard library only.
"""

import re

__all__ = ["redact"]

_HIDDEN = "[redacted]"
_TELLING = (
    r"\b(?:\w*password|passwd|pwd|passphrase|\w*secret|\w*token|api[_-]?key|requirepass|masterauth)"
    r"\b['\"]?"
)
# To the closing quote if it is quoted, else to the next space or separator.
_VALUE = (
    r"(?!['\"]?\[redacted\])"
    r"(?:(?P<quote>['\"])(?:\\.|(?!(?P=quote)).)+|[^\s'\",;}&]+)"
)

_WORD = re.compile(r"\S+")
_SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://", re.I)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A JSON Web Token: three base64url parts, the first of which opens with '{"'.
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"), _HIDDEN),
    (re.compile(r"\bBearer\s+[\w.~+/=-]+", re.I), f"Bearer {_HIDDEN}"),
    # Authorization: Basic dTpwdw==, and whatever other scheme.
    (
        re.compile(r"(?P<scheme>\bAuthorization['\"]?\s*[=:]\s*['\"]?\w+\s+)[\w.~+/=-]+", re.I),
        rf"\g<scheme>{_HIDDEN}",
    ),
    # A conversation's key carries the caller's number.
    (
        re.compile(r"\b(?P<prefix>channel:)(?!\[redacted\])[^\s'\",;)\]}]+", re.I),
        rf"\g<prefix>{_HIDDEN}",
    ),
    # A phone number in international form, with or without separators.
    (re.compile(r"\+\d[\d\s().-]{6,17}\d\b"), _HIDDEN),
    # In local form: 0771234567, 077 123 4567, (077) 123-4567. No count begins with a zero, and
    # the minutes of a time stand behind a colon.
    (
        re.compile(
            r"(?<![\w./,+-])(?<!\d:)"
            r"(?:(?:\(0\d{1,3}\) ?|0\d{1,3}[ .-])\d{3}(?:[ .-]?\d){2,5}|0[1-9]\d{7,9})"
            r"(?![\w:]|[.-]\d)"
        ),
        _HIDDEN,
    ),
    # AUTH password, AUTH user password: as the server's client writes it.
    (re.compile(r"\bAUTH\s+(?!\[redacted\])\S+(?:\s+\S+)?"), f"AUTH {_HIDDEN}"),
    # password=…, 'token': '…'; then requirepass …, since in "secret token: …" the last name counts.
    (re.compile(rf"(?P<name>{_TELLING}\s*[=:]\s*){_VALUE}", re.I), rf"\g<name>\g<quote>{_HIDDEN}"),
    (re.compile(rf"(?P<name>{_TELLING}\s+)(?![=:]){_VALUE}", re.I), rf"\g<name>\g<quote>{_HIDDEN}"),
)


def redact(text: str) -> str:
    """
    The text without passwords, tokens and phone numbers.

    Args:
        text: anything that is to be printed, logged or stored.

    Returns:
        The same text with each secret replaced by ``[redacted]``. Redacting twice changes nothing.
    """
    before = None
    # Until nothing changes: what one pattern takes out may leave what another one takes out.
    while text != before:
        before = text
        if "://" in text:
            text = _WORD.sub(_without_login, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def _without_login(found: re.Match[str]) -> str:
    """redis://user:password@host: all to the last @ of the word; people put @, / and quotes in."""
    word = found[0]
    if "://" not in word:
        return word
    scheme, at = _SCHEME.search(word), word.rfind("@")
    if scheme is None or at < scheme.end():
        return word
    return f"{word[: scheme.end()]}{_HIDDEN}{word[at:]}"
