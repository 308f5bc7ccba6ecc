"""Which server of a pool takes a request, and when a failed one returns."""

import pytest

from wxr_plugin.vlm.server_pool import LONGEST_REST, ServerPool

ERROR = OSError("gone")


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def pool(clock):
    return ServerPool(["a", "b", "c"], lambda: clock[0])


def test_the_least_loaded_server_is_taken(pool):
    taken = [pool.take() for _ in range(6)]
    assert [server.url for server in taken] == list("abcabc")
    with pool.using(taken[1]):
        pass
    assert pool.take().url == "b"


def test_a_failed_server_rests_and_is_checked_before_it_returns(pool, clock):
    server = pool.take()
    pool.failed(server, ERROR)
    assert pool.up == 2 and {pool.take().url for _ in range(4)} == {"b", "c"}
    assert pool.due() == [] and pool.pause() == 0.5
    clock[0] += 0.5
    assert pool.due() == [server] and pool.due() == []  # one caller checks it
    assert not server.is_up
    pool.checked(server)
    assert server.is_up and pool.up == 3


def test_a_rest_doubles_up_to_a_limit_until_an_answer_comes(pool, clock):
    server = pool.take()
    pool.failed(server, ERROR)
    rests = []
    for _ in range(7):
        rests.append(pool.pause())
        clock[0] += pool.pause()
        pool.checked(*pool.due(), ERROR)
    assert rests == [0.5, 1, 2, 4, 8, 8, 8] and max(rests) == LONGEST_REST
    clock[0] += 8
    pool.checked(*pool.due())
    pool.failed(server, ERROR)  # well by its list of models, and still unable to answer
    assert pool.pause() == 8
    pool.worked(server)
    pool.failed(server, ERROR)
    assert pool.pause() == 0.5


def test_failures_of_simultaneous_requests_count_once(pool):
    server = pool.take()
    for _ in range(8):
        pool.failed(server, ERROR)
    assert server.failures == 1


def test_a_server_that_failed_a_request_is_the_last_choice_for_it(pool):
    a, b, c = pool.servers
    assert pool.take([a, b]) is c and pool.take([a, b]) is c
    assert pool.take([a, b, c]).url in "ab"
    for server in (a, b, c):
        pool.failed(server, ERROR)
    assert pool.take() is None


def test_all_servers_are_given_up_after_their_failures(pool, clock):
    for server in pool.servers:
        pool.failed(server, ERROR)
    assert pool.lost(0) is ERROR and pool.lost(1) is None
    clock[0] += 1
    due = pool.due()
    assert pool.lost(0) is None  # while they are checked
    for server in due:
        pool.checked(server, ERROR)
    assert pool.lost(1) is ERROR


def test_a_check_that_was_broken_off_is_left_to_the_next_caller(pool, clock):
    server = pool.take()
    pool.failed(server, ERROR)
    clock[0] += 1
    assert pool.due() == [server]
    pool.unchecked(server)
    assert pool.due() == [server] and server.failures == 1
