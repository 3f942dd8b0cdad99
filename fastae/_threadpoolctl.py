"""fastae among the libraries that threadpoolctl lists and limits. Importing this registers it; threadpoolctl must be there."""

from typing import Any

import threadpoolctl

from . import __version__, _kernels, settings


class Controller(threadpoolctl.LibController):  # type: ignore[misc]
    """threadpoolctl makes one for each loaded library that fits, here that of the thread pool."""

    user_api = internal_api = "fastae"
    filename_prefixes = ("_runtime.",)
    check_symbols = ("fastae_pool",)  # other packages may have a _runtime too
    # Not to be looked up later: threadpoolctl calls from inside the system's list of libraries, where none may be loaded.
    isa = _kernels.load("cython").__name__.rpartition(".")[2]

    def get_num_threads(self) -> int:
        return settings.get_num_threads()

    def set_num_threads(self, num_threads: Any) -> None:
        settings.set_num_threads(min(max(num_threads, 1), settings.MAX_THREADS))

    def get_version(self) -> str:
        return __version__

    def set_additional_attributes(self) -> None:
        self.instruction_set = self.isa


threadpoolctl.register(Controller)
