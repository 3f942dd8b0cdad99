"""Features: short codes of a table's rows, learnt without labels, for other learners.

docs/features.md has the rule, and what was measured.
"""

from .extractor import KEY, FeatureExtractor
from .gradients import gradients

__all__ = ["KEY", "FeatureExtractor", "gradients"]
