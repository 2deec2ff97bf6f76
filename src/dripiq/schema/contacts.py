"""How can a contact be reached, and when must they not be?"""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Required, TypedDict

from sqlalchemy import ForeignKey, Index, Numeric, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.domain.states import (
    Channel,
    SuppressionScope,
    SuppressionSource,
    SuppressionType,
    ValidationResult,
    ValidationStatus,
)
from dripiq.schema.base import SCHEMA, Base, TenantKeyed, Word, lower_case, one_of

if TYPE_CHECKING:
    from dripiq.schema.hosts import LeadPointOfContact, Tenant


class CommunicationSuppression(TenantKeyed, Base):
    """An address or domain that a tenant must not write to, for one reason; kept when the contact goes."""

    __tablename__ = "communication_suppressions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "value", "type"),
        Index(None, "tenant_id", "channel", "value"),
        one_of("channel", Channel),
        one_of("scope", SuppressionScope),
        one_of("type", SuppressionType),
        one_of("source", SuppressionSource),
        lower_case("value"),
    )

    channel: Mapped[Channel] = mapped_column(Word(Channel))
    value: Mapped[str]
    scope: Mapped[SuppressionScope] = mapped_column(Word(SuppressionScope))
    type: Mapped[SuppressionType] = mapped_column(Word(SuppressionType))
    source: Mapped[SuppressionSource] = mapped_column(Word(SuppressionSource))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="communication_suppressions", viewonly=True)


class NewCommunicationSuppression(TypedDict, total=False):
    """What creates a `CommunicationSuppression`."""

    id: str
    channel: Required[Channel]
    value: Required[str]
    scope: Required[SuppressionScope]
    type: Required[SuppressionType]
    source: Required[SuppressionSource]
    first_seen_at: Required[datetime]
    last_seen_at: Required[datetime]
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


class EmailValidationResult(TenantKeyed, Base):
    """What a validation service last said of an address; `score` from 0 to 1."""

    __tablename__ = "email_validation_results"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email"),
        Index(None, "contact_id"),
        one_of("result_status", ValidationResult),
        lower_case("email"),
    )

    contact_id: Mapped[str | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.lead_point_of_contacts.id", ondelete="CASCADE")
    )
    email: Mapped[str]
    result_status: Mapped[ValidationResult] = mapped_column(Word(ValidationResult))
    score: Mapped[Decimal | None] = mapped_column(Numeric(4, 3))
    did_you_mean: Mapped[str | None]
    source: Mapped[str]
    raw: Mapped[dict[str, Any] | None]
    validated_at: Mapped[datetime]

    tenant: Mapped["Tenant"] = relationship(back_populates="email_validation_results", viewonly=True)
    contact: Mapped["LeadPointOfContact | None"] = relationship(
        back_populates="email_validation_results", viewonly=True
    )


class NewEmailValidationResult(TypedDict, total=False):
    """What creates an `EmailValidationResult`."""

    id: str
    contact_id: str | None
    email: Required[str]
    result_status: Required[ValidationResult]
    score: Decimal | None
    did_you_mean: str | None
    source: Required[str]
    raw: dict[str, Any] | None
    validated_at: Required[datetime]
    created_at: datetime
    updated_at: datetime


class ContactChannel(TenantKeyed, Base):
    """One address or number of a contact; at most one is primary per channel."""

    __tablename__ = "contact_channels"
    __table_args__ = (
        UniqueConstraint("tenant_id", "contact_id", "channel", "value"),
        Index(
            "uq_contact_channels_primary",
            "tenant_id",
            "contact_id",
            "channel",
            unique=True,
            postgresql_where=text("is_primary"),
        ),
        Index(None, "contact_id"),
        Index(None, "value", "channel"),
        one_of("channel", Channel),
        one_of("validation_status", ValidationStatus),
        lower_case("value"),
    )

    contact_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.lead_point_of_contacts.id", ondelete="CASCADE"))
    channel: Mapped[Channel] = mapped_column(Word(Channel))
    value: Mapped[str]
    is_primary: Mapped[bool] = mapped_column(server_default=false())
    validation_status: Mapped[ValidationStatus | None] = mapped_column(Word(ValidationStatus))
    validated_at: Mapped[datetime | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="contact_channels", viewonly=True)
    contact: Mapped["LeadPointOfContact"] = relationship(back_populates="channels", viewonly=True)


class NewContactChannel(TypedDict, total=False):
    """What creates a `ContactChannel`."""

    id: str
    contact_id: Required[str]
    channel: Required[Channel]
    value: Required[str]
    is_primary: bool
    validation_status: ValidationStatus | None
    validated_at: datetime | None
    created_at: datetime
    updated_at: datetime
