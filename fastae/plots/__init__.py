"""Pictures of models and trainings, as Display objects in the manner of scikit-learn's, and a page of them all.

A ``from_`` constructor computes what is shown, draws it, and returns a Display: its attributes hold the numbers, ``plot``
draws them again, ``ax_`` and ``figure_`` are matplotlib's. With ``ax`` given, pyplot is not touched; without, it makes a
figure, which notebooks show. matplotlib is imported where something is drawn: ``pip install 'fastae[plot]'``.
"""

from .feature_error import FeatureErrorDisplay
from .latent import LatentDisplay
from .loss import LossDisplay
from .reconstruction import ReconstructionDisplay
from .report import write_report
from .training import training_picture
from .traversal import TraversalDisplay
from .weights import WeightsDisplay

__all__ = [
    "FeatureErrorDisplay",
    "LatentDisplay",
    "LossDisplay",
    "ReconstructionDisplay",
    "TraversalDisplay",
    "WeightsDisplay",
    "training_picture",
    "write_report",
]
