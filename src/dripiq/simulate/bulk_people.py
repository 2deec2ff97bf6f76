"""Who writes, to whom, and what is known of them before anything is sent?"""

from typing import Final

from dripiq.simulate.bulk_rows import Loaded, Population, Rows


def _tenants(people: Population) -> Rows:
    for number, id in enumerate(people.tenant_ids):
        yield id, f"Tenant {number:05}"


TENANTS: Final = Loaded("tenants", "id name", _tenants)


def _users(people: Population) -> Rows:
    for number, id in enumerate(people.user_ids):
        yield id, f"user{number}@example.com", f"User {number}"


USERS: Final = Loaded("users", "id email name", _users)


def _leads(people: Population) -> Rows:
    for id, tenant_id in {campaign.lead_id: campaign.tenant_id for campaign in people.campaigns}.items():
        yield id, tenant_id, f"Company {id[:8]}"


LEADS: Final = Loaded("leads", "id tenant_id name", _leads)


def _contacts(people: Population) -> Rows:
    for campaign in people.campaigns:
        yield (
            campaign.contact_id,
            campaign.tenant_id,
            campaign.lead_id,
            f"crm-{campaign.number}",
            f"Contact {campaign.number}",
            people.address(campaign),
            "Europe/Berlin",
        )


CONTACTS: Final = Loaded("lead_point_of_contacts", "id tenant_id lead_id external_ref name email timezone", _contacts)


def _senders(people: Population) -> Rows:
    for number, (id, tenant_id, user_id) in enumerate(
        zip(people.sender_ids, people.tenant_ids, people.user_ids, strict=True)
    ):
        yield tenant_id, id, user_id, f"sales{number}@example.org", "Sales", "example.org", "verified", True


SENDERS: Final = Loaded(
    "email_sender_identities", "tenant_id id user_id from_email from_name domain validation_status is_default", _senders
)


def _settings(people: Population) -> Rows:
    for id, tenant_id in zip(people.ids("settings", len(people.tenant_ids)), people.tenant_ids, strict=True):
        yield tenant_id, id


SETTINGS: Final = Loaded("tenant_settings", "tenant_id id", _settings)


def _limits(people: Population) -> Rows:
    for id, tenant_id in zip(people.ids("limits", len(people.tenant_ids)), people.tenant_ids, strict=True):
        yield tenant_id, id, "email", "tenant", 5_000


LIMITS: Final = Loaded("send_rate_limits", "tenant_id id channel scope max_per_hour", _limits)


def _suppressions(people: Population) -> Rows:
    stopped = people.campaigns[::20]
    for id, campaign in zip(people.ids("suppressions", len(stopped)), stopped, strict=True):
        seen = people.start
        yield campaign.tenant_id, id, "email", people.address(campaign), "address", "bounce", "webhook", seen, seen


SUPPRESSIONS: Final = Loaded(
    "communication_suppressions",
    "tenant_id id channel value scope type source first_seen_at last_seen_at",
    _suppressions,
)


def _validations(people: Population) -> Rows:
    asked = people.campaigns[::2]
    for id, campaign in zip(people.ids("validations", len(asked)), asked, strict=True):
        yield campaign.tenant_id, id, campaign.contact_id, people.address(campaign), "valid", "import", people.start


VALIDATIONS: Final = Loaded(
    "email_validation_results", "tenant_id id contact_id email result_status source validated_at", _validations
)


def _channels(people: Population) -> Rows:
    known = people.campaigns[::4]
    for id, campaign in zip(people.ids("channels", len(known)), known, strict=True):
        yield campaign.tenant_id, id, campaign.contact_id, "email", people.address(campaign), True


CHANNELS: Final = Loaded("contact_channels", "tenant_id id contact_id channel value is_primary", _channels)
