"""Text in, the same without secrets out: errors and logs quote paths, addresses and other programs.

What is hidden: the password in any address (`postgresql://me:***@host`), what signs a request
(`X-Amz-Signature=***`), and the values of environment variables that hold a secret by their name.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

HIDDEN: Final = "***"

# Of `postgresql://me:secret@host`; a path has lost one of the slashes. The last @ ends it.
_IN_ADDRESS: Final = re.compile(r"(?<=:)(/{1,2})([^/\s:@?#]*):([^/\s]+)@")
_IN_QUERY: Final = re.compile(
    r"(?i)([?&;]|\b)((?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature"
    r"|awsaccesskeyid|access_?token|api_?key|password|passwd|secret(?:_?key)?|sig|token)=)"
    r"[^&;\s'\")]+"
)
_SECRET_NAME: Final = re.compile(
    r"(?i)(secret|secret_key|password|passwd|token|api_?key|access_key|auth_string|credentials?"
    r"|(connection|database)_url)$"
)
_SHORTEST: Final = 6  # a shorter value would be found in words


def without_secrets(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `text` with each secret as `***`."""
    for secret in _secrets(os.environ if environ is None else environ):
        text = text.replace(secret, HIDDEN)
    text = _IN_ADDRESS.sub(rf"\1\2:{HIDDEN}@", text)
    return _IN_QUERY.sub(rf"\1\2{HIDDEN}", text)


def has_secret(text: str) -> bool:
    """Say whether an address names credentials."""
    return without_secrets(text, {}) != text


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the values of secret variables, and the passwords in addresses, longest first."""
    found = set()
    for name, value in environ.items():
        in_address = _IN_ADDRESS.search(value)
        if in_address:
            found.add(in_address[3])
        elif _SECRET_NAME.search(name) and not _is_place(value):
            found.add(value)
    return sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)


def _is_place(value: str) -> bool:
    """Say whether a value is a path or an address, such as GOOGLE_APPLICATION_CREDENTIALS."""
    return "://" in value or value.startswith(("/", "./", "~"))
