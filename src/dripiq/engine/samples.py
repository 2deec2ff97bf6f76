"""The samples that `dripiq db seed` makes."""

from dataclasses import dataclass
from typing import Any

WELCOME: dict[str, Any] = {
    "version": "1.0",
    "startNodeId": "hello",
    "nodes": [
        {
            "id": "hello",
            "channel": "email",
            "action": "send",
            "subject": "Welcome, {{ contact.name }}",
            "body": "Hello {{ contact.name }},\n\ngood to have {{ lead.name }} with us.\n\n{{ sender.name }}\n",
            "transitions": [
                {"on": "opened", "to": "wait_click", "within": "P3D"},
                {"on": "no_open", "to": "again", "after": "P3D"},
            ],
        },
        {
            "id": "wait_click",
            "channel": "email",
            "action": "wait",
            "transitions": [
                {"on": "clicked", "to": "stop", "within": "P1D"},
                {"on": "no_click", "to": "again", "after": "P1D"},
            ],
        },
        {
            "id": "again",
            "channel": "email",
            "action": "send",
            "subject": "Shall I show you around?",
            "body": "Hello {{ contact.name }},\n\na quarter of an hour is enough.\n\n{{ sender.name }}\n",
        },
    ],
}

TWO_TOUCHES: dict[str, Any] = {
    "version": "1.0",
    "timezone": "Europe/Berlin",
    "quietHours": {"start": "19:00", "end": "08:00"},
    "startNodeId": "first",
    "nodes": [
        {
            "id": "first",
            "channel": "email",
            "action": "send",
            "subject": "A question about {{ lead.name }}",
            "body": "Hello {{ contact.name }},\n\nwho looks after outreach at {{ lead.name }}?\n\n{{ sender.name }}\n",
            "transitions": [
                {"on": "replied", "to": "stop"},
                {"on": "no_reply", "to": "second", "after": "P4D"},
            ],
        },
        {
            "id": "second",
            "channel": "email",
            "action": "send",
            "subject": "Shall I close this?",
            "body": "Hello {{ contact.name }},\n\nif I hear nothing, I won't write again.\n\n{{ sender.name }}\n",
        },
    ],
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample tenant: its sender, its plan, and its contacts as (company, name, time zone)."""

    tenant: str
    person: str
    email: str
    plan: dict[str, Any]
    contacts: tuple[tuple[str, str, str], ...]


SAMPLES = (
    Sample(
        "Sample Northwind",
        "Nora Wind",
        "nora@northwind.example.com",
        WELCOME,
        (
            ("Harbour Books", "Ann Miller", "America/New_York"),
            ("Harbour Books", "Ben Ortiz", "America/New_York"),
            ("Prairie Tools", "Carla Young", "America/Chicago"),
            ("Bay Software", "Dev Patel", "America/Los_Angeles"),
        ),
    ),
    Sample(
        "Sample Fabrikat",
        "Fritz Faber",
        "fritz@fabrikat.example.com",
        TWO_TOUCHES,
        (
            ("Alpenwerk", "Eva Huber", "Europe/Vienna"),
            ("Hafen Logistik", "Jan Petersen", "Europe/Berlin"),
            ("Hafen Logistik", "Lena Vogt", "Europe/Berlin"),
            ("Maison Verte", "Claire Dubois", "Europe/Paris"),
        ),
    ),
    Sample(
        "Sample Kangaroo",
        "Kate Ross",
        "kate@kangaroo.example.com",
        WELCOME,
        (
            ("Sakura Design", "Yuki Tanaka", "Asia/Tokyo"),
            ("Lotus Trade", "Mei Chen", "Asia/Singapore"),
            ("Coral Labs", "Noah Smith", "Australia/Sydney"),
        ),
    ),
)
