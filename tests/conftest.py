"""Two test processes on two cores: each computes with one thread, or they wait for each other."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
    import torch

    torch.set_num_threads(1)
