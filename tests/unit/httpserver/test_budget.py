"""The budget of memory: what connections hold is counted, given back, and refused beyond."""

from hypothesis import given
from hypothesis import strategies as st

from quorate.accounts import SHARE_BYTES_MAX, Account, Accounts
from quorate.httpserver.budget import (
    FREE_BYTES,
    STEP_BYTES,
    Budget,
    ConnectionMemory,
)

MIB = 1024 * 1024


def entered(budget: Budget, host: str = "a") -> Account:
    account = budget.enter(host)
    assert account is not None
    return account


def budget_of(held_bytes_max: int = 8 * MIB, client_bytes_max: int = 4 * MIB) -> Budget:
    accounts = Accounts(held_bytes_max, client_bytes_max)
    return Budget(accounts, connections_max=10, connections_per_client_max=3)


def test_a_connection_holds_a_little_without_being_counted() -> None:
    budget = budget_of()
    holding = ConnectionMemory(entered(budget))
    holding.held_bytes = FREE_BYTES
    assert holding.fits()
    assert budget.held_bytes == 0
    assert holding.allowed_bytes == FREE_BYTES


def test_beyond_that_it_takes_whole_steps() -> None:
    budget = budget_of()
    holding = ConnectionMemory(entered(budget))
    holding.held_bytes = FREE_BYTES + 1
    assert holding.fits()
    assert budget.held_bytes == STEP_BYTES
    assert holding.fits(reading_bytes=STEP_BYTES)
    assert budget.held_bytes == 2 * STEP_BYTES


def test_what_is_too_much_is_refused_and_not_counted() -> None:
    budget = budget_of(client_bytes_max=STEP_BYTES)
    holding = ConnectionMemory(entered(budget))
    holding.held_bytes = FREE_BYTES + STEP_BYTES
    assert holding.fits()
    holding.held_bytes += 1
    assert not holding.fits()
    assert budget.held_bytes == STEP_BYTES


def test_what_is_held_already_is_counted_all_the_same() -> None:
    budget = budget_of(client_bytes_max=STEP_BYTES)
    account = entered(budget)
    holding = ConnectionMemory(account)
    holding.hold(4 * MIB)
    assert budget.held_bytes >= 4 * MIB - FREE_BYTES
    assert account.is_spent
    holding.end()
    assert (budget.held_bytes, account.held_bytes) == (0, 0)


def test_one_address_may_not_take_what_is_there_for_all() -> None:
    budget = budget_of()
    greedy, modest = entered(budget, "greedy"), entered(budget, "modest")
    assert greedy.take(4 * MIB)
    assert not greedy.take(1)
    assert greedy.is_spent
    assert modest.take(MIB)
    assert not modest.is_spent


def test_whoever_holds_little_is_served_when_the_others_have_spent_everything() -> None:
    budget = budget_of()
    assert entered(budget, "a").take(4 * MIB)
    assert entered(budget, "b").take(2 * MIB)
    modest = entered(budget, "modest")
    assert budget.accounts.share_bytes == 2 * MIB // 3
    assert not modest.is_spent
    assert modest.take(budget.accounts.share_bytes)
    assert modest.is_spent
    assert not modest.take(1)


def test_the_share_of_one_of_few_clients_is_bounded() -> None:
    budget = budget_of()
    assert entered(budget, "a").take(4 * MIB)
    assert budget.accounts.share_bytes == SHARE_BYTES_MAX


def test_many_clients_that_hold_little_cannot_pass_the_limit_of_all() -> None:
    """190 addresses with just under a MiB each held more than the limit says."""
    budget = Budget(Accounts(64 * MIB, 32 * MIB), 1_000, connections_per_client_max=3)
    accounts = [entered(budget, f"10.0.0.{number}") for number in range(190)]
    for _ in range(MIB // STEP_BYTES - 1):
        for account in accounts:
            account.take(STEP_BYTES)
    assert budget.held_bytes <= budget.accounts.held_bytes_max
    assert all(
        account.held_bytes >= budget.accounts.share_bytes - STEP_BYTES for account in accounts
    )


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3 * MIB)), max_size=80))
def test_no_order_of_clients_passes_the_limit_of_all(moves: list[tuple[int, int]]) -> None:
    """A share shrinks as clients come: what earlier ones hold of theirs counts, too."""
    budget = Budget(Accounts(8 * MIB, 4 * MIB), 1_000, connections_per_client_max=100)
    for host, size in moves:
        entered(budget, str(host)).take(size)
        assert budget.held_bytes <= budget.accounts.held_bytes_max


def test_connections_are_counted_by_address_and_in_all() -> None:
    budget = budget_of()
    accounts = [entered(budget) for _ in range(3)]
    assert budget.enter("a") is None
    assert budget.connections == 3
    budget.leave(accounts[0])
    assert budget.enter("a") is accounts[0]
    assert budget.counters.connections_refused == 1


def test_an_address_without_connections_is_forgotten() -> None:
    budget = budget_of()
    account = entered(budget)
    budget.leave(account)
    assert entered(budget) is not account


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-200_000, 400_000)), max_size=60))
def test_the_budget_is_the_sum_of_what_connections_hold(moves: list[tuple[int, int]]) -> None:
    budget = budget_of()
    holdings = [ConnectionMemory(entered(budget, host)) for host in ("a", "a", "b")]
    for which, change in moves:
        holding = holdings[which]
        holding.held_bytes = max(0, holding.held_bytes + change)
        if not holding.fits():
            assert change > 0
            holding.held_bytes -= change
        holding.recount()
        assert budget.held_bytes == sum(
            {id(each.account): each.account.held_bytes for each in holdings}.values()
        )
        for each in holdings:
            counted = each.account.held_bytes + 2 * FREE_BYTES
            assert counted >= each.held_bytes
        assert budget.held_bytes <= budget.accounts.held_bytes_max
    for holding in holdings:
        holding.end()
    assert budget.held_bytes == 0
