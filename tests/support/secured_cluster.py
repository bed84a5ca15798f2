"""A Redis Cluster of real servers that take TLS and the users of their ACLs alone."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Final, Self

from stream_persona.demo.embedded import find_free_port
from tests.support.redis_cluster import SLOTS, START_SECONDS
from tests.support.secured_servers import HOST, PASSWORD, Authority, SecuredRedis
from tests.support.waiting import wait_until

_MASTERS: Final = 3


class SecuredCluster:
    """Three masters that announce the name in their certificate."""

    def __init__(self, authority: Authority, announced: str = HOST) -> None:
        self._stack = ExitStack()
        self.nodes: list[SecuredRedis] = []
        with self._stack:
            for _ in range(_MASTERS):
                self._start(authority, announced)
            self._join()
            self._stack = self._stack.pop_all()

    def _start(self, authority: Authority, announced: str) -> None:
        self._bus = find_free_port()
        options = [
            "--cluster-enabled", "yes", "--cluster-port", str(self._bus), "--tls-cluster", "yes",
            "--tls-replication", "yes", "--cluster-announce-hostname", announced,
            "--cluster-preferred-endpoint-type", "hostname",
        ]  # fmt: skip
        node = SecuredRedis(authority, options)
        self._stack.callback(node.close)
        self.nodes.append(node)

    def _join(self) -> None:
        last = self.nodes[-1]
        for number, node in enumerate(self.nodes):
            low, end = (SLOTS * n // _MASTERS for n in (number, number + 1))
            ask = node.admin.execute_command
            ask("CLUSTER", "ADDSLOTSRANGE", low, end - 1)
            ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node is not last:
                ask("CLUSTER", "MEET", "127.0.0.1", last.port, self._bus)
        wait_until(self._is_whole, START_SECONDS, "the servers do not become a Cluster")

    def _is_whole(self) -> bool:
        infos = [node.admin.cluster("INFO") for node in self.nodes]
        return all(
            (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(_MASTERS))
            for info in infos
        )

    def url(self, user: str = "") -> str:
        return self.nodes[0].url(user)

    def set_user(self, name: str, rules: Collection[str], password: str = PASSWORD) -> None:
        for node in self.nodes:
            node.set_user(name, rules, password)

    def refused(self) -> list[dict[str, object]]:
        """What any server refused for want of a right since the last call."""
        return [each for node in self.nodes for each in node.refused()]

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
