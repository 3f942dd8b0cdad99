"""The parts of the table. Each is a module with

TITLE    what is measured
ENGINES  by name: a function of a row's case and number of threads that makes the function to time; what this one returns
         is compared with fastae's, unless it is None
rows     a function of the number of threads that gives the rows, with their bars

and, where some engines are shown but no bar counts them, NOT_COUNTED.
"""

DEFAULT = (
    "training",
    "step",
    "inference",
    "gemm",
    "activations",
    "scaling",
    "momentum",
    "multinomial",
    "shapes",
    "backends",
    "functions",
    "start",
)
PARTS = (*DEFAULT, "sweep")  # for the plots
