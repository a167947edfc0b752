"""Tests of what a server remembers of one topic. With a server around it: test_topics."""

from __future__ import annotations

import pytest

from libserver.subscription import Item
from libserver.topic import Topic, as_number, is_later
from protocol.push import Gap
from tests.libserver.test_subscription import item, make


def topic_of(*seqs: int) -> Topic:
    topic = Topic("t", "e")
    for seq in seqs:
        topic.seq = seq
        topic.remember(item(seq), 100, 10_000)
    return topic


def shape(entries: list[Item | Gap]) -> list[object]:
    return [entry if isinstance(entry, Gap) else entry.seq for entry in entries]


def test_it_remembers_so_many_messages_and_so_many_bytes() -> None:
    topic = Topic("t", "e")
    size = len(item(1).frame)
    for seq in range(1, 10):
        topic.remember(item(seq), 5, 3 * size)
    assert [one.seq for one in topic.history] == [7, 8, 9]
    assert topic.history_size == 3 * size


@pytest.mark.parametrize(
    ("since", "missed"),
    [(5, []), (4, [5]), (2, [3, 4, 5]), (1, [Gap("t", 2, 2, 1), 3, 4, 5]), (0, [Gap("t", 1, 2, 2), 3, 4, 5])],
)
def test_what_was_missed_since_then(since: int, missed: list[object]) -> None:
    assert shape(topic_of(3, 4, 5).missed(since)) == missed


def test_of_another_epoch_nobody_knows_the_end() -> None:
    assert shape(topic_of(3, 4).missed_of_another_epoch()) == [Gap("t", 1, 2, None), 3, 4]
    assert shape(topic_of().missed_of_another_epoch()) == [Gap("t", 1, 0, None)]


def test_who_comes_behind_a_message_of_this_turn_is_a_newcomer() -> None:
    topic = topic_of(1)
    first, _, _ = make()
    second, _, _ = make()
    topic.add(first)
    topic.fresh.append(item(1))
    topic.add(second)
    assert (first in topic.subscriptions, topic.newcomers) == (True, {second: 1})
    assert len(topic) == 2
    topic.remove(second)
    topic.remove(first)
    topic.remove(first)
    assert len(topic) == 0


def test_numbers_and_ids_are_ordered() -> None:
    assert is_later(2, 1)
    assert not is_later(1, 1)
    assert is_later("10-0", "9-5")
    assert not is_later("9-5", "9-5")
    assert as_number(3) == 3
