"""A model of workers with queues, in which the strategies that ship choose who gets what.

Discrete events, one clock, one seeded generator per run: 20 workers with one slot and a FIFO queue
(speeds 10 times 1, 5 times 1/2, 5 times 2), tasks of a bounded Pareto size (alpha 1.5, largest
1,000 times smallest, mean 0.1 s at speed 1), Poisson arrivals. What is measured is the slowdown of
a task, its time in the system by its size, and the imbalance: once a second the largest by the
mean of outstanding tasks by speed. The network takes no time.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from quorate.balancing.probes import HotColdProbes
from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, NO_LIMIT, Demand, Grant, LoadReport, Target
from quorate.base.ports import Rng

SPEEDS = (1.0,) * 10 + (0.5,) * 5 + (2.0,) * 5
MEAN_S = 0.1
ALPHA = 1.5
SPAN = 1000.0
SMALLEST_S = (
    MEAN_S * (ALPHA - 1) / ALPHA * (1 - SPAN**-ALPHA) / (1 - SPAN ** (1 - ALPHA))
)  # so that the mean is MEAN_S

STEAL_S = 0.002
WARM_UP = 0.1
IMBALANCE_FROM_S = 5.0
SLOW = 0.2
NORMAL_S, SLOW_S = 40.0, 10.0

ARRIVAL, DONE, REPORT, SAMPLE, NOISE, STOLEN = range(6)


class Policy(NamedTuple):
    """What is compared.

    Attributes:
        make: The strategy, from a generator.
        reports_s: Interval of load reports of each worker; 0: there are none.
        dispatchers: Each with its own strategy; a task goes through a random one.
        window: Tasks that a worker holds at most; what finds no place waits at the dispatcher.
        is_weighted: Whether the speeds are known as weights; else all weights are 1.
        steals: Whether a worker that falls idle takes the youngest task of the longest queue.
    """

    make: Callable[[Rng], Strategy]
    reports_s: float = 0.0
    dispatchers: int = 1
    window: int = NO_LIMIT
    is_weighted: bool = True
    steals: bool = False


class Setting(NamedTuple):
    """A run.

    Attributes:
        tasks: So many arrive.
        load: Part of the workers' capacity that they ask for; infinite: all arrive at once.
        is_noisy: Each worker is slow for 10 s after about 40 s.
        longest_first: Whether the tasks are sorted, for a batch.
        knows_sizes: Whether a demand says the size of its task.
    """

    tasks: int = 60_000
    load: float = 0.8
    is_noisy: bool = False
    longest_first: bool = False
    knows_sizes: bool = False


class Measured(NamedTuple):
    """What came out.

    Attributes:
        p50: Median slowdown.
        p99: Of the slowdown.
        imbalance: Time average.
        makespan_s: When the last task ended.
        bound_s: No order of the tasks ends sooner.
    """

    p50: float
    p99: float
    imbalance: float
    makespan_s: float
    bound_s: float


class SimulatedTask(msgspec.Struct, eq=False):
    """One task: its size, when it arrived, and who has it by which dispatcher."""

    size_s: float
    arrived_s: float
    grant: Grant | None = None
    dispatcher: int = 0
    started_s: float = 0.0


class SimulatedWorker:
    """One slot and a queue."""

    def __init__(self, name: str, speed: float) -> None:
        self.name = name
        self.nominal = speed
        self.speed = speed
        self.queue: deque[SimulatedTask] = deque()
        self.running: SimulatedTask | None = None
        self.latency_s = MEAN_S / speed
        self.is_stealing = False

    @property
    def outstanding(self) -> int:
        """Tasks that it has."""
        return len(self.queue) + (self.running is not None)


class Simulation:
    """One run of one policy."""

    def __init__(self, policy: Policy, setting: Setting, seed: int) -> None:
        self.policy, self.setting = policy, setting
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self.events: list[tuple[float, int, int, int]] = []
        self.numbers = 0
        self.workers = [SimulatedWorker(str(each), speed) for each, speed in enumerate(SPEEDS)]
        self.strategies = [policy.make(self.rng) for _ in range(policy.dispatchers)]
        for strategy in self.strategies:
            for worker in self.workers:
                weight = worker.speed if policy.is_weighted else 1.0
                strategy.add(Target(worker.name, weight, in_flight_max=policy.window), 0.0)
        self.waiting: deque[SimulatedTask] = deque()
        self.sizes = [size_of(self.rng.random()) for _ in range(setting.tasks)]
        if setting.longest_first:
            self.sizes.sort(reverse=True)
        self.arrived = 0
        self.slowdowns: list[float] = []
        self.samples: list[float] = []

    def run(self) -> Measured:
        """Until every task has ended."""
        self._begin()
        handlers = {
            ARRIVAL: self._on_arrival, DONE: self._on_done, REPORT: self._on_report,
            SAMPLE: self._on_sample, NOISE: self._on_noise, STOLEN: self._on_stolen,
        }  # fmt: skip
        while len(self.slowdowns) < self.setting.tasks:
            self.now_s, _, kind, worker = heapq.heappop(self.events)
            handlers[kind](worker)
        slowdowns = sorted(self.slowdowns[int(WARM_UP * len(self.slowdowns)) :])
        return Measured(
            slowdowns[len(slowdowns) // 2],
            slowdowns[int(0.99 * len(slowdowns))],
            sum(self.samples) / max(len(self.samples), 1),
            self.now_s,
            makespan_bound_s(self.sizes),
        )

    def _begin(self) -> None:
        if math.isinf(self.setting.load):
            for _ in self.sizes:
                self._arrive()
            return
        self._at(0.0, ARRIVAL, 0)
        self._at(IMBALANCE_FROM_S, SAMPLE, 0)
        for number in range(len(self.workers)):
            if self.policy.reports_s:
                self._at(self.rng.random() * self.policy.reports_s, REPORT, number)
            if self.setting.is_noisy:
                self._at(self.rng.expovariate(1 / NORMAL_S), NOISE, number)

    def _at(self, delay_s: float, kind: int, worker: int) -> None:
        self.numbers += 1
        heapq.heappush(self.events, (self.now_s + delay_s, self.numbers, kind, worker))

    def _on_arrival(self, _: int) -> None:
        self._arrive()
        if self.arrived < self.setting.tasks:
            rate = self.setting.load * sum(SPEEDS) / MEAN_S
            self._at(self.rng.expovariate(rate), ARRIVAL, 0)

    def _arrive(self) -> None:
        task = SimulatedTask(self.sizes[self.arrived], self.now_s)
        self.arrived += 1
        if self.waiting or not self._dispatch(task):
            self.waiting.append(task)

    def _dispatch(self, task: SimulatedTask) -> bool:
        count = len(self.strategies)
        task.dispatcher = self.rng.randrange(count) if count > 1 else 0
        strategy = self.strategies[task.dispatcher]
        if isinstance(strategy, HotColdProbes):
            for each in strategy.wanted(self.now_s):
                worker = self.workers[int(each.id)]
                latency_s = (worker.outstanding + 1) * worker.latency_s
                strategy.on_probe(each.id, worker.outstanding, latency_s, self.now_s)
        demand = Demand(cost_s=task.size_s) if self.setting.knows_sizes else ANY
        candidate = strategy.choose(demand, self.now_s)
        if candidate is None:
            return False
        task.grant = strategy.on_start(candidate, demand, self.now_s)
        worker = self.workers[int(candidate.id)]
        worker.queue.append(task)
        self._next(worker)
        return True

    def _next(self, worker: SimulatedWorker) -> None:
        if worker.running is None and worker.queue:
            worker.running = task = worker.queue.popleft()
            task.started_s = self.now_s
            self._at(task.size_s / worker.speed, DONE, int(worker.name))

    def _on_done(self, number: int) -> None:
        worker = self.workers[number]
        task, worker.running = worker.running, None
        assert task is not None
        assert task.grant is not None
        service_s = self.now_s - task.started_s
        worker.latency_s += 0.1 * (service_s - worker.latency_s)
        self.slowdowns.append((self.now_s - task.arrived_s) / task.size_s)
        self.strategies[task.dispatcher].on_end(task.grant, self.now_s, service_s=service_s)
        self._next(worker)
        while self.waiting and self._dispatch(self.waiting[0]):
            self.waiting.popleft()
        if self.policy.steals:
            self._steal(worker)

    def _on_report(self, number: int) -> None:
        worker = self.workers[number]
        for strategy in self.strategies:
            report = LoadReport(in_flight=worker.outstanding)
            strategy.on_load(worker.name, report, self.now_s)
        self._at(self.policy.reports_s, REPORT, number)
        if self.policy.steals:
            self._steal(worker)

    def _steal(self, thief: SimulatedWorker) -> None:
        """Take a task that has not begun; it starts a little later, so nobody else takes it."""
        if thief.outstanding or thief.is_stealing:
            return
        victim = max(self.workers, key=lambda each: len(each.queue))
        if not victim.queue:
            return
        task = victim.queue.pop()
        strategy = self.strategies[task.dispatcher]
        taker = strategy.get(thief.name)
        assert task.grant is not None
        assert taker is not None
        strategy.on_end(task.grant, self.now_s, is_ok=True, service_s=0.0)
        task.grant = strategy.on_start(taker, ANY, self.now_s)
        thief.queue.appendleft(task)
        thief.is_stealing = True
        thief.running = task
        thief.queue.popleft()
        self._at(STEAL_S, STOLEN, int(thief.name))

    def _on_stolen(self, number: int) -> None:
        worker = self.workers[number]
        worker.is_stealing = False
        assert worker.running is not None
        worker.running.started_s = self.now_s
        self._at(worker.running.size_s / worker.speed, DONE, number)

    def _on_noise(self, number: int) -> None:
        worker = self.workers[number]
        is_slow = worker.speed < worker.nominal
        worker.speed = worker.nominal * (1.0 if is_slow else SLOW)
        self._at(self.rng.expovariate(1 / (NORMAL_S if is_slow else SLOW_S)), NOISE, number)

    def _on_sample(self, _: int) -> None:
        if self.arrived >= self.setting.tasks:
            return
        loads = [each.outstanding / each.nominal for each in self.workers]
        mean = sum(loads) / len(loads)
        if mean > 0:
            self.samples.append(max(loads) / mean)
        self._at(1.0, SAMPLE, 0)


def size_of(part: float) -> float:
    """Seconds at speed 1 of a task, from a number in [0, 1)."""
    return float(SMALLEST_S * (1 - part * (1 - SPAN**-ALPHA)) ** (-1 / ALPHA))


def makespan_bound_s(sizes: list[float]) -> float:
    """No schedule of a batch ends before: the k largest tasks need the k fastest workers."""
    largest, fastest = sorted(sizes, reverse=True), sorted(SPEEDS, reverse=True)
    bound = sum(sizes) / sum(SPEEDS)
    for count in range(1, min(len(fastest), len(largest)) + 1):
        bound = max(bound, sum(largest[:count]) / sum(fastest[:count]))
    return bound


def run(policy: Policy, setting: Setting, seed: int) -> Measured:
    """One run."""
    return Simulation(policy, setting, seed).run()
