"""A Redis Cluster of real servers on loopback, each with its own files in a folder that goes."""

from typing import Final, Literal, Self

import redis

from stream_persona.demo.embedded import EmbeddedRedis, find_free_port
from tests.support.waiting import wait_until

SLOTS: Final = 16_384
START_SECONDS: Final = 30.0
#: Milliseconds of silence after which a node takes another for dead: tests don't wait for long.
NODE_TIMEOUT: Final = 1_500


class RedisCluster:
    """So many masters, all slots assigned, ready; ``nodes`` are clients of one server each."""

    kind: Literal["cluster"] = "cluster"

    def __init__(self, binary: str | None, masters: int = 3, replicas: int = 0) -> None:
        self._servers: list[EmbeddedRedis] = []
        self.nodes: list[redis.Redis] = []
        self.masters = masters
        try:
            for _ in range(masters + replicas):
                self._start(binary)
            self._join()
            for number, replica in enumerate(self.nodes[masters:]):
                self._follow(replica, self.nodes[number % masters])
        except BaseException:
            self.close()
            raise
        self.url = self._servers[0].url
        version = self.nodes[0].info("server")["redis_version"]
        self.description = f"redis-server {version}, a Cluster of {masters} masters"

    def close(self) -> None:
        """End the servers and remove their files."""
        for node in self.nodes:
            node.close()
        for server in self._servers:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def id_of(self, node: redis.Redis) -> str:
        return self._ask(node, "MYID")

    def pid_of(self, node: redis.Redis) -> int:
        return int(node.info("server")["process_id"])

    def owner_of(self, slot: int) -> redis.Redis:
        """The master that has a slot."""
        for start, end, (_, port, *_), *_ in self.nodes[0].execute_command("CLUSTER SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if port_of(node) == port)
        raise AssertionError(f"no node has slot {slot}")

    def _start(self, binary: str | None) -> None:
        options = {
            "appendonly": "yes", "cluster-enabled": "yes", "cluster-port": str(find_free_port()),
            "cluster-node-timeout": str(NODE_TIMEOUT), "repl-diskless-sync-delay": "0",
        }  # fmt: skip
        command = [word for name, value in options.items() for word in (f"--{name}", value)]
        server = EmbeddedRedis(binary, command)
        self._servers.append(server)
        self.nodes.append(redis.Redis.from_url(server.url, decode_responses=True))

    def _join(self) -> None:
        first, *others = self.nodes
        bounds = [SLOTS * n // self.masters for n in range(self.masters + 1)]
        for node, low, high in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
        for epoch, node in enumerate(self.nodes, 1):
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        bus = first.config_get("cluster-port")["cluster-port"]
        for node in others:
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", port_of(first), bus)
        wait_until(self.is_whole, START_SECONDS, "the servers do not become a Cluster")

    def is_whole(self) -> bool:
        """Whether every node knows every other and all slots are served."""
        states = [
            dict(line.split(":") for line in self._ask(node, "INFO").splitlines())
            for node in self.nodes
        ]
        number = str(len(self.nodes))
        return all(
            (state["cluster_state"], state["cluster_known_nodes"]) == ("ok", number)
            for state in states
        )

    def _follow(self, replica: redis.Redis, master: redis.Redis) -> None:
        replica.execute_command("CLUSTER", "REPLICATE", self.id_of(master))

        def linked() -> bool:
            return replica.info("replication").get("master_link_status") == "up"

        wait_until(linked, START_SECONDS, "a replica does not find its master")

    def _ask(self, node: redis.Redis, question: str) -> str:
        answer = node.execute_command("CLUSTER", question)
        if isinstance(answer, dict):
            return "\n".join(f"{name}:{value}" for name, value in answer.items())
        return str(answer)


def port_of(node: redis.Redis) -> int:
    return int(node.connection_pool.connection_kwargs["port"])
