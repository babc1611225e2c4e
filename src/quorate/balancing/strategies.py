"""Every strategy by the name that the field gives it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from quorate.balancing.idle import JoinIdle
from quorate.balancing.least import LeastLoaded, LeastOutstanding, PeakEwma, PowerOfChoices
from quorate.balancing.orca import OrcaRoundRobin
from quorate.balancing.packing import BinPack, Spread
from quorate.balancing.probes import HotColdProbes
from quorate.balancing.rings import BoundedLoad, ConsistentHash
from quorate.balancing.strategy import Strategy
from quorate.balancing.tables import Maglev, Rendezvous
from quorate.balancing.turns import RoundRobin, SmoothRoundRobin, UniformChoice, WeightedChoice
from quorate.base.errors import RequestError
from quorate.base.ports import Rng

STRATEGIES: Mapping[str, Callable[[Rng], Strategy]] = MappingProxyType(
    {
        "random": UniformChoice,
        "weighted_random": WeightedChoice,
        "round_robin": RoundRobin,
        "weighted_round_robin": SmoothRoundRobin,
        "least_outstanding": LeastOutstanding,
        "least_loaded": LeastLoaded,
        "power_of_two": PowerOfChoices,
        "peak_ewma": PeakEwma,
        "probe_hcl": HotColdProbes,
        "orca_weighted_round_robin": OrcaRoundRobin,
        "join_idle": JoinIdle,
        "consistent_hash": ConsistentHash,
        "bounded_load": BoundedLoad,
        "rendezvous": Rendezvous,
        "maglev": Maglev,
        "bin_pack": BinPack,
        "spread": Spread,
    }
)
"""How each is made, with its defaults."""


def strategy(name: str, rng: Rng) -> Strategy:
    """The strategy of that name, without members.

    Raises:
        RequestError: `bad_request`, definite: there is none of this name.
    """
    if name not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise RequestError("bad_request", f"no strategy is called {name!r}; there are: {known}")
    return STRATEGIES[name](rng)
