"""Prefix sums of weights that change: a Fenwick tree over a list from which any item may go."""


class PrefixSums:
    """A list of weights, all >= 0, that finds the item at a point of their sum.

    An item is removed as in a list of candidates: the last one takes its place. Sums are of
    floats: after many changes they are right but for rounding.

    Cost: O(log n) each; `append` amortised.
    Source: Fenwick, "A New Data Structure for Cumulative Frequency Tables" (1994).
    """

    def __init__(self) -> None:
        self._weights: list[float] = []
        self._places = 1  # a power of two
        self._tree = [0.0, 0.0]  # from 1 to _places

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return self._tree[self._places]

    def append(self, weight: float) -> None:
        """Add an item at the end."""
        if len(self._weights) == self._places:
            self._tree += [0.0] * self._places
            self._places *= 2
            self._tree[self._places] = self._tree[self._places // 2]
        self._weights.append(0.0)
        self.set(len(self._weights) - 1, weight)

    def set(self, position: int, weight: float) -> None:
        """Change a weight."""
        change = weight - self._weights[position]
        self._weights[position] = weight
        place = position + 1
        while place <= self._places:
            self._tree[place] += change
            place += place & -place

    def remove(self, position: int) -> None:
        """Remove an item; the last one takes its place."""
        last = len(self._weights) - 1
        moved = self._weights[last]
        self.set(last, 0.0)
        if position != last:
            self.set(position, moved)
        self._weights.pop()

    def find(self, point: float) -> int:
        """The position whose weight holds that point of the sum, 0 <= point < total."""
        place, step = 0, self._places
        while step:
            if place + step <= self._places and self._tree[place + step] <= point:
                place += step
                point -= self._tree[place]
            step //= 2
        return min(place, len(self._weights) - 1)
