"""Which documents belong together: union-find over whole arrays (Galler and Fischer 1964)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import duckdb
import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
NearPairs = Callable[[Indices, Indices], npt.NDArray[np.float64]]
"""The similarity of the two of each pair, NaN where they are not near."""


class Clusters:
    """Documents by index, each at first alone; the root of a cluster is its lowest index."""

    def __init__(self, count: int) -> None:
        """``count`` documents: eight bytes each."""
        self.roots: Indices = np.arange(count)

    def apart(self, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
        """Which pairs are not yet in one cluster."""
        return np.asarray(self.roots[first] != self.roots[second])

    def join(self, first: Indices, second: Indices) -> None:
        """Put the two of each pair into one cluster."""
        if not len(first):
            return
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ends = np.concatenate([self.roots[first], self.roots[second]])
        touched, compact = np.unique(ends, return_inverse=True)
        ones = np.ones(len(first), np.int8)
        edges = coo_array((ones, (compact[: len(first)], compact[len(first) :])), shape=(len(touched),) * 2)
        num_joined, labels = connected_components(edges, directed=False)
        lowest = np.full(num_joined, len(self.roots))
        np.minimum.at(lowest, labels, touched)
        self.roots[touched] = lowest[labels]
        # Every member pointed to a root, so one step leads to the new one.
        self.roots = self.roots[self.roots]

    def members(self) -> tuple[Indices, Indices]:
        """The indices of all that are not alone, cluster by cluster, and the roots of these."""
        sizes = np.bincount(self.roots, minlength=len(self.roots))
        together = np.flatnonzero(sizes[self.roots] > 1)
        together = together[np.argsort(self.roots[together], kind="stable")]
        return together, self.roots[together]


def choose_kept(
    members: Indices,
    roots: Indices,
    near: NearPairs,
    most_rounds: int = 64,
) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Who stands for each member of the clusters, and how like the two are.

    A chain of near duplicates may have ends that are not near. So the first of a cluster is kept and stands
    for all that are near to it; of the rest the first is kept, and so on. Whoever is dropped is near to one
    that is kept.

    Args:
        members: cluster by cluster, in the order of preference.
        roots: the cluster of each.
        near: similarity of pairs (kept, other), NaN where they are not near.
        most_rounds: whoever is left after so many kept ones of a cluster is kept too.
    """
    kept, similarity = members.copy(), np.ones(len(members))
    left = np.arange(len(members))
    for _ in range(most_rounds):
        is_first = np.ones(len(left), bool)
        is_first[1:] = roots[left[1:]] != roots[left[:-1]]
        firsts = left[is_first][np.cumsum(is_first) - 1]
        others, firsts = left[~is_first], firsts[~is_first]
        if not len(others):
            break
        found = near(members[firsts], members[others])
        is_near = ~np.isnan(found)
        kept[others[is_near]] = members[firsts[is_near]]
        similarity[others[is_near]] = found[is_near]
        left = others[~is_near]
    return kept, similarity


def write_clusters(
    connection: duckdb.DuckDBPyConnection, out: str, seqs: Indices, clusters: Clusters, near: NearPairs
) -> tuple[int, int]:
    """Write ``seq``, ``cluster``, ``representative`` and ``similarity`` of all that are not alone.

    Args:
        connection: the database.
        out: the table, replaced where it exists.
        seqs: sequence numbers in the order of preference.
        clusters: of the indices of ``seqs``.
        near: as ``choose_kept`` takes it.

    Returns:
        The number of clusters, and of documents for which another one stands.
    """
    members, roots = clusters.members()
    kept, similarity = choose_kept(members, roots, near)
    columns = {
        "seq": seqs[members],
        "cluster": seqs[roots],
        "representative": seqs[kept],
        "similarity": similarity,
    }
    connection.register("near_columns", columns)
    connection.execute(f"CREATE OR REPLACE TABLE {out} AS SELECT * FROM near_columns ORDER BY cluster, seq")
    connection.unregister("near_columns")
    return len(np.unique(roots)), int((kept != members).sum())


def together(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Of numbers that belong together two by two: each that is not the lowest of its group, to the lowest."""
    ends = np.array(list(pairs), np.int64).reshape(-1, 2)
    numbers, compact = np.unique(ends, return_inverse=True)
    compact = compact.reshape(-1, 2)
    clusters = Clusters(len(numbers))
    clusters.join(compact[:, 0], compact[:, 1])
    lowest = numbers[clusters.roots]
    moved = np.flatnonzero(lowest != numbers)
    return dict(zip(numbers[moved].tolist(), lowest[moved].tolist(), strict=True))
