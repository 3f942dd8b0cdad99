"""numba's CUDA simulator, with the threads of a block taking turns.

As it comes, the simulator lets them all run and looks again and again whether each has reached the barrier, which takes most of
the time; and two of them may make a shared array each. Here one runs from barrier to barrier, then the next. So a barrier that is
missing in a kernel shows every time: the first thread reads what the others have not written.
"""

import threading

import numpy as np
from numba.cuda.simulator import kernel


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
