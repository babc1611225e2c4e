"""Swarm: what a seed stands for. Each one switches on some faults and features, at some rates.

A seed that has everything finds less than many that each have a few things: rare faults drown in
common ones. So most features are off in most seeds.

Source: Groce et al., "Swarm Testing" (2012).
"""

from random import Random

import msgspec

from quorate.base.batches import majority
from quorate.base.config import ClusterConfig, Limits, NodeSettings, Timing
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.sim.cluster import Make
from quorate.sim.desk import acts_of, queries_of
from quorate.sim.faults import FAULTS, Fault
from quorate.sim.habits import Habits
from quorate.sim.network import Weather
from quorate.sim.readfaults import NO_FAULTS, ReadFaults
from quorate.sim.store import Speed
from quorate.sim.workload import ACTS, Appetite
from quorate.sim.world import chance
from quorate.wire.journal import Layout

HORIZON_S = 30.0
"""Simulated seconds with faults; the calm after them comes on top."""

SHORT_FAULTS = frozenset({"kill", "power_cut", "kill_all", "power_cut_all"})


class Plan(msgspec.Struct, frozen=True):
    """A whole run: what is built, and what goes wrong when."""

    seed: int
    make: Make
    faults: tuple[Fault, ...]
    horizon_s: float


def plan_of(seed: int, horizon_s: float = HORIZON_S, domains: Domains = DOMAINS) -> Plan:
    """What this seed stands for."""
    dice, turns = chance(seed, "swarm"), chance(seed, "turns")
    founders = dice.choice((1, 2, 3, 3, 3, 3, 3, 4, 5, 5))
    spares = dice.choice((0, 0, 0, 1, 2))
    begin = chance(seed, "bootstrap")
    neighbours = begin.choice((0, 0, 2, 3)) if spares else 0
    make = Make(
        founders=founders,
        spares=spares,
        expect=begin.choice((0, majority(founders))) if founders > 2 else 0,
        early=begin.randrange(spares + 1) if not neighbours else 0,
        neighbours=neighbours,
        is_founded_alone=dice.random() < 0.3,
        settings=_limited(
            _bounded(_settings(dice, chance(seed, "gather")), turns), chance(seed, "results")
        ),
        layout=Layout(segment_bytes=dice.choice((4, 8, 16, 64)) * 1024),
        speed=_speed(dice),
        weather=_weather(dice),
        habits=Habits(
            flush_share=dice.choice((1.0, 0.9, 0.5, 0.1)),
            flush_s=dice.choice((0.0005, 0.002, 0.01)),
            snapshot_s=dice.choice((0.5, 2.0, 5.0, 20.0)),
            is_checking_turns=chance(seed, "checking turns").random() < 0.25,
        ),
        appetite=_crowded(_appetite(dice, domains), turns),
        read_faults=_read_faults(chance(seed, "failing reads")),
        drift=dice.choice((0.0, 0.001, 0.05)),
        domains=domains,
    )
    first_s = begin.choice((0.0, 1.0, 1.0))
    return Plan(seed, make, _faults(chance(seed, "faults"), horizon_s, first_s), horizon_s)


def _settings(dice: Random, gather: Random) -> NodeSettings:
    alpha = dice.choice((1, 2, 4, 8, 8))
    return NodeSettings(
        cluster=ClusterConfig(
            alpha_slots=alpha,
            window_slots=min(alpha, dice.choice((1, 2, 4, 8))),
            batch_commands_max=dice.choice((2, 8, 512)),
            bundles_in_flight_max=dice.choice((1, 2, 4)),
            digest_every_slots=dice.choice((1, 8, 64)),
        ),
        timing=Timing(
            tick_s=dice.choice((0.01, 0.02, 0.05)),
            election_timeout_s=dice.choice((0.3, 1.0, 1.0)),
            hold_s=7.0,
        ),
        limits=Limits(
            tail_slots_max=dice.choice((4, 20, 200, 20_000)),
            slots_ahead_max=dice.choice((8, 64, 1024)),
            fetch_bytes_max=dice.choice((500, 5_000, 1 << 20)),
            chunk_bytes_max=dice.choice((300, 3_000, 1 << 19)),
            peer_bytes_in_flight_max=dice.choice((2_000, 1 << 24)),
            gather_commands_min=gather.choice((1, 2, 8)),
            waiting_commands_max=dice.choice((2, 50_000, 50_000)),
        ),
    )


