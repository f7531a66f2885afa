"""What all tests of training share."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # tests run in as many processes as there are cores
