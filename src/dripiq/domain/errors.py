"""What can go wrong in a way that a caller should know?

Few named classes. Each carries a stable `code` for programs, a sentence that says what is wrong and what to do, and the facts. The CLI prints the
sentence and exits with `exit_code`; the API turns the same into RFC 9457 problem details.
"""

from collections.abc import Mapping
from typing import ClassVar


class DripiqError(Exception):
    """Anything that dripiq refuses or cannot do.

    Args:
        message: one sentence that says what is wrong and what to do about it; never holds a secret.
        code: a stable, snake_case name for programs; the class's own where it is not given.
        facts: the values that the sentence is about, JSON-ready.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 400

    def __init__(self, message: str, *, code: str | None = None, facts: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or type(self).code
        self.facts = dict(facts or {})


class ConfigurationError(DripiqError):
    """A setting is missing, malformed or contradicts another."""

    code = "configuration"
    exit_code = 2
    http_status = 500


class DatabaseError(DripiqError):
    """The database is down, too old, newer than the code, or not as dripiq needs it."""

    code = "database"
    exit_code = 3
    http_status = 503


class InputError(DripiqError):
    """A file, body or argument cannot be read as what it should be."""

    code = "input"
    exit_code = 2
    http_status = 400


class PlanError(DripiqError):
    """A plan has faults (`facts["faults"]` lists them), so it cannot be activated."""

    code = "plan_faults"
    exit_code = 1
    http_status = 422


class NotFoundError(DripiqError):
    """What was asked for does not exist for this tenant."""

    code = "not_found"
    exit_code = 4
    http_status = 404


class ConflictError(DripiqError):
    """The request contradicts what is stored (a duplicate key, a final state)."""

    code = "conflict"
    exit_code = 5
    http_status = 409


class SignatureError(DripiqError):
    """A signature is missing, wrong or stale."""

    code = "signature"
    http_status = 401
