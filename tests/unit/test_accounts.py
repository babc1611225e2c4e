"""Accounts: what is held for a caller counts once, whatever protocols it uses."""

from hypothesis import given
from hypothesis import strategies as st

from quorate.accounts import Accounts
from quorate.httpserver.budget import FREE_BYTES, STEP_BYTES, Budget, ConnectionMemory

MIB = 1024 * 1024


def test_two_protocols_take_from_one_account_of_a_caller() -> None:
    accounts = Accounts(8 * MIB, 2 * MIB)
    budget = Budget(accounts, connections_max=10, connections_per_client_max=3)
    over_http = budget.enter("10.0.0.1")
    over_dns = accounts.open("10.0.0.1")
    assert over_http is over_dns
    assert over_dns.take(2 * MIB)
    holding = ConnectionMemory(over_dns)
    holding.held_bytes = FREE_BYTES + 1
    assert not holding.fits()
    over_dns.give_back(STEP_BYTES)
    assert holding.fits()
    assert budget.held_bytes == accounts.held_bytes == 2 * MIB


def test_an_account_lives_as_long_as_any_protocol_uses_it() -> None:
    accounts = Accounts(8 * MIB, 2 * MIB)
    budget = Budget(accounts, connections_max=10, connections_per_client_max=3)
    account = accounts.open("a")
    assert budget.enter("a") is account
    budget.leave(account)
    assert accounts.open("a") is account
    accounts.close(account)
    accounts.close(account)
    assert accounts.open("a") is not account


def test_connections_are_limited_without_regard_to_other_users_of_the_account() -> None:
    accounts = Accounts(8 * MIB, 2 * MIB)
    budget = Budget(accounts, connections_max=10, connections_per_client_max=1)
    for _ in range(5):
        accounts.open("a")
    assert budget.enter("a") is not None
    assert budget.enter("a") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3 * MIB)), max_size=60))
def test_the_limit_of_all_holds_for_all_protocols_together(moves: list[tuple[int, int]]) -> None:
    accounts = Accounts(8 * MIB, 4 * MIB)
    budget = Budget(accounts, connections_max=1_000, connections_per_client_max=100)
    for number, size in moves:
        account = budget.enter(str(number)) if size % 2 else accounts.open(str(number))
        assert account is not None
        account.take(size)
        assert account.held_bytes <= 4 * MIB
        assert accounts.held_bytes <= 8 * MIB
