"""Kafka dies, loses everything, is recreated, or does not respond (rows 27, 28, 29, 30)."""

from __future__ import annotations

import asyncio
import shutil
import signal
import statistics
import time

from deploy.local import once, probe, processes
from tests.chaos import topic
from tests.chaos.trial import InconclusiveError, Scenario, Trial

BACK_SECONDS = 90.0


async def _answers(t: Trial) -> None:
    port = t.stack.system.ports["kafka"]
    await t.until(lambda: asyncio.to_thread(probe.kafka, port), "Kafka answers", BACK_SECONDS)


async def _make_topic(t: Trial) -> None:
    argv, env = processes.commands(t.stack.system.at, t.stack.system.key_files())["topic"]
    await asyncio.to_thread(once.run, "topic", argv, env, t.stack.system.place)


async def restarted(t: Trial) -> None:
    """Kill Kafka: commands continue, and every event arrives after its return."""
    await t.kill("kafka", signal.SIGKILL)
    await t.acked(20)
    await _answers(t)
    await t.ready()
    await t.sent()


async def _lose_everything(t: Trial) -> None:
    await t.down("kafka")
    broker = t.stack.system.broker
    before = sum(1 for _ in broker.data.rglob("*.log"))
    await asyncio.to_thread(shutil.rmtree, broker.data)
    t.struck = time.monotonic()
    cluster = t.stack.system.secrets["kafka_cluster_id"]
    await asyncio.to_thread(broker.create, t.stack.system.ports, cluster)
    t.stack.want()
    await _answers(t)
    await _make_topic(t)
    t.stage("kafka's data lost", f"{before} segments are gone, the topic is a new one")


async def loses_all_in_a_burst(t: Trial) -> None:
    """Lose Kafka's data under traffic: sent but unread events come from the writer's stream."""
    await t.freeze("projector-1", "projector-2")
    await t.acked(25)
    await t.sent()
    t.thaw()
    await _lose_everything(t)
    await t.agree_again("kafka's data lost")
    await t.acked(15)


async def loses_all_in_the_quiet(t: Trial) -> None:
    """Lose events that Kafka acknowledged, before any consumer has read them and without new ones."""
    await t.down("projector-1", "projector-2")
    await t.acked(25)
    await t.load.drain(30)
    await t.sent()
    await _lose_everything(t)
    await t.ready()
    await t.agree_again("kafka's data lost")
    t.load.start()
    await t.acked(10)


async def topic_made_anew(t: Trial) -> None:
    """Delete the topic under traffic and recreate it."""
    before = sum((await topic.ends(t.places)).values())
    await topic.delete(t.places)
    t.stage("topic deleted", f"the broker lists it no more; {before} records are gone")
    await _make_topic(t)
    await t.acked(20)
    await t.ready()
    await t.sent()


async def answers_nothing(t: Trial) -> None:
    """Accept connections to Kafka without a response: commands are as fast as before."""
    names = t.links.matching(">kafka")
    usual = [ack.answered - ack.invoked for ack in t.load.acks.done]
    before = len(t.load.acks.done)
    seen = t.links.seen(names)
    t.links.blackhole(names)
    await t.acked(40)
    await t.hold(6)
    during = [ack.answered - ack.invoked for ack in t.load.acks.done[before:]]
    held = sum((t.links.seen(names) - seen).values())
    if not held:
        raise InconclusiveError("nothing was held back")
    waiting = await t.one("SELECT count(*) FROM writer.outbox")
    t.stage("blackhole kafka", f"{held} held back, {waiting} rows wait")
    t.evidence.append(
        f"a command took {statistics.median(usual):.3f} s before, {statistics.median(during):.3f} s during"
    )
    t.links.flow(names)
    await t.sent()


SCENARIOS = [
    Scenario("kafka restarts", "27", restarted),
    Scenario("kafka loses all in a burst", "28", loses_all_in_a_burst, topic_whole=False),
    Scenario("kafka loses all in the quiet", "28", loses_all_in_the_quiet, topic_whole=False),
    Scenario("topic made anew", "29", topic_made_anew, topic_whole=False),
    Scenario("kafka answers nothing", "30", answers_nothing),
]
