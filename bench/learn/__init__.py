"""Published results, reproduced: each protocol is a module, ``python -m bench.learn NAME`` runs it."""
