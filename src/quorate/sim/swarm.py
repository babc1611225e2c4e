"""Swarm testing: the plan of a seed. Each seed switches on some faults and features, at some rates.

A seed that has everything finds less than many that each have a few things: common faults hide rare
ones. So most features are off in most seeds.

Source: Groce et al., "Swarm Testing" (2012).
"""

from random import Random

import msgspec

from quorate.base.batches import majority
from quorate.base.config import ClusterConfig, Limits, NodeSettings, Timing
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.sim.behaviour import Behaviour
from quorate.sim.cluster import Make
from quorate.sim.faults import FAULTS, Fault
from quorate.sim.gateway import acts_of, queries_of
from quorate.sim.network import NetworkConditions
from quorate.sim.readfaults import NO_FAULTS, ReadFaults
from quorate.sim.store import Speed
from quorate.sim.workload import ACTS, WorkloadProfile
from quorate.sim.world import seeded_rng
from quorate.wire.journal import Layout

HORIZON_S = 30.0
"""Simulated seconds with faults; the liveness phase follows."""

SHORT_FAULTS = frozenset({"kill", "power_cut", "kill_all", "power_cut_all"})


class Plan(msgspec.Struct, frozen=True):
    """A whole run: what is built, and which faults happen when."""

    seed: int
    make: Make
    faults: tuple[Fault, ...]
    horizon_s: float


def plan_of(seed: int, horizon_s: float = HORIZON_S, domains: Domains = DOMAINS) -> Plan:
    """The plan of this seed."""
    rng, turns = seeded_rng(seed, "swarm"), seeded_rng(seed, "turns")
    initial_nodes = rng.choice((1, 2, 3, 3, 3, 3, 3, 4, 5, 5))
    spares = rng.choice((0, 0, 0, 1, 2))
    begin = seeded_rng(seed, "bootstrap")
    neighbours = begin.choice((0, 0, 2, 3)) if spares else 0
    make = Make(
        initial_nodes=initial_nodes,
        spares=spares,
        expect=begin.choice((0, majority(initial_nodes))) if initial_nodes > 2 else 0,
        early=begin.randrange(spares + 1) if not neighbours else 0,
        neighbours=neighbours,
        is_bootstrapped_alone=rng.random() < 0.3,
        settings=_limited(
            _bounded(_settings(rng, seeded_rng(seed, "gather")), turns), seeded_rng(seed, "results")
        ),
        layout=Layout(segment_bytes=rng.choice((4, 8, 16, 64)) * 1024),
        speed=_speed(rng),
        conditions=_conditions(rng),
        behaviour=Behaviour(
            flush_share=rng.choice((1.0, 0.9, 0.5, 0.1)),
            flush_s=rng.choice((0.0005, 0.002, 0.01)),
            snapshot_s=rng.choice((0.5, 2.0, 5.0, 20.0)),
            is_checking_turns=seeded_rng(seed, "checking turns").random() < 0.25,
        ),
        profile=_with_many_keys(_profile(rng, domains), turns),
        read_faults=_read_faults(seeded_rng(seed, "failing reads")),
        drift=rng.choice((0.0, 0.001, 0.05)),
        domains=domains,
    )
    first_s = begin.choice((0.0, 1.0, 1.0))
    return Plan(seed, make, _faults(seeded_rng(seed, "faults"), horizon_s, first_s), horizon_s)


