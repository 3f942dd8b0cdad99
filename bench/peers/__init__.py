"""fastae against its peers: the same training step, each peer in a process of its own, taking turns.

``python -m bench.peers`` prints the table; ``--help`` names what can be chosen.
"""
