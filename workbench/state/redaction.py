"""
The one redactor: takes secrets out of text before it reaches a person or a file.

It knows the shapes in which secrets travel through a chat service: passwords in URLs, bearer
tokens, JSON Web Tokens, phone numbers, and values behind a telling name. It works on text alone,
so it may take out too much; it is used where too much costs little. Standard library only.
"""

import re

__all__ = ["redact"]

_HIDDEN = "[redacted]"
_TELLING = r"\b(?:\w*password|passwd|\w*secret|\w*token|api_?key|requirepass|masterauth)\b['\"]?"
# To the closing quote if it is quoted, else to the next space or separator.
_VALUE = (
    r"(?!['\"]?\[redacted\])"
    r"(?:(?P<quote>['\"])(?:\\.|(?!(?P=quote)).)+|[^\s'\",;}&]+)"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # redis://user:password@host: all up to the last @ of the word, since people write passwords
    # with @, / and quotes in them.
    (re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)\S*@", re.I), rf"\g<scheme>{_HIDDEN}@"),
    # A JSON Web Token: three base64url parts, the first of which opens with '{"'.
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"), _HIDDEN),
    (re.compile(r"\bBearer\s+[\w.~+/=-]+", re.I), f"Bearer {_HIDDEN}"),
    # A conversation's key carries the caller's number.
    (re.compile(r"\bchannel:(?!\[redacted\])[^\s'\",;)\]}]+"), f"channel:{_HIDDEN}"),
    # A phone number in international form, with or without separators.
    (re.compile(r"\+\d[\d\s()-]{6,17}\d\b"), _HIDDEN),
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
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text
