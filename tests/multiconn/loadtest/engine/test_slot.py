"""A slot outlives its connections, and knows what belongs to the one that it has."""

from multiconn.loadtest.engine.slot import Slot


def test_it_knows_whether_a_connection_is_its_first():
    slot = Slot(0)
    slot.dial(5)
    assert not slot.connected()
    assert slot.open
    assert slot.disconnected()
    assert not slot.disconnected(), "the next one never came to be there"
    slot.dial(6)
    assert slot.connected()


def test_it_settles_once_and_one_that_comes_later_is_settled():
    slot = Slot(0)
    assert slot.settle()
    assert not slot.settle()
    assert not Slot(1, settled=True).settle()


def test_what_is_out_is_the_connection_s_and_a_new_one_begins_with_nothing():
    slot = Slot(0)
    slot.dial(5)
    slot.sending(4)
    slot.answered(3)
    slot.confirm()
    slot.think()
    slot.enlist()
    assert (slot.out, slot.sent, slot.replies, slot.confirmed, slot.thinking, slot.listed) == (1, 4, 3, 1, 1, True)
    slot.dial(6)
    assert (slot.out, slot.sent, slot.replies, slot.confirmed, slot.thinking, slot.listed) == (0, 0, 0, 0, 0, False)


def test_a_thought_of_an_earlier_connection_is_none():
    slot = Slot(0)
    slot.dial(5)
    slot.think()
    assert slot.thought(5)
    assert not slot.thought(5)
    slot.think()
    slot.dial(6)
    slot.think()
    assert not slot.thought(5)
