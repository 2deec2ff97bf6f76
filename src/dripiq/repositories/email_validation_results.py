"""What did a validation service say of an address?"""

from dripiq.repositories.base import TenantRepository
from dripiq.schema import EmailValidationResult, NewEmailValidationResult


class EmailValidationResultRepository(TenantRepository[EmailValidationResult, NewEmailValidationResult]):
    """The last result for each address that a tenant had validated."""

    entity = EmailValidationResult
    identity = ("email",)

    def get_by_email(self, email: str) -> EmailValidationResult | None:
        """The result for an address, in any case."""
        return self._first(EmailValidationResult.email == email.strip().lower())
