"""Several Ray nodes on this machine, in a process of their own: ``python -m tests.integration.nodes NODES``.

Prints the cluster's address once its head (without processors, so that no training runs there) and its nodes of one
processor are up, then obeys lines on its standard input: ``kill ADDRESS`` ends the processes of the node at that
address with SIGKILL, and the end of the input ends the cluster.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tests.ports import free_port


def main() -> None:
    """Start the nodes and wait for orders."""
    cluster = Cluster(shutdown_at_exit=True)
    try:
        cluster.add_node(num_cpus=0, node_ip_address="127.0.0.2", dashboard_port=free_port())
        nodes = {}
        for number in range(int(sys.argv[1])):
            address = f"127.0.0.{number + 3}"
            nodes[address] = cluster.add_node(num_cpus=1, node_ip_address=address)
        print(cluster.address, flush=True)
        for line in sys.stdin:
            verb, _, address = line.strip().partition(" ")
            assert verb == "kill"
            cluster.remove_node(nodes.pop(address), allow_graceful=False)
            print("killed", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
