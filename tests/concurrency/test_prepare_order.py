"""Dispatch locks campaigns before actions, over all channels of a lease: so it and whoever takes hold of campaigns never wait in a circle."""

import threading
from typing import Any

import pytest

from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch import prepare as preparing
from dripiq.repositories.standing import lock_campaigns
from dripiq.schema.ids import new_id
from tests.engine.conftest import World, email_plan

SMS = {
    "version": "1.0",
    "startNodeId": "t",
    "nodes": [{"id": "t", "channel": "sms", "action": "send", "body": "Hello"}],
}


def test_a_worker_and_a_pause_of_all_campaigns_do_not_lock_each_other_out(
    crowd: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = crowd
    by_text, by_mail = world.contacts[:2]
    world.execute(
        "INSERT INTO dripiq_app.contact_channels (tenant_id, id, contact_id, channel, value, is_primary)"
        " VALUES (:tenant_id, :id, :contact, 'sms', '+4915100000', true)",
        id=new_id(),
        contact=by_text,
    )
    first = world.enroll(SMS, [by_text]).enrolled[by_text]
    second = world.enroll(email_plan({"id": "intro"}), [by_mail]).enrolled[by_mail]
    # A suppressed contact: dispatch stops the campaign, and locks it for that.
    world.execute(
        "INSERT INTO dripiq_app.communication_suppressions (tenant_id, id, channel, value, scope, type, source, first_seen_at, last_seen_at)"
        " SELECT :tenant_id, id, 'email', email, 'address', 'manual', 'manual', now(), now() FROM dripiq_app.lead_point_of_contacts WHERE id = :c",
        c=by_mail,
    )
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    assert len(lease.actions) == 2
    at_campaigns, has_campaigns = threading.Event(), threading.Event()
    failures: list[BaseException] = []
    real = preparing._settle_with_campaigns

    def slowly(*arguments: Any) -> Any:
        at_campaigns.set()
        has_campaigns.wait(10)
        return real(*arguments)

    monkeypatch.setattr(preparing, "_settle_with_campaigns", slowly)

    def worker() -> None:
        try:
            with world.database.begin() as connection:
                preparing.prepare(connection, lease, lease.actions, {Channel.EMAIL: "folder"}, world.clock.time, None)
        except BaseException as error:
            failures.append(error)

    def operator() -> None:
        at_campaigns.wait(10)
        try:
            with world.database.begin() as connection:
                threading.Timer(0.5, has_campaigns.set).start()
                lock_campaigns(connection, world.tenant_id, [first, second])  # as pause, replan and react do
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=worker), threading.Thread(target=operator)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert [str(f).splitlines()[0] for f in failures] == []