def _bounded(settings: NodeSettings, turns: Random) -> NodeSettings:
    """With turns and batches that do little, so that applying takes many of them."""
    replace = msgspec.structs.replace
    cluster = replace(settings.cluster, removals_max=turns.choice((1, 3, 512)))
    limits = replace(settings.limits, turn_units=turns.choice((1, 30, 2_048)))
    return replace(settings, cluster=cluster, limits=limits)


def _limited(settings: NodeSettings, results: Random) -> NodeSettings:
    """Now and then with a limit that the results of transactions reach."""
    if results.random() < 0.7:
        return settings
    bytes_max = results.choice((150, 300, 600, 1_200))
    cluster = msgspec.structs.replace(settings.cluster, txn_result_bytes_max=bytes_max)
    return msgspec.structs.replace(settings, cluster=cluster)


def _crowded(appetite: Appetite, turns: Random) -> Appetite:
    """Now and then with many keys, and trees that are removed."""
    if turns.random() < 0.7:
        return appetite
    weights = appetite.weights | {"set": 3.0, "tree": 0.3, "txn": 1.0, "list": 0.5, "watch": 1.0}
    return msgspec.structs.replace(appetite, keys=40, weights=weights)


def _speed(dice: Random) -> Speed:
    return Speed(
        sync_s=dice.choice((0.0001, 0.001, 0.005)),
        jitter_s=dice.choice((0.0001, 0.002, 0.02)),
        stall=dice.choice((0.0, 0.0, 0.01)),
        stall_s=dice.choice((0.1, 2.0)),
    )


def _weather(dice: Random) -> Weather:
    is_rough = dice.random() < 0.4
    return Weather(
        delay_s=dice.choice((0.0002, 0.001, 0.01)),
        jitter_s=dice.choice((0.0001, 0.002, 0.02)),
        tail=dice.choice((0.0, 0.01, 0.1)),
        tail_s=dice.choice((0.05, 0.5)),
        loss=dice.choice((0.001, 0.01, 0.05)) if is_rough and dice.random() < 0.6 else 0.0,
        duplicates=dice.choice((0.01, 0.1)) if is_rough and dice.random() < 0.5 else 0.0,
        late=dice.choice((0.001, 0.01)) if is_rough and dice.random() < 0.5 else 0.0,
        is_fifo=not (is_rough and dice.random() < 0.5),
        is_framed=dice.random() < 0.2,
        outlives_link=dice.choice((0.0, 0.0, 0.5)),
        notice_s=dice.choice((0.1, 1.0, 5.0)),
    )


def _appetite(dice: Random, domains: Domains) -> Appetite:
    known = (*ACTS, *acts_of(domains), *queries_of(domains))
    acts = [act for act in known if dice.random() < 0.6] or ["set"]
    weights = {act: dice.choice((0.2, 1.0, 1.0, 3.0)) for act in acts}
    if {"acquire", "release", "renew"} & set(acts):
        weights["session"] = 0.5
    if weights.pop("restore", 0.0) and dice.random() < 0.4:
        weights["restore"] = dice.choice((0.05, 0.3))
    return Appetite(
        clients=dice.choice((2, 4, 8)),
        think_s=dice.choice((0.05, 0.2, 0.5)),
        keys=dice.choice((1, 3, 8)),
        patience_s=dice.choice((1.0, 4.0, 10.0)),
        is_sticky=dice.random() < 0.3,
        weights=weights,
    )


def _read_faults(dice: Random) -> ReadFaults:
    if dice.random() < 0.75:
        return NO_FAULTS
    return ReadFaults(
        evaluations=dice.choice((0.0, 0.02, 0.1)),
        searches=dice.choice((0.0, 0.02, 0.1)),
        holds=dice.choice((0.0, 0.1, 0.3)),
    )


def _faults(dice: Random, horizon_s: float, first_s: float) -> tuple[Fault, ...]:
    kinds = [kind for kind in FAULTS if dice.random() < 0.25]
    if dice.random() < 0.05:
        kinds = []
    mean_s = dice.choice((0.7, 2.0, 5.0))
    faults: list[Fault] = []
    at_s = first_s + dice.random()
    while kinds:
        at_s += dice.expovariate(1 / mean_s)
        if at_s >= horizon_s:
            break
        kind = kinds[dice.randrange(len(kinds))]
        longest_s = 2.0 if kind in SHORT_FAULTS else 6.0
        for_s = longest_s * dice.random() ** 2 + 0.01
        faults.append(Fault(round(at_s, 4), kind, round(for_s, 4), dice.getrandbits(32)))
    return tuple(faults)
