"""numba's CUDA simulator: its tests, and the threads of a block taking turns.

As it comes, the simulator lets them all run and looks again and again whether each has reached the barrier, which takes most
of the time; and two of them may make a shared array each. Here one runs from barrier to barrier, then the next. So a barrier
that is missing in a kernel shows every time: the first thread reads what the others have not written.
"""

import re
import threading

import numpy as np
import pytest
from numba.cuda.simulator import kernel

# A product of two numbers takes the simulator a microsecond, a launch a millisecond. These have tens of millions of the one, or
# thousands of the other.
TOO_LARGE = {
    "test_a_linear_autoencoder_reaches_pca",
    "test_a_target_of_its_own",
    "test_ctrl_c_stops_a_fit_and_leaves_a_usable_model",
    "test_divergence_in_a_later_epoch_and_in_many_threads",
    "test_evaluate_learns_nothing_and_takes_many_rows",
    "test_inference_of_any_number_of_samples",
    "test_long_fits_are_the_same_steps",
    "test_losses_do_not_depend_on_how_an_epoch_is_cut_into_calls",
    "test_nothing_beyond_an_array_is_read_or_written",
    "test_recipe_gives_equal_bytes_on_any_number_of_threads",
    "test_wide_recipe",
    "test_order_depends_on_seed_and_epoch_alone",
    "test_plan_at_the_edges_of_blocks",
    "test_plan_of_any_batch",
    "test_plan_of_any_width",
    "test_threads_do_not_change_bits",
}
MODELS = {  # the others fit models
    "test_a_complete_table_trains_as_without_missing_values",
    "test_a_conditional_trainer_takes_targets_and_validation_data",
    "test_infinity_is_not_missing",
    "test_missing_elements_count_for_nothing",
    "test_noise_is_new_in_every_step_and_the_same_for_the_same_seed",
}
# Sums of so many numbers, and layouts of samples that NumPy gathers before the kernels see them.
TOO_LARGE_PARAMETERS = r"\b(1030|515)\b|test_recipe.*-(128|300)-|test_plan_reads_any_source.*(strided|reversed|read-only)"
too_large = pytest.mark.skip(reason="takes too long in CUDA's simulator")
# It computes with NumPy's numbers, which warn of an overflow; a GPU does not.
no_warning = pytest.mark.filterwarnings("ignore:.* encountered in scalar:RuntimeWarning")


def choose(items):
    """Keep the tests of CUDA."""
    items[:] = [item for item in items if "cuda" in item.nodeid]
    for item in items:
        item.add_marker(no_warning)
        of_models = item.path.name == "test_models.py" and item.originalname not in MODELS
        if of_models or item.originalname in TOO_LARGE or re.search(TOO_LARGE_PARAMETERS, item.name):
            item.add_marker(too_large)


class Thread(kernel.BlockThread):
    def __init__(self, function, *where):
        super().__init__(function, *where)
        self.resting, self.resumed, self.finished = threading.Semaphore(0), threading.Semaphore(0), False

    def run(self):
        super().run()
        self.finished = True
        self.resting.release()

    def syncthreads(self):
        self.resting.release()
        self.resumed.acquire()


def run(self, grid_point, *arguments):
    """In place of BlockManager.run."""
    threads = [
        Thread(lambda: self._f(*arguments), self, grid_point, place, self._debug) for place in np.ndindex(*self._block_dim)
    ]
    for thread in threads:
        thread.start()
        thread.resting.acquire()
    while running := [thread for thread in threads if not thread.finished]:
        for thread in running:
            thread.resumed.release()
            thread.resting.acquire()
    for thread in threads:
        if thread.exception:
            raise thread.exception[0].with_traceback(thread.exception[1])


def take_turns():
    kernel.BlockManager.run = run
