"""The types say what the tables hold: entities, what creates them, and the relations between them, both ways."""

from inspect import get_annotations
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy import Column, ForeignKeyConstraint, Table
from sqlalchemy.orm import RelationshipDirection, configure_mappers

import dripiq.schema as schema
from dripiq.schema import Base

ENTITIES = (
    "EmailSenderIdentity",
    "ContactCampaign",
    "CampaignPlanVersion",
    "ScheduledAction",
    "OutboundMessage",
    "MessageEvent",
    "WebhookDelivery",
    "InboundMessage",
    "CommunicationSuppression",
    "SendRateLimit",
    "EmailValidationResult",
    "ContactChannel",
    "CampaignTransition",
)
each_entity = pytest.mark.parametrize("name", ENTITIES)


def table_of(name: str) -> Table:
    table = getattr(schema, name).__table__
    assert isinstance(table, Table)
    return table


def is_optional(column: Column[Any]) -> bool:
    return bool(column.nullable) or column.server_default is not None or column.default is not None


@each_entity
def test_what_creates_a_row_has_every_column_but_the_tenant(name: str) -> None:
    new = getattr(schema, f"New{name}")
    columns = [column for column in table_of(name).columns if column.name != "tenant_id"]

    assert set(get_type_hints(new)) == {column.name for column in columns}
    assert new.__required_keys__ == {column.name for column in columns if not is_optional(column)}


@each_entity
def test_a_field_may_be_none_where_its_column_may_be_null(name: str) -> None:
    hints = get_type_hints(getattr(schema, f"New{name}"))
    nullable = {column.name for column in table_of(name).columns if column.nullable}

    assert {field for field, hint in hints.items() if NoneType in get_args(hint)} == nullable


@each_entity
def test_what_creates_a_row_and_the_entity_agree_on_each_fields_type(name: str) -> None:
    entity = {field: get_args(hint)[0] for field, hint in mapped_hints(name).items()}
    for field, hint in get_type_hints(getattr(schema, f"New{name}")).items():
        assert hint == entity[field]


def mapped_hints(name: str) -> dict[str, Any]:
    """The annotations of an entity's columns (relations name classes that only type checkers import)."""
    columns = set(table_of(name).columns.keys())
    hints: dict[str, Any] = {}
    for base in reversed(getattr(schema, name).__mro__):
        hints |= {field: hint for field, hint in get_annotations(base).items() if field in columns}
    return hints


@each_entity
def test_entity_and_new_entity_are_exported(name: str) -> None:
    assert {name, f"New{name}"} <= set(schema.__all__)


def test_every_relation_is_declared_both_ways() -> None:
    configure_mappers()
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            assert relation.back_populates, relation
            back = relation.mapper.relationships[relation.back_populates]
            assert back.mapper is mapper
            assert back.back_populates == relation.key


def test_every_foreign_key_of_a_campaign_table_is_a_relation_that_carries_its_columns() -> None:
    for name in ENTITIES:
        relations = [
            relation
            for relation in getattr(schema, name).__mapper__.relationships
            if relation.direction is RelationshipDirection.MANYTOONE
        ]
        joined = {frozenset(column.name for column in relation.local_columns) for relation in relations}
        keys = [rule for rule in table_of(name).constraints if isinstance(rule, ForeignKeyConstraint)]
        assert {frozenset(key.column_keys) for key in keys} <= joined


def test_relations_between_campaign_tables_join_on_the_tenant() -> None:
    entities = {getattr(schema, name) for name in ENTITIES}
    for entity in entities:
        for relation in entity.__mapper__.relationships:
            if relation.mapper.class_ in entities:
                assert ("tenant_id", "tenant_id") in {
                    (near.name, far.name) for near, far in relation.local_remote_pairs
                }
