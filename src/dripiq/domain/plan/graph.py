"""Where does one go round?

A graph is a mapping from each node to its targets (each once, all of them keys). Walks are iterative: a plan may be one chain of thousands of nodes.
"""

from collections.abc import Iterator, Mapping, Sequence

Graph = Mapping[str, Sequence[str]]


def is_loop(members: Sequence[str], graph: Graph) -> bool:
    """Whether a component goes round: more than one node, or one that leads to itself."""
    return len(members) > 1 or members[0] in graph[members[0]]


def components(graph: Graph) -> list[list[str]]:
    """The strongly connected components, each after all that it leads to (Kosaraju's algorithm)."""
    leading_to: dict[str, list[str]] = {node: [] for node in graph}
    for node, targets in graph.items():
        for target in targets:
            leading_to[target].append(node)
    taken: set[str] = set()
    found: list[list[str]] = []
    for node in reversed(_postorder(graph)):
        if node in taken:
            continue
        taken.add(node)
        members = [node]
        for member in members:  # grows while it is walked
            new = [source for source in leading_to[member] if source not in taken]
            taken.update(new)
            members.extend(new)
        found.append(members)
    return found[::-1]


def _postorder(graph: Graph) -> list[str]:
    """Every node, each after all that a depth-first walk finds from it."""
    order: list[str] = []
    seen: set[str] = set()
    for root in graph:
        if root in seen:
            continue
        seen.add(root)
        walk: list[tuple[str, Iterator[str]]] = [(root, iter(graph[root]))]
        while walk:
            node, targets = walk[-1]
            target = next((target for target in targets if target not in seen), None)
            if target is None:
                order.append(node)
                walk.pop()
            else:
                seen.add(target)
                walk.append((target, iter(graph[target])))
    return order