def _settings(rng: Random, delays: Random) -> NodeSettings:
    alpha = rng.choice((1, 2, 4, 8, 8))
    return NodeSettings(
        cluster=ClusterConfig(
            alpha_slots=alpha,
            window_slots=min(alpha, rng.choice((1, 2, 4, 8))),
            batch_commands_max=rng.choice((2, 8, 512)),
            bundles_in_flight_max=rng.choice((1, 2, 4)),
            digest_every_slots=rng.choice((1, 8, 64)),
        ),
        timing=Timing(
            tick_s=rng.choice((0.01, 0.02, 0.05)),
            election_timeout_s=rng.choice((0.3, 1.0, 1.0)),
            hold_s=7.0,
        ),
        limits=Limits(
            tail_slots_max=rng.choice((4, 20, 200, 20_000)),
            slots_ahead_max=rng.choice((8, 64, 1024)),
            fetch_bytes_max=rng.choice((500, 5_000, 1 << 20)),
            chunk_bytes_max=rng.choice((300, 3_000, 1 << 19)),
            peer_bytes_in_flight_max=rng.choice((2_000, 1 << 24)),
            gather_commands_min=delays.choice((1, 2, 8)),
            waiting_commands_max=rng.choice((2, 50_000, 50_000)),
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


def _with_many_keys(profile: WorkloadProfile, turns: Random) -> WorkloadProfile:
    """Now and then with many keys, and trees that are removed."""
    if turns.random() < 0.7:
        return profile
    weights = profile.weights | {"set": 3.0, "tree": 0.3, "txn": 1.0, "list": 0.5, "watch": 1.0}
    return msgspec.structs.replace(profile, keys=40, weights=weights)


def _speed(rng: Random) -> Speed:
    return Speed(
        sync_s=rng.choice((0.0001, 0.001, 0.005)),
        jitter_s=rng.choice((0.0001, 0.002, 0.02)),
        stall=rng.choice((0.0, 0.0, 0.01)),
        stall_s=rng.choice((0.1, 2.0)),
    )


def _conditions(rng: Random) -> NetworkConditions:
    is_unreliable = rng.random() < 0.4
    return NetworkConditions(
        delay_s=rng.choice((0.0002, 0.001, 0.01)),
        jitter_s=rng.choice((0.0001, 0.002, 0.02)),
        tail=rng.choice((0.0, 0.01, 0.1)),
        tail_s=rng.choice((0.05, 0.5)),
        loss=rng.choice((0.001, 0.01, 0.05)) if is_unreliable and rng.random() < 0.6 else 0.0,
        duplicates=rng.choice((0.01, 0.1)) if is_unreliable and rng.random() < 0.5 else 0.0,
        late=rng.choice((0.001, 0.01)) if is_unreliable and rng.random() < 0.5 else 0.0,
        is_fifo=not (is_unreliable and rng.random() < 0.5),
        is_framed=rng.random() < 0.2,
        outlives_link=rng.choice((0.0, 0.0, 0.5)),
        notice_s=rng.choice((0.1, 1.0, 5.0)),
    )


def _profile(rng: Random, domains: Domains) -> WorkloadProfile:
    known = (*ACTS, *acts_of(domains), *queries_of(domains))
    acts = [act for act in known if rng.random() < 0.6] or ["set"]
    weights = {act: rng.choice((0.2, 1.0, 1.0, 3.0)) for act in acts}
    if {"acquire", "release", "renew", "bound query"} & set(acts):
        weights["session"] = 0.5
    if weights.pop("restore", 0.0) and rng.random() < 0.4:
        weights["restore"] = rng.choice((0.05, 0.3))
    return WorkloadProfile(
        clients=rng.choice((2, 4, 8)),
        think_s=rng.choice((0.05, 0.2, 0.5)),
        keys=rng.choice((1, 3, 8)),
        timeout_s=rng.choice((1.0, 4.0, 10.0)),
        is_sticky=rng.random() < 0.3,
        weights=weights,
    )


def _read_faults(rng: Random) -> ReadFaults:
    if rng.random() < 0.75:
        return NO_FAULTS
    return ReadFaults(
        evaluations=rng.choice((0.0, 0.02, 0.1)),
        searches=rng.choice((0.0, 0.02, 0.1)),
        holds=rng.choice((0.0, 0.1, 0.3)),
    )


def _faults(rng: Random, horizon_s: float, first_s: float) -> tuple[Fault, ...]:
    kinds = [kind for kind in FAULTS if rng.random() < 0.25]
    if rng.random() < 0.05:
        kinds = []
    mean_s = rng.choice((0.7, 2.0, 5.0))
    faults: list[Fault] = []
    at_s = first_s + rng.random()
    while kinds:
        at_s += rng.expovariate(1 / mean_s)
        if at_s >= horizon_s:
            break
        kind = kinds[rng.randrange(len(kinds))]
        longest_s = 2.0 if kind in SHORT_FAULTS else 6.0
        for_s = longest_s * rng.random() ** 2 + 0.01
        faults.append(Fault(round(at_s, 4), kind, round(for_s, 4), rng.getrandbits(32)))
    return tuple(faults)
