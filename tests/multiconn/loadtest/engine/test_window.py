"""What came within the window is counted, and windows add up."""

from multiconn.loadtest.engine.window import Counted, Window


def test_it_counts_what_came_between_its_opening_and_its_end():
    window = Window()
    assert window.total == Counted(0, 0, 0, 0)
    window.open(Counted(5, 6, 700, 800))
    window.close(Counted(15, 26, 1700, 1800))
    assert window.total == Counted(10, 20, 1000, 1000)


def test_several_add_up_and_what_comes_between_them_is_in_none():
    window = Window()
    window.open(Counted(0, 0, 0, 0))
    window.close(Counted(1, 2, 3, 4))
    window.open(Counted(100, 100, 100, 100))
    window.close(Counted(110, 111, 112, 113))
    assert window.total == Counted(11, 13, 15, 17)


def test_a_window_of_so_many_requests_counts_their_replies_alone():
    window = Window()
    window.open(Counted(5, 5, 0, 0))
    window.close(Counted(25, 27, 10, 20), replies=(15, 16))
    assert window.total == Counted(15, 16, 10, 20)
