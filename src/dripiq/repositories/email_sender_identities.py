"""From which addresses does a tenant send?"""

from dripiq.repositories.base import TenantRepository
from dripiq.schema import EmailSenderIdentity, NewEmailSenderIdentity


class EmailSenderIdentityRepository(TenantRepository[EmailSenderIdentity, NewEmailSenderIdentity]):
    """A tenant's sender identities; one for each address."""

    entity = EmailSenderIdentity
    identity = ("from_email",)

    def get_by_from_email(self, from_email: str) -> EmailSenderIdentity | None:
        """The identity of an address, in any case."""
        return self._first(EmailSenderIdentity.from_email == from_email.strip().lower())

    def default_for(self, user_id: str) -> EmailSenderIdentity | None:
        """The identity that a user sends from where nothing else is said."""
        return self._first(EmailSenderIdentity.user_id == user_id, EmailSenderIdentity.is_default)
