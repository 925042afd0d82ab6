"""Variables: `${NAME}`, `${NAME:-default}` and `${secret:NAME}` in the scalars of a pipeline file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

SECRETS_FOLDER = Path("/run/secrets")

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SECRET = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]*)")

SECRET = re.compile(rf"\$\{{{_SECRET.pattern}\}}")
"""A reference to a secret, as written in a file."""


class Variables:
    """
    Replace variables in texts, once, without expanding the inserted values; collect the secrets.

    Args:
        environ: The environment with the variables.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.secrets: list[str] = []

    def replace(self, text: str, *, keep_secrets: bool = False) -> tuple[str, list[str]]:
        """
        Insert values; return the text, and for each reference without a value what to do about it.

        Args:
            keep_secrets: Whether a secret that is not set stays as written, and is not a mistake.
        """
        mistakes: list[str] = []

        def value(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            try:
                return self._value(match[0], match[1])
            except LookupError as exc:
                if keep_secrets and _SECRET.fullmatch(match[1]):
                    return match[0]
                mistakes.append(str(exc.args[0]))
                return ""

        return _REFERENCE.sub(value, text), mistakes

    def _value(self, reference: str, inner: str) -> str:
        secret = _SECRET.fullmatch(inner)
        variable = _VARIABLE.fullmatch(inner)
        if reference[-1] != "}" or not (secret or variable):
            raise LookupError(
                f"{reference!r} is not a variable; write ${{NAME}}, ${{NAME:-default}} or ${{secret:NAME}}, "
                "and $${ for a plain ${"
            )
        if variable and "${" in (variable[2] or ""):
            raise LookupError(
                f"the default of variable {variable[1]} holds another one; write plain text there, or none, "
                f"and set {variable[1]}"
            )
        if secret:
            value = self._secret(secret[1])
            self.secrets.append(value)
            return value
        assert variable is not None
        name, default = variable[1], variable[2]
        found = self._environ.get(name)
        if default is None and found is None:
            raise LookupError(f"variable {name} is not set; set it, or give a default: ${{{name}:-value}}")
        # As in a shell, `:-` also applies to a variable that is set but empty.
        return found or default or ""

    def _secret(self, name: str) -> str:
        if name in self._environ:
            return self._environ[name]
        file = Path(self._environ.get(f"{name}_FILE") or SECRETS_FOLDER / name)
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as exc:
            raise LookupError(
                f"secret {name} is not set; set the variable {name}, or {name}_FILE to a file that holds it"
            ) from exc
